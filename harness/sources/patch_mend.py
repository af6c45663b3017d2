# SPDX-License-Identifier: GPL-2.0-or-later
"""Undo damage that only the tree can prove: a mended patch counts when all its old lines match the tree exactly.

Added lines are mended by the same rule as the old lines around them. What no rule brings back exactly is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from harness.sources.patch_diff import FileDiff
from harness.sources.patch_text import Line

_NBSP = b"\xc2\xa0"
_TAB = 8


def candidates(files: Sequence[FileDiff]) -> Iterator[tuple[list[FileDiff], str]]:
    """Ways in which ``files`` may have been meant, each with the sentence for the user if it fits the tree."""
    texts = [data for file in files for hunk in file.hunks for _, data in hunk.body]
    nbsp = any(_NBSP in text for text in texts)
    if nbsp:
        yield _each(files, _no_nbsp), "non-breaking spaces were made spaces: so it matches the tree exactly"
    if not any(b"\t" in text for text in texts):
        for column in (0, 1):
            mend = _tabs_from(column)
            both = _chain(_no_nbsp, mend) if nbsp else mend
            yield _each(files, both), "tabs that had become spaces were put back: so it matches the tree exactly"


def _each(files: Sequence[FileDiff], mend: Callable[[bytes], bytes]) -> list[FileDiff]:
    """``files`` with ``mend`` done to each line of a hunk, its marker left alone."""
    return [
        replace(
            file,
            hunks=tuple(replace(hunk, body=tuple(_line(line, mend) for line in hunk.body)) for hunk in file.hunks),
        )
        for file in files
    ]


def _line(line: Line, mend: Callable[[bytes], bytes]) -> Line:
    if line.data.startswith(b"\\"):
        return line
    return Line(line.number, line.data[:1] + mend(line.data[1:]))


def _chain(first: Callable[[bytes], bytes], second: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    return lambda text: second(first(text))


def _no_nbsp(text: bytes) -> bytes:
    return text.replace(_NBSP, b" ")


def _tabs_from(column: int) -> Callable[[bytes], bytes]:
    """Put tabs back that were expanded with the line beginning at ``column`` (1: the marker was counted in)."""

    def mend(text: bytes) -> bytes:
        rest = text.lstrip(b" ")
        end = column + len(text) - len(rest)
        tabs, spaces = divmod(end, _TAB)
        return b"\t" * tabs + b" " * spaces + rest if tabs else text

    return mend
