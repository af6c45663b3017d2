# SPDX-License-Identifier: GPL-2.0-or-later
"""What came of the kernel's own selftests: theirs and ours."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.model import Kernel, Outcome, Splat

_SKIPPED = 4
"""Exit status of a kernel selftest that was skipped (kselftest.h, KSFT_SKIP)."""


@dataclass(frozen=True, slots=True)
class Theirs:
    """Results of the test itself."""

    status: int
    passed: int = 0
    failed: int = 0
    skipped: int = 0

    @property
    def text(self) -> str:
        word = {0: "ok", _SKIPPED: "skipped"}.get(self.status, f"status {self.status}")
        if not (self.passed or self.failed or self.skipped):
            return word
        return f"{word}: {self.passed} passed, {self.failed} failed, {self.skipped} skipped"


@dataclass(frozen=True, slots=True)
class Ours:
    """What the audits say."""

    outcome: Outcome
    reason: str = ""
    audits: int = 0
    entries: int = 0
    primed: int = 0
    stale: int = 0


@dataclass(frozen=True, slots=True)
class Ran:
    """One test in one setup."""

    name: str
    expect: Outcome
    setup: str
    ours: Ours
    theirs: Theirs | None = None
    """None: it was not run, ``ours.reason`` says why."""
    seconds: float = 0.0
    splats: tuple[Splat, ...] = ()

    @property
    def outcome(self) -> Outcome:
        return Outcome.SPLAT if self.splats and not self.ours.outcome.bad else self.ours.outcome

    @property
    def reason(self) -> str:
        return self.splats[0].title if self.outcome is Outcome.SPLAT else self.ours.reason


@dataclass(frozen=True, slots=True)
class Selftests:
    """All of them."""

    kernel: Kernel
    ran: tuple[Ran, ...]
    folder: Path | None = None
