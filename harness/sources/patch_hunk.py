# SPDX-License-Identifier: GPL-2.0-or-later
"""Read the hunks of a unified diff strictly: the counts in each header are held against the lines that follow.

A mail that was cut, wrapped or edited on its way shows here first, and is refused with the line.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from harness.errors import PatchError
from harness.sources.patch_text import Line, damaged, printable

HUNK = re.compile(rb"@@ -(\d{1,9})(?:,(\d{1,9}))? \+(\d{1,9})(?:,(\d{1,9}))? @@(.*)$", re.DOTALL)
_SIGNATURE = re.compile(rb"-- ?\r?$")
_NO_LINE_FEED = b"\\ "
WRAP = 60
"""Shorter lines are not wrapped by any mailer."""


@dataclass(frozen=True, slots=True)
class Hunk:
    """One hunk, its counts verified."""

    line: int
    """Line of its ``@@`` header in the user's file."""
    old_start: int
    old_count: int
    new_start: int
    new_count: int
    heading: bytes
    body: tuple[Line, ...]
    """Lines with their marker: space, ``+``, ``-``, or ``\\`` for a missing line feed."""

    @property
    def old(self) -> tuple[Line, ...]:
        """What it expects in the tree, without markers."""
        return tuple(Line(n, d[1:]) for n, d in self.body if d[:1] in {b" ", b"-"})

    @property
    def added(self) -> int:
        return sum(d[:1] == b"+" for _, d in self.body)

    @property
    def removed(self) -> int:
        return sum(d[:1] == b"-" for _, d in self.body)


class Cursor:
    """A place in the lines of one mail."""

    def __init__(self, lines: Sequence[Line], name: str) -> None:
        self.lines = lines
        self.name = name
        self.at = 0
        self.notes: list[str] = []
        self.gap = ""

    def peek(self, ahead: int = 0) -> bytes | None:
        """The line at the cursor, or ``ahead`` lines later; None after the last one."""
        return self.lines[self.at + ahead].data if self.at + ahead < len(self.lines) else None

    @property
    def number(self) -> int:
        """Line of the user's file that the cursor is at; the last one when at the end."""
        return self.lines[min(self.at, len(self.lines) - 1)].number

    def damaged(self, what: str, line: int = 0, *, shown: bytes = b"") -> PatchError:
        """The error for ``what`` is wrong at ``line``, by default here."""
        return damaged(self.name, line or self.number, what, detail=printable(shown))


def read_hunks(cursor: Cursor) -> tuple[Hunk, ...]:
    """All hunks at the cursor, which is left after them; ``cursor.gap`` tells when their numbers do not add up."""
    hunks: list[Hunk] = []
    delta = after = 0
    while (match := HUNK.match(cursor.peek() or b"")) is not None:
        hunk = _hunk(cursor, match)
        # A side without lines is numbered by the line before it.
        old_first = hunk.old_start + (not hunk.old_count)
        new_first = hunk.new_start + (not hunk.new_count)
        if old_first < after:
            raise cursor.damaged("the hunk overlaps the one before it: the patch is damaged", hunk.line)
        if new_first != old_first + delta and not cursor.gap:
            due = hunk.new_start + old_first + delta - new_first
            cursor.gap = (
                f"the hunk at line {hunk.line} starts at new line {hunk.new_start}; the ones before give {due}"
            )
        after = old_first + hunk.old_count
        delta += hunk.new_count - hunk.old_count
        hunks.append(hunk)
    if (cursor.peek() or b"").startswith(b"@@"):
        raise cursor.damaged("a hunk header that cannot be read: the line is damaged")
    return tuple(hunks)


def _hunk(cursor: Cursor, match: re.Match[bytes]) -> Hunk:
    header = cursor.number
    old_start, new_start = int(match.group(1)), int(match.group(3))
    old_count, new_count = (int(match.group(i) or b"1") for i in (2, 4))
    if not old_count and not new_count:
        raise cursor.damaged("a hunk of no lines")
    length = len(cursor.peek() or b"")
    cursor.at += 1
    _drop_wrapped_heading(cursor, length)
    body: list[Line] = []
    left = {b"-": old_count, b"+": new_count}
    while any(left.values()):
        body.append(_body_line(cursor, header, left))
        cursor.at += 1
        if (cursor.peek() or b"").startswith(_NO_LINE_FEED):
            body.append(_no_line_feed(cursor, body[-1], left))
            cursor.at += 1
    _nothing_more(cursor, header, len(body))
    if not any(data[:1] in {b"+", b"-"} for _, data in body):
        raise cursor.damaged("a hunk that changes nothing: the patch is damaged", header)
    if not any(data.startswith(b" ") for _, data in body) and old_start > (1 if old_count else 0):
        # Without context git cannot find the place: it puts such lines at the end of the file.
        raise cursor.damaged("a hunk without lines of context (-U0); make it with the usual three", header)
    return Hunk(header, old_start, old_count, new_start, new_count, match.group(5), tuple(body))


def _drop_wrapped_heading(cursor: Cursor, length: int) -> None:
    """The text after the second ``@@`` means nothing to git: when a mailer wrapped it, the rest can go."""
    data = cursor.peek() or b""
    if data[:1] in {b"", b" ", b"+", b"-", b"\\"} or HUNK.match(data):
        return
    if length + len(data.split(b" ")[0]) >= WRAP:
        cursor.notes.append(f"line {cursor.number}: left out the wrapped end of a hunk's heading")
        cursor.at += 1


def _body_line(cursor: Cursor, header: int, left: dict[bytes, int]) -> Line:
    """The line at the cursor, as part of the hunk; what it uses up is taken off ``left``."""
    data = cursor.peek()
    missing = f"{left[b'-']} old and {left[b'+']} new lines of the hunk at line {header} are missing"
    if data is None:
        raise cursor.damaged(f"the patch is cut short: {missing}")
    if _SIGNATURE.match(data) and _is_signature(cursor, left):
        raise cursor.damaged(f"the mail's signature comes too early: {missing}")
    # An empty line is a context line whose one space was lost on the way; git reads it so too.
    data = data or b" "
    uses = {b" ": (b"-", b"+"), b"-": (b"-",), b"+": (b"+",)}.get(data[:1])
    if uses is None:
        raise cursor.damaged(f"not a line of a diff: the mail was wrapped, mangled or cut; {missing}", shown=data)
    for side in uses:
        left[side] -= 1
        if left[side] < 0:
            more = "old" if side == b"-" else "new"
            raise cursor.damaged(f"the hunk at line {header} has more {more} lines than it counts", shown=data)
    return Line(cursor.number, data)


def _no_line_feed(cursor: Cursor, before: Line, left: dict[bytes, int]) -> Line:
    r"""``\ No newline at end of file``: right only after the last line of its side."""
    sides = b"-+" if before.data[:1] == b" " else before.data[:1]
    if before.data[:1] == b"\\" or any(left[bytes([side])] for side in sides):
        raise cursor.damaged("`No newline at end of file` within the file: the patch is damaged")
    return Line(cursor.number, b"\\ No newline at end of file")


def _is_signature(cursor: Cursor, left: dict[bytes, int]) -> bool:
    """Whether ``-- `` is the mail's signature: git's version, the end, or what cannot be in a hunk follows it."""
    following = cursor.peek(1)
    if following is None or re.match(rb"\d+\.\d+", following):
        return True
    return following[:1] not in {b" ", b"+", b"-", b"\\", b""} and sum(left.values()) > 1


def _nothing_more(cursor: Cursor, header: int, count: int) -> None:
    """A line that looks like one of a hunk, right after its last one, is missing from the header's count."""
    data = cursor.peek() or b""
    if data[:1] not in {b" ", b"+", b"-"} or data.startswith(b"--- ") or _SIGNATURE.match(data):
        return
    raise cursor.damaged(f"the hunk at line {header} goes on after the {count} lines that it counts", shown=data)
