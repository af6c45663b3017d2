# SPDX-License-Identifier: GPL-2.0-or-later
"""Lines that know where they stand in the user's file, and text that is safe to show.

A patch is a stranger's text. Whatever of it goes into a message (a file name, a subject, a line of code) passes
through `printable`, so that it cannot move the terminal's cursor or write a line of its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from harness.errors import PatchError

MAX_LINES = 500_000
"""Most lines of an input, before and after decoding: each costs memory, and no patch for review has so many."""


class Line(NamedTuple):
    """One line of a text, without its line feed."""

    number: int
    """Line of the user's file it comes from, from 1; of the first one, where several were joined."""
    data: bytes


def split_lines(data: bytes, first: int = 1) -> list[Line]:
    """Lines of ``data``; the line feed at the very end starts no new one."""
    parts = data.split(b"\n")
    if parts[-1] == b"":
        parts.pop()
    return [Line(number, part) for number, part in enumerate(parts, first)]


def printable(text: str | bytes, limit: int = 160) -> str:
    """``text`` in one line of at most ``limit`` characters, with everything unprintable escaped."""
    if isinstance(text, bytes):
        text = text[: 4 * limit].decode("utf-8", "backslashreplace")
    text = text.expandtabs()
    shown = "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text[: limit + 1]
    )
    return shown if len(shown) <= limit else shown[: limit - 3] + "..."


def damaged(name: str, line: int, what: str, *, detail: str = "") -> PatchError:
    """The error for ``what`` is wrong at ``line`` of the file ``name``."""
    return PatchError(f"{printable(name)}:{line}: {what}", detail=detail)


def listing(lines: Iterable[tuple[int, bytes]]) -> str:
    """Numbered lines as they are shown below an error."""
    return "\n".join(f"{number:7d} | {printable(data)}" for number, data in lines)
