# SPDX-License-Identifier: GPL-2.0-or-later
"""From the raw lines of a mail to the lines its sender wrote: headers, MIME parts, transfer encodings.

Headers and parameters are read with the standard library's ``email``. Bodies are taken apart here, so that every
line keeps its number in the user's file. Sources: RFC 2045 (section 6.7 quoted-printable, 6.8 base64), RFC 2046
(section 5.1.1 boundaries), RFC 2047 (encoded words), RFC 2557 (a page saved with all that belongs to it).
"""

from __future__ import annotations

import base64
import binascii
import email.header
import email.message
import itertools
import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.errors import HeaderParseError, MessageError

from harness.errors import PatchError
from harness.sources.patch_html import page_lines
from harness.sources.patch_text import MAX_LINES, Line, damaged, printable

_HEADER = re.compile(rb"([!-9;-~]{1,76}):(.*)$", re.DOTALL)
_KNOWN = frozenset({
    "from", "to", "cc", "subject", "date", "message-id", "return-path", "received", "delivered-to", "mime-version",
    "content-type", "content-transfer-encoding", "in-reply-to", "references", "reply-to", "sender", "user-agent",
    "x-mailer", "list-id", "author", "description", "origin",
})  # fmt: skip
_ESCAPE = re.compile(rb"=([0-9A-Fa-f]{2})")
_NO_ESCAPE = re.compile(rb"=(?![0-9A-Fa-f]{2})(?!$)")
_SURE_ESCAPE = re.compile(rb"=3D|=20$|=09")
_PATCH_TYPES = frozenset({"text/x-patch", "text/x-diff", "application/x-patch", "application/x-diff"})
_NOT_TEXT = frozenset({"text/html", "text/calendar"})
_MAX_DEPTH = 8
_MAX_VALUE = 4096
"""Longer header values are cut: no subject is, and the standard library's parsers are slow on them."""


@dataclass(frozen=True, slots=True)
class Part:
    """One readable part of a mail."""

    lines: tuple[Line, ...]
    flowed: bool = False
    """It says ``format=flowed`` (RFC 3676)."""
    delsp: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Mail:
    """Headers (lower-case name -> first value, decoded) and readable parts of one mail."""

    line: int
    headers: Mapping[str, str]
    parts: tuple[Part, ...]
    attached: tuple[Mail, ...] = ()
    """Mails that are attached to it (``message/rfc822``)."""
    pages: tuple[Part, ...] = ()
    """Its HTML parts, as HTML."""


def header_length(lines: Sequence[Line]) -> int:
    """How many lines of a mail's header ``lines`` begin with, without the empty line; 0 if they do not."""
    seen: set[str] = set()
    count = 0
    for _, data in lines:
        match = _HEADER.match(data)
        if match is not None:
            seen.add(match.group(1).decode().lower())
        elif not (count and data[:1] in {b" ", b"\t"} and data.strip()):
            break
        count += 1
    named = seen & _KNOWN
    return count if len(named) >= 2 and named & {"subject", "from", "author", "description"} else 0


def read_headers(lines: Sequence[Line]) -> dict[str, str]:
    """Header lines as a mapping, unfolded and decoded; of a name that comes twice, the first."""
    raw: list[tuple[str, bytes]] = []
    for _, data in lines:
        match = _HEADER.match(data)
        if match is not None and data[:1] not in {b" ", b"\t"}:
            raw.append((match.group(1).decode().lower(), match.group(2).strip()))
        elif raw:
            raw[-1] = (raw[-1][0], raw[-1][1][:_MAX_VALUE] + b" " + data.strip())
    headers: dict[str, str] = {}
    for name, value in raw:
        headers.setdefault(name, _decode_words(value[:_MAX_VALUE].decode("utf-8", "replace")))
    return headers


def _decode_words(value: str) -> str:
    """``value`` with its RFC 2047 encoded words decoded; as it is, where they are damaged."""
    try:
        found = email.header.decode_header(value)
    except (HeaderParseError, ValueError):
        return value
    text = ""
    for chunk, charset in found:
        if isinstance(chunk, str):
            text += chunk
            continue
        try:
            text += chunk.decode(charset or "utf-8", "replace")
        except (LookupError, ValueError):
            text += chunk.decode("utf-8", "replace")
    return text


def read_mail(lines: Sequence[Line], name: str, depth: int = 0) -> Mail:
    """The mail in ``lines``, which begin with its header."""
    length = header_length(lines)
    headers = read_headers(lines[:length])
    parts: list[Part] = []
    attached: list[Mail] = []
    pages: list[Part] = []
    body = lines[length + 1 :]
    if depth > _MAX_DEPTH:
        raise damaged(name, lines[0].number, "MIME parts nested too deeply")
    _collect(headers, body, name, depth, _Found(parts, attached, pages))
    if not parts:
        parts = [part for page in pages if (part := _shown(page, name)) is not None]
    return Mail(lines[0].number, headers, tuple(parts), tuple(attached), tuple(pages))


def saved_page(lines: Sequence[Line], name: str) -> list[Line] | None:
    """The text of the page in ``lines``, when they are one that a browser saved as MHTML (.mht); None if not."""
    headers = read_headers(lines[: header_length(lines)])
    by_browser = headers.get("from", "").startswith("<Saved by") or "snapshot-content-location" in headers
    if not by_browser or "multipart/related" not in headers.get("content-type", "").lower():
        return None
    pages = read_mail(lines, name).pages
    if not pages:
        raise damaged(name, lines[0].number, "a page saved by a browser, without any HTML in it")
    return _page(pages[0], name)


def _shown(page: Part, name: str) -> Part | None:
    """What a mail of HTML only shows, as a part of text; None if its diff has lost its blanks."""
    try:
        return Part(tuple(_page(page, name)), notes=(*page.notes, "read out of HTML"))
    except PatchError:
        return None


def _page(page: Part, name: str) -> list[Line]:
    """The text of an HTML part; lines have the numbers of the user's file."""
    raw = b"\n".join(line.data for line in page.lines)
    return [Line(page.lines[line.number - 1].number, line.data) for line in page_lines(raw, name)]


@dataclass(frozen=True, slots=True)
class _Found:
    """What is collected of a mail's parts."""

    parts: list[Part]
    attached: list[Mail]
    pages: list[Part]


def _collect(
    headers: Mapping[str, str],
    body: Sequence[Line],
    name: str,
    depth: int,
    found: _Found,
) -> None:
    """Add what is below ``headers`` to ``found``."""
    if not body:
        return
    kind = _content(headers, name, body[0].number)
    if kind.get_content_maintype() == "multipart":
        for piece in _split(body, kind.get_boundary() or "", name):
            after = next((i for i, (_, data) in enumerate(piece) if not data.strip()), len(piece))
            if depth > _MAX_DEPTH:
                raise damaged(name, body[0].number, "MIME parts nested too deeply")
            _collect(read_headers(piece[:after]), piece[after + 1 :], name, depth + 1, found)
    elif kind.get_content_type() == "message/rfc822":
        found.attached.append(read_mail(body, name, depth + 1))
    elif _readable(kind) or kind.get_content_type() == "text/html":
        lines, notes = _decode(body, headers.get("content-transfer-encoding", ""), name)
        if not _readable(kind):
            found.pages.append(Part(tuple(lines), notes=tuple(notes)))
            return
        flowed = str(kind.get_param("format", "")).lower() == "flowed"
        delsp = str(kind.get_param("delsp", "")).lower() == "yes"
        found.parts.append(Part(tuple(lines), flowed, delsp, tuple(notes)))


def _content(headers: Mapping[str, str], name: str, line: int) -> email.message.Message:
    kind = email.message.Message()
    for header in ("Content-Type", "Content-Disposition"):
        if header.lower() in headers:
            kind[header] = headers[header.lower()]
    try:
        charset = str(kind.get_content_charset("utf-8")).lower()
        kind.get_boundary()
        kind.get_filename()
        kind.get_params()
    except (ValueError, LookupError, TypeError, MessageError):
        raise damaged(name, line, "the mail's Content-Type header cannot be read") from None
    if charset.startswith(("utf-16", "utf-32", "utf-7", "utf16", "utf32")):
        raise damaged(name, line, f"a mail in {printable(charset)}; convert it to UTF-8 first")
    return kind


def _readable(kind: email.message.Message) -> bool:
    """Whether a part can hold a patch."""
    if (kind.get_filename() or "").lower().endswith((".patch", ".diff")):
        return True
    content = kind.get_content_type()
    return content in _PATCH_TYPES or (
        content.startswith("text/") and content not in {"text/html", "text/calendar"}
    )


def _split(body: Sequence[Line], boundary: str, name: str) -> list[Sequence[Line]]:
    """The parts of a multipart body; each begins with its header."""
    mark = b"--" + boundary.encode("utf-8", "replace")
    starts = [i for i, (_, data) in enumerate(body) if data.rstrip() in {mark, mark + b"--"}]
    if not boundary or not starts:
        raise damaged(name, body[0].number, "a mail of several parts whose boundary is not found: it is damaged")
    if body[starts[-1]].data.rstrip() == mark:
        raise damaged(name, body[-1].number, "the mail ends within one of its parts: it is cut short")
    return [body[a + 1 : b] for a, b in itertools.pairwise(starts) if b > a + 1]


def _decode(body: Sequence[Line], encoding: str, name: str) -> tuple[list[Line], list[str]]:
    """Undo the content transfer encoding."""
    encoding = encoding.strip().lower()
    if encoding in {"", "7bit", "8bit", "binary"}:
        return list(body), []
    if encoding == "quoted-printable":
        return _quoted_printable(body, name)
    if encoding == "base64":
        return _base64(body, name), ["base64 decoded"]
    raise damaged(name, body[0].number, f"the transfer encoding {printable(encoding, 40)} cannot be read")


def _quoted_printable(body: Sequence[Line], name: str) -> tuple[list[Line], list[str]]:
    wrong = next((line for line in body if _NO_ESCAPE.search(line.data.rstrip())), None)
    if wrong is not None:
        sure = next((line for line in body if _SURE_ESCAPE.search(line.data.rstrip())), None)
        if sure is None:
            return list(body), ["says quoted-printable, but was decoded before it was saved"]
        raise damaged(name, wrong.number, f"not quoted-printable, but line {sure.number} is: half decoded")
    if sum(line.data.upper().count(b"=0A") for line in body) > MAX_LINES:
        raise damaged(name, body[0].number, f"more than {MAX_LINES} encoded line ends, which no patch has")
    decoded: list[Line] = []
    joined, number = b"", 0
    for line in body:
        number = number or line.number
        data = line.data.rstrip(b" \t\r")
        soft = data.endswith(b"=")
        joined += _ESCAPE.sub(lambda m: bytes([int(m.group(1), 16)]), data[:-1] if soft else data)
        if not soft:
            decoded += [Line(number, part) for part in joined.split(b"\n")]
            joined, number = b"", 0
    if number:
        decoded += [Line(number, part) for part in joined.split(b"\n")]
    return decoded, ["quoted-printable decoded"]


def _base64(body: Sequence[Line], name: str) -> list[Line]:
    """Decode base64; each decoded line gets the number of the raw line in which it begins."""
    pieces = [line.data.strip() for line in body]
    ends = list(itertools.accumulate(len(piece) for piece in pieces))
    try:
        data = base64.b64decode(b"".join(pieces), validate=True)
    except (binascii.Error, ValueError):
        raise damaged(name, body[0].number, "the base64 text from here on is damaged or cut short") from None
    if data.count(b"\n") > MAX_LINES:
        raise damaged(
            name, body[0].number, f"more than {MAX_LINES} lines in base64, which no patch for review has"
        )
    decoded = []
    offset = 0
    for part in data.split(b"\n"):
        raw = min(bisect_right(ends, offset * 4 // 3), len(body) - 1)
        decoded.append(Line(body[raw].number, part))
        offset += len(part) + 1
    if decoded and not decoded[-1].data:
        decoded.pop()
    return decoded
