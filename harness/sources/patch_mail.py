# SPDX-License-Identifier: GPL-2.0-or-later
"""Find the mails in a text: an mbox, one mail, a page of a list archive, or no mail at all.

Every form ends as `Message`: who, what, and the lines of the body as their sender wrote them.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from harness.sources.patch_mime import Mail, Part, header_length, read_headers, read_mail
from harness.sources.patch_text import Line, damaged, printable
from harness.sources.patch_undo import undo

FROM = re.compile(rb"From \S.{0,200}\d\d:\d\d(?::\d\d)?(?: \S{1,8})? (?:19|20)\d\d(?: [+-]\d{4})?\s*$")
_LORE_FROM = re.compile(rb"From: (.{1,300}) @ (\d{4}-\d\d-\d\d +\d{1,2}:\d\d) UTC(?: \(permalink / raw\))?\s*$")
_LORE_END = re.compile(rb"\^ permalink |\^ raw reply|(?:---|_{3,})? ?end of thread, other threads:")
_LORE_SUBJECT = re.compile(rb"\* (.{1,1000})$")
_LOOK_BACK = 60
_COMMIT = re.compile(rb"commit [0-9a-f]{40,64}(?: \(.*\))?\s*$")
_PAGE_HEADER = re.compile(rb"(?i)(from|subject|message-id|date|author|description)\s*:\s+(.{1,1000})$")
_PAGE_TITLE = re.compile(rb"(?i)(?:(?:re|fwd?|aw):\s*)*\[[^\]]{0,60}patch[^\]]{0,60}\].{1,300}$")
_PAGE_HEAD = 60


@dataclass(frozen=True, slots=True)
class Message:
    """One mail, or what stands for one."""

    line: int
    """Line of the user's file where it begins."""
    subject: str
    author: str
    message_id: str
    body: tuple[Line, ...]
    notes: tuple[str, ...] = ()
    """What had to be undone to read it."""


def messages(lines: Sequence[Line], name: str) -> tuple[Message, ...]:
    """The mails in ``lines`` of the file ``name``, in order."""
    starts = _mbox_starts(lines)
    if starts:
        pieces = [lines[a + 1 : b] for a, b in itertools.pairwise([*starts, len(lines)])]
        return tuple(m for piece in pieces if piece for m in _from_mail(piece, name))
    if header_length(lines):
        return tuple(_from_mail(lines, name))
    authors = [at for at, line in enumerate(lines) if _LORE_FROM.match(line.data)]
    if authors:
        return tuple(_lore(lines, authors, name))
    return (_page(lines, name),)


def _mbox_starts(lines: Sequence[Line]) -> list[int]:
    """Where the mails of an mbox begin: ``From `` with a date, after an empty line (see git-mailsplit)."""
    first = next((at for at, line in enumerate(lines) if line.data.strip()), None)
    if first is None or not FROM.match(lines[first].data):
        return []
    later = range(first + 1, len(lines))
    return [first, *(at for at in later if FROM.match(lines[at].data) and not lines[at - 1].data.strip())]


def _from_mail(lines: Sequence[Line], name: str) -> Iterator[Message]:
    # An empty line first is not a header's end but a mail without header; it is read as a page.
    if not header_length(lines):
        yield _page(lines, name)
        return
    yield from _flatten(read_mail(lines, name), name)


def _flatten(mail: Mail, name: str) -> Iterator[Message]:
    body: list[Line] = []
    notes: list[str] = []
    for part in mail.parts:
        found, undone = undo(part, name)
        body += found
        notes += undone
    headers = dict(mail.headers)
    _inner(headers, body)
    yield Message(
        mail.line,
        headers.get("subject", headers.get("description", "")),
        printable(headers.get("from", headers.get("author", ""))),
        _message_id(headers),
        tuple(body),
        tuple(dict.fromkeys(notes)),
    )
    for attached in mail.attached:
        yield from _flatten(attached, name)


def _inner(headers: dict[str, str], body: Sequence[Line]) -> None:
    """``From:`` and ``Subject:`` that begin the body are the patch's own (git-am: sent for somebody else)."""
    start = next((at for at, line in enumerate(body) if line.data.strip()), len(body))
    for _, data in body[start : start + 4]:
        match = _PAGE_HEADER.match(data)
        if match is None:
            break
        key = match.group(1).decode().lower()
        if key in {"from", "subject"}:
            headers[key] = read_headers([Line(0, data)]).get(key, headers.get(key, ""))


def _message_id(headers: Mapping[str, str]) -> str:
    match = re.search(r"<([^<>\s]{1,500})>", headers.get("message-id", ""))
    return printable(match.group(1), 500) if match else ""


def _lore(lines: Sequence[Line], authors: Sequence[int], name: str) -> Iterator[Message]:
    """Mails of a public-inbox thread page saved as text (lore.kernel.org and its kin).

    Each begins with ``* SUBJECT`` and a list of its answers, then ``From: NAME @ DATE UTC`` and To and Cc, and
    ends with ``^ permalink raw reply``.
    """
    tops = []
    subjects = []
    for floor, at in zip([0, *(a + 1 for a in authors)], authors, strict=False):
        found = range(at - 1, max(floor, at - _LOOK_BACK) - 1, -1)
        top = next((i for i in found if _LORE_SUBJECT.match(lines[i].data)), at)
        match = _LORE_SUBJECT.match(lines[top].data)
        tops.append(top)
        subjects.append(match.group(1) if match else b"")
    for number, at in enumerate(authors):
        limit = tops[number + 1] if number + 1 < len(tops) else len(lines)
        blank = next((i for i in range(at, limit) if not lines[i].data.strip()), limit)
        end = next((i for i in range(blank, limit) if _LORE_END.match(lines[i].data)), limit)
        match = _LORE_FROM.match(lines[at].data)
        author = match.group(1) if match else b""
        yield _text(
            lines[tops[number]].number,
            subjects[number].decode("utf-8", "replace"),
            printable(author),
            lines[blank:end],
            name,
        )


def _page(lines: Sequence[Line], name: str) -> Message:
    """A text that is one mail on an archive's page, or a bare diff: headers are looked for near the top."""
    found: dict[str, str] = {}
    title = ""
    for _, data in lines[:_PAGE_HEAD]:
        if data.startswith((b"diff --git ", b"--- ", b"Index: ")):
            break
        match = _PAGE_HEADER.match(data)
        if match is not None:
            found.setdefault(match.group(1).decode().lower(), match.group(2).decode("utf-8", "replace").strip())
        elif not title and (match := _PAGE_TITLE.match(data.strip())):
            title = match.group().decode("utf-8", "replace")
    commits = [line.number for line in lines if _COMMIT.match(line.data)]
    if len(commits) > 1:
        raise damaged(name, commits[1], "several commits of `git log`; give the output of `git format-patch`")
    subject = found.get("subject", title) or found.get("description", "") or _commit_title(lines)
    author = found.get("from", found.get("author", ""))
    return _text(lines[0].number, subject, printable(author), lines, name, _message_id(found))


def _commit_title(lines: Sequence[Line]) -> str:
    """First line of the message that ``git show`` prints, indented by four spaces."""
    if not lines or not _COMMIT.match(lines[0].data):
        return ""
    return next((d.strip().decode("utf-8", "replace") for _, d in lines[:_PAGE_HEAD] if d.startswith(b"    ")), "")


def _text(line: int, subject: str, author: str, lines: Sequence[Line], name: str, message_id: str = "") -> Message:
    body, notes = undo(Part(tuple(lines)), name)
    return Message(line, subject, author, message_id, tuple(body), tuple(notes))
