# SPDX-License-Identifier: GPL-2.0-or-later
"""Undo what mailers, archives and browsers do to a patch, where it can be undone for sure.

Each function takes lines and gives lines, with a note for the user when it changed any. Whether the result is a
patch is then for the hunk counts to say, and at last for the tree that it must match exactly.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from harness.sources.patch_hunk import HUNK
from harness.sources.patch_mime import Part
from harness.sources.patch_text import Line, damaged

_NAMES = (b"diff --git ", b"--- ", b"+++ ")
_NBSP = "\xa0"
_BLANKS = re.compile(r"[ \t\xa0]+")
_LONE_SPACE = re.compile(r"[!-~] [!-~]")
_PGP_START = b"-----BEGIN PGP SIGNED MESSAGE-----"
_PGP_END = b"-----BEGIN PGP SIGNATURE-----"


def undo(part: Part, name: str) -> tuple[list[Line], list[str]]:
    """The lines of ``part`` as they were written, and what had to be done for it."""
    lines, notes = list(part.lines), list(part.notes)
    steps: list[Callable[[list[Line]], tuple[list[Line], str]]] = [lambda found: undo_crlf(found, name)]
    if part.flowed:
        steps.append(lambda found: undo_flowed(found, part.delsp))
    steps += [undo_pgp, undo_nbsp]
    for step in steps:
        lines, note = step(lines)
        if note:
            notes.append(note)
    return lines, notes


def undo_crlf(lines: list[Line], name: str) -> tuple[list[Line], str]:
    """Take one CR off each line, if the lines with file names have one: then the mail has them, not the files.

    A patch of a file with CR LF has them in its hunks only. PatchError if some names have one and others not.
    """
    names = [line for at, line in enumerate(lines) if line.data.startswith(_NAMES) and _is_name(lines, at)]
    ends = {line.data.endswith(b"\r") for line in names}
    if not names or ends == {False}:
        return lines, ""
    if len(ends) == 2:
        odd = next(line for line in names if not line.data.endswith(b"\r"))
        raise damaged(name, odd.number, "some lines of the patch end in CR LF and some in LF: they were mixed up")
    return [Line(number, data.removesuffix(b"\r")) for number, data in lines], "CR LF line ends made LF"


def _is_name(lines: Sequence[Line], at: int) -> bool:
    """Whether ``--- `` or ``+++ `` at ``at`` is a line with a file name, and not removed or added text."""
    data = lines[at].data
    if data.startswith(b"--- "):
        return at + 1 < len(lines) and lines[at + 1].data.startswith(b"+++ ")
    if data.startswith(b"+++ "):
        return at > 0 and lines[at - 1].data.startswith(b"--- ")
    return True


def undo_flowed(lines: list[Line], delsp: bool) -> tuple[list[Line], str]:
    """Undo format=flowed (RFC 3676): stuffed spaces taken off, soft line breaks joined.

    Many mailers declare it and leave patches alone. Stuffing tells: each context line then starts with two spaces.
    """
    first = next((at for at, line in enumerate(lines) if HUNK.match(line.data)), None)
    if first is None:
        return lines, ""
    context = [data for _, data in lines[first:] if data.startswith(b" ")]
    if not context or not all(data.startswith(b"  ") for data in context):
        return lines, ""
    joined: list[Line] = []
    open_line = False
    for number, raw in lines:
        data = raw.removeprefix(b" ")
        if open_line:
            joined[-1] = Line(joined[-1].number, joined[-1].data + data)
        else:
            joined.append(Line(number, data))
        # A blank line is a context line, not a paragraph to be joined.
        open_line = data.endswith(b" ") and bool(data.strip()) and data != b"-- "
        if open_line and delsp:
            joined[-1] = Line(joined[-1].number, joined[-1].data[:-1])
    return joined, "format=flowed undone"


def undo_pgp(lines: list[Line]) -> tuple[list[Line], str]:
    """Take the dash escapes out of a clear-signed text (RFC 9580, section 7.2)."""
    bare = [data.rstrip() for _, data in lines]
    if _PGP_START not in bare:
        return lines, ""
    start = bare.index(_PGP_START)
    end = bare.index(_PGP_END, start) if _PGP_END in bare[start:] else len(lines)
    body = next((at + 1 for at in range(start, end) if not bare[at]), start + 1)
    signed = [Line(number, data.removeprefix(b"- ")) for number, data in lines[body:end]]
    return lines[:start] + signed, "PGP dash escapes taken out"


def undo_nbsp(lines: list[Line]) -> tuple[list[Line], str]:
    """Make non-breaking spaces spaces again, where a mailer put them.

    It did if one begins a line, where a diff has its marker. Then all that stand in a run of blanks are spaces,
    and single ones between words too if the diff has no ordinary space between words at all. (A file may have
    them: where the marker is whole, `patch_mend` lets the tree decide.)
    """
    codec = _codec(lines)
    texts = [data.decode(codec) for _, data in lines]
    plain = [text.replace(_NBSP, " ").encode(codec) for text in texts]
    first = next((at for at, data in enumerate(plain) if data.startswith(_NAMES) or HUNK.match(data)), len(lines))
    hit = next((at for at in range(first, len(lines)) if texts[at].startswith(_NBSP)), None)
    if hit is None:
        return lines, ""
    everywhere = not any(_LONE_SPACE.search(text) for text in texts[first:])

    def spaces(match: re.Match[str]) -> str:
        alone = len(match.group()) == 1 and match.start() > 0 and not everywhere
        return match.group() if alone else match.group().replace(_NBSP, " ")

    mended = [_BLANKS.sub(spaces, text).encode(codec) for text in texts[first:]]
    after = [Line(line.number, data) for line, data in zip(lines[first:], mended, strict=True)]
    return lines[:first] + after, f"non-breaking spaces made spaces (first on line {lines[hit].number})"


def _codec(lines: Sequence[Line]) -> str:
    """UTF-8, or Latin-1 for a text that is none: either way every byte comes back as it was."""
    try:
        for _, data in lines:
            data.decode("utf-8")
    except UnicodeDecodeError:
        return "latin-1"
    return "utf-8"
