# SPDX-License-Identifier: GPL-2.0-or-later
"""Read a patch, or a series, in the forms in which people have it.

Forms: a file of ``git format-patch`` or a plain diff, a folder of ``*.patch``, an mbox (also gzipped, as lore
gives it), one saved mail, and a page of a mail thread, as text or HTML. The way of a text through the modules:

- ``patch_html``: the text of a page; ``patch_mail``: which mails there are; ``patch_mime``, ``patch_undo``: what
  their senders wrote;
- ``patch_diff``, ``patch_hunk``, ``patch_path``: what the diff says, and that it is whole and safe;
- ``patch_series``: which of the patches, in which order; ``patch_none``: why there is none;
- ``patch_render``: the text that git will be given. ``patch_apply`` puts it on a tree.
"""

from __future__ import annotations

import gzip
import io
import stat
import zlib
from dataclasses import replace
from pathlib import Path

from harness.errors import PatchError
from harness.model import Series
from harness.sources.patch_head import Head, base_hint, parse_subject
from harness.sources.patch_html import is_page, page_lines
from harness.sources.patch_mail import Message, messages
from harness.sources.patch_mime import saved_page
from harness.sources.patch_none import no_patch
from harness.sources.patch_series import Candidate, candidate, choose
from harness.sources.patch_text import MAX_LINES, Line, damaged, printable, split_lines

MAX_BYTES = 32 << 20
"""Largest input: a kernel release as one patch is about 50 MiB, the largest series on a list below 2."""
_GZIP = b"\x1f\x8b"
_BOMS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}
_UTF8_BOM = b"\xef\xbb\xbf"


def read(path: Path, *, version: int | None = None) -> Series:
    """The patches in ``path``, in order of application; of ``version``, where several are in it.

    Of each `Patch`, ``diff`` is in git's own form and has been checked line by line; encode it with
    ``surrogateescape``, since a kernel file need not be UTF-8. PatchError, with file and line, if it holds no
    patch, or one that is cut short, damaged, binary, or would write outside the tree.
    """
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise PatchError(f"{printable(str(path))}: cannot be read: {reason}") from error
    if stat.S_ISDIR(mode):
        return _read_folder(path, version)
    found = _Found(path)
    if not found.candidates:
        raise no_patch(found.messages, found.lines, found.name)
    return choose(found.candidates, found.others, found.name, version=version, given=False)


def read_thread(path: Path, message_id: str, *, version: int | None = None) -> Series:
    """The series that the mail ``message_id`` of the thread in ``path`` belongs to.

    The mail decides the version, unless ``version`` does. A patch without a number is taken alone, also one in an
    answer; for any other answer, the newest whole series of the thread is taken.
    """
    found = _Found(path)
    if not found.candidates:
        raise no_patch(found.messages, found.lines, found.name)
    candidates = found.candidates
    asked = next((parse_subject(m.subject) for m in found.messages if m.message_id == message_id), None)
    own = [c for c in candidates if c.message.message_id == message_id]
    if asked is not None and own and (asked.reply or asked.total is None):
        return choose(own[:1], [], found.name, version=version, given=False)
    newer: list[int] = []
    if asked is not None and asked.is_patch and not asked.reply and version is None:
        version = asked.version
        candidates = [c for c in candidates if c.head.version != version or c.head.total == asked.total]
        newer = sorted({c.head.version for c in candidates if c.head.is_patch and c.head.version > version})
    series = choose(candidates, found.others, found.name, version=version, given=False)
    if not newer:
        return series
    first = series.patches[0]
    note = f"v{version} is what was named; the thread holds v{newer[-1]} too (VERSION={newer[-1]})"
    return replace(series, patches=(replace(first, notes=(*first.notes, note)), *series.patches[1:]))


def _read_folder(folder: Path, version: int | None) -> Series:
    """All ``*.patch`` of ``folder`` by name; a cover letter (``[PATCH 0/5]``, ``0000-...``) gives the title."""
    try:
        paths = sorted(p for p in folder.iterdir() if p.suffix == ".patch" and not p.name.startswith("."))
    except OSError as error:
        raise PatchError(f"{printable(str(folder))}: cannot be read: {error.strerror}") from error
    if not paths:
        raise PatchError(
            f"{printable(str(folder))}: no *.patch in this folder. Way out: `git format-patch -o FOLDER BASE..`"
        )
    candidates: list[Candidate] = []
    others: list[Head] = []
    left = MAX_BYTES
    for path in paths:
        found = _Found(path, left)
        left -= found.size
        if not found.candidates and not _is_cover(found):
            raise no_patch(found.messages, found.lines, found.name)
        candidates += found.candidates
        others += found.others
    if not candidates:
        raise PatchError(f"{printable(str(folder))}: nothing but a cover letter in this folder")
    return choose(candidates, others, str(folder), version=version, given=True)


def _is_cover(found: _Found) -> bool:
    return "0000-cover" in found.name or any(head.number == 0 and not head.reply for head in found.others)


class _Found:
    """One file, taken apart."""

    def __init__(self, path: Path, limit: int = MAX_BYTES) -> None:
        self.name = str(path)
        data = _load(path, limit)
        self.size = len(data)
        self.lines: list[Line] = page_lines(data, self.name) if is_page(data) else split_lines(data)
        self.lines = saved_page(self.lines, self.name) or self.lines
        if not self.lines:
            raise damaged(self.name, 1, "an HTML page without any text")
        self.messages: tuple[Message, ...] = messages(self.lines, self.name)
        self.candidates: list[Candidate] = []
        self.others: list[Head] = []
        for message in self.messages:
            one = candidate(message, self.name)
            if one is None:
                self.others.append(_head(message))
            else:
                self.candidates.append(one)


def _head(message: Message) -> Head:
    """What a mail without a diff says; of a cover letter also the base of its series."""
    head = parse_subject(message.subject)
    if head.number != 0 or head.reply:
        return head
    return replace(head, base=base_hint((line.data.decode("utf-8", "replace") for line in message.body), head))


def _load(path: Path, limit: int) -> bytes:
    """Content of the file, unzipped if it is gzip; PatchError if it cannot be the text of a patch."""
    name = printable(str(path))
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise PatchError(f"{name}: not a regular file. Way out: save the patch to a file first")
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise PatchError(f"{name}: cannot be read: {error.strerror}") from error
    if data.startswith(_GZIP):
        try:
            data = gzip.GzipFile(fileobj=io.BytesIO(data)).read(limit + 1)
        except (OSError, EOFError, zlib.error) as error:
            raise PatchError(f"{name}: a damaged gzip file: {printable(str(error))}") from error
    if len(data) > limit:
        raise PatchError(f"{name}: larger than {MAX_BYTES >> 20} MiB, which no patch for review is")
    if data.count(b"\n") > MAX_LINES:
        raise PatchError(f"{name}: more than {MAX_LINES} lines, which no patch for review has")
    data = data.removeprefix(_UTF8_BOM)
    if not data.strip():
        raise PatchError(f"{name}: empty. Way out: `git format-patch -1 --stdout > {name}`")
    if data[:2] in _BOMS:
        raise PatchError(f"{name}: UTF-16 text. Way out: `git format-patch -o FOLDER`, without a pipe")
    if b"\0" in data:
        line = data.count(b"\n", 0, data.index(b"\0")) + 1
        raise damaged(str(path), line, "a NUL byte: this is a binary file, not a patch")
    return data
