# SPDX-License-Identifier: GPL-2.0-or-later
"""The nouns of a nightly run: what a night found, against the nights before it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from harness.model import Outcome

Key = tuple[str, str]
"""Path and setup. A path in parentheses is no workload: ``(build)``, ``(driver)``, ``(boot)``, ``(log)``."""

BUILD, DRIVER, BOOT, LOG = "(build)", "(driver)", "(boot)", "(log)"


class Kind(StrEnum):
    """What a night says of a path on a setup."""

    NEW = "new"
    """It fails, and did not when it was judged last."""
    MENDED = "mended"
    STILL = "still failing"
    FLAKY = "flaky"
    """It fails on some guests of one kernel, or comes and goes from night to night."""
    NOT_RUN = "not run"
    """It was judged before, and could not be this time."""
    GOOD = "good"
    NOT_NEEDED = "does not apply"


@dataclass(frozen=True, slots=True)
class Seen:
    """What became of a path on a setup."""

    outcome: Outcome
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Past:
    """A night of the history."""

    run: str
    """Name of its results folder."""
    started: str
    ref: str
    commit: str
    what: str
    """Digest of what was run: paths, setups, emulator, guest image."""
    status: int
    summary: str
    folder: str
    seen: Mapping[Key, Seen]
    flaky: frozenset[Key] = frozenset()
    """What that night called flaky."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One path on one setup, tonight against before."""

    path: str
    setup: str
    kind: Kind
    outcome: Outcome | None
    reason: str = ""
    was: Outcome | None = None
    """When it was judged last."""
    since: str = ""
    """NEW: the tag on which it was good last; STILL, MENDED: that on which it failed first."""
    since_commit: str = ""
    known: bool = False
    """No kernel so far does better (docs/findings.md)."""
    first_bad: str = ""
    """Commit that a bisection ended with."""
    found: str = ""
    """What came of the bisection, in words."""

    @property
    def key(self) -> Key:
        return (self.path, self.setup)
