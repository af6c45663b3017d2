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


@dataclass(frozen=True, slots=True)
class Teeth:
    """A kernel with the notification taken out: what must fail on it."""

    patch: str = ""
    """Of the catalogue; empty: none applies."""
    held: tuple[Key, ...] = ()
    """What failed, as it must."""
    silent: tuple[tuple[Key, Outcome], ...] = ()
    """What did not."""
    why: str = ""
    """Why there are none."""

    @property
    def faults(self) -> tuple[str, ...]:
        """What is wrong with tonight's checks, a sentence each."""
        if self.why:
            return (f"no teeth: {self.why}",)
        told = (f"{path} on {setup} is {outcome}" for (path, setup), outcome in self.silent)
        return tuple(f"teeth: with {self.patch} {one}, and must fail" for one in told)


@dataclass(frozen=True, slots=True)
class Night:
    """One night: what it looked at, and what it says."""

    tree: str
    """Folder or URL."""
    branch: str
    """Empty: its tags."""
    ref: str
    commit: str
    version: str
    """Of the kernel; empty when it was not built."""
    started: str
    seconds: float
    status: int
    findings: tuple[Finding, ...]
    teeth: Teeth
    faults: tuple[str, ...]
    """What keeps the night from being believed: controls and teeth."""
    notes: tuple[str, ...] = ()
    drifted: tuple[str, ...] = ()
    """Patches of the catalogue that do not apply to this tree any more, and why."""
    fitting: int = 0
    """How many do."""
    compared: int = 0
    """Earlier nights that it was compared with."""
    last: str = ""
    """Tag of the latest of them."""
    removed: tuple[str, ...] = ()
    """Results folders of earlier nights that were too many."""
    folder: str = ""
    already: str = ""
    """When this commit was judged before; then nothing was run."""
    summary: str = ""

    def of(self, kind: Kind) -> tuple[Finding, ...]:
        """The findings of one kind."""
        return tuple(f for f in self.findings if f.kind is kind)
