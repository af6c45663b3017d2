# SPDX-License-Identifier: GPL-2.0-or-later
"""Text of strangers, made safe to show.

Subjects, file names, compiler output, a guest's console: all of it is someone else's, and a terminal obeys what is
printed on it. Nothing that `str.isprintable` refuses gets through: escape sequences, control characters, line
separators, and the marks that turn the direction of writing. Where a report has lines of its own, a line feed is
refused too: with it, a patch's subject could add a line "VERDICT".
"""

from __future__ import annotations

from collections.abc import Sequence


def printable(text: str) -> str:
    """Text of several lines: no control character but newline and tab."""
    if text.replace("\n", "").replace("\t", "").isprintable():  # nearly all of a megabyte of log
        return text
    return "".join(c if c in "\n\t" or c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def one_line(text: str) -> str:
    """Text that has to stay in its line: newlines and tabs are blanks."""
    return printable(text.replace("\r\n", "\n")).translate({ord("\n"): " ", ord("\t"): " "})


def few(names: Sequence[str], most: int = 8) -> str:
    """A list for a sentence: all of it, or its beginning and how many more there are."""
    if len(names) <= most:
        return ", ".join(names)
    return ", ".join(names[: most - 2]) + f" and {len(names) - most + 2} more"
