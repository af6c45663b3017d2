# SPDX-License-Identifier: GPL-2.0-or-later
"""What a bisection is asked for: apart from its nouns, for the command line must not pay for those."""

from __future__ import annotations

from enum import StrEnum


class Find(StrEnum):
    """What is looked for."""

    BREAK = "break"
    """The commit from which on it goes wrong: GOOD is the older end."""
    FIX = "fix"
    """The commit that mended it: BAD is the older end."""


class Mark(StrEnum):
    """What a commit is for the bisection."""

    GOOD = "good"
    BAD = "bad"
    SKIP = "skip"
