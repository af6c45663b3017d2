# SPDX-License-Identifier: GPL-2.0-or-later
"""The nouns of a bisection: commits, what each was found to be, and how the whole ended."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from harness.model import Judgement, Outcome
from harness.sought import Find, Mark

Key = tuple[str, str]
"""Path and setup."""


class End(StrEnum):
    """How a bisection ended."""

    FOUND = "found"
    ONE_OF_THESE = "one of these"
    """Only commits that cannot be judged are left."""
    BUDGET = "budget"
    """Steps or time are used up; the same call goes on."""
    ALREADY_THERE = "already there"
    """GOOD does wrong as BAD does: it came in before."""
    NOT_YET_INTRODUCED = "not yet introduced"
    """Neither end does wrong: BAD does not have it yet (or no longer)."""
    ALREADY_FIXED = "already fixed"
    """What is good was mended before: GOOD on a branch of its own, or (the ends are swapped) BAD."""
    NOT_FIXED = "not fixed"
    """With FIX: GOOD, the newer end, does wrong as BAD does."""
    ENDS_UNDECIDED = "ends undecided"
    """An end does not build or boot, or no path says anything there."""


@dataclass(frozen=True, slots=True)
class Commit:
    """One commit of the tree."""

    sha: str
    subject: str = ""
    author: str = ""
    date: str = ""
    """Of the commit, ISO 8601."""
    parents: tuple[str, ...] = ()

    @property
    def short(self) -> str:
        return self.sha[:12]

    def __str__(self) -> str:
        return f'{self.short} ("{self.subject}")' if self.subject else self.short


@dataclass(frozen=True, slots=True)
class Step:
    """A commit that was judged, or could not be."""

    sha: str
    mark: Mark
    reason: str
    subject: str = ""
    runs: tuple[tuple[tuple[str, str, Outcome], ...], ...] = ()
    """Of each run: path, setup, outcome."""
    seconds: float = 0.0
    objects: int = 0
    """Compiled for it."""
    image: str = ""
    """Hex SHA-256 over kernel image and modules; empty when it does not build."""
    same_as: str = ""
    """The commit whose image is the same, and whose result this is."""
    end: bool = False
    """Looked at as one of the ends, not because git asked for it."""
    detail: str = ""
    """The compiler's lines, the panic, or why a fix-up does not apply."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Confidence:
    """How sure a good verdict is, from how often the bad end went wrong."""

    bad: int
    """Runs of the bad end in which it went wrong."""
    of: int
    repeat: int
    """Runs of each commit, all of which a good one must pass."""
    goods: int
    """Good verdicts on which the result stands."""

    @property
    def rate(self) -> float:
        """Chance that a run of a bad kernel shows it: rule of succession, (bad + 1) / (of + 2)."""
        return (self.bad + 1) / (self.of + 2)

    @property
    def good(self) -> float:
        """Chance that a bad kernel would not have passed as good."""
        return 1.0 - (1.0 - self.rate) ** self.repeat

    @property
    def all(self) -> float:
        """The same of all good verdicts together."""
        return float(self.good**self.goods)


@dataclass(frozen=True, slots=True)
class Bisection:
    """The whole."""

    tree: str
    find: Find
    good: Commit
    bad: Commit
    end: End
    summary: str
    status: int
    steps: tuple[Step, ...]
    """In the order in which they were judged, the ends among them."""
    watched: tuple[Key, ...]
    """What is good at GOOD and bad at BAD: it decides."""
    seconds: float
    """Of all calls together."""
    first: Commit | None = None
    """The commit that was looked for."""
    parent: Commit | None = None
    """Its first parent."""
    judgement: Judgement | None = None
    """Its outcomes against those of its parent."""
    suspects: tuple[Commit, ...] = ()
    """If it is one of these."""
    left: int = 0
    """Commits that are still possible, when steps or time were used up."""
    confidence: Confidence | None = None
    notes: tuple[str, ...] = ()
    folder: Path | None = None
    base: str = ""
    """The kernel from whose objects the first step was built."""

    @property
    def skipped(self) -> tuple[Step, ...]:
        return tuple(step for step in self.steps if step.mark is Mark.SKIP)
