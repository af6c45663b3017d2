# SPDX-License-Identifier: GPL-2.0-or-later
"""What is expected of a patch of ours, from reading the source: a row of ``patches/linux/catalogue.yaml``."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from harness.model import Kernel, Outcome, Verdict


@dataclass(frozen=True, slots=True)
class Expectation:
    """One patch, and what it must do. Paths are names, or ``PATH@SETUP`` where it differs from setup to setup."""

    file: str
    """Name of the patch, beside the catalogue."""
    base: str
    """Series of kernels.yaml."""
    title: str
    approach: str
    verdict: Verdict
    mends: frozenset[str]
    leaves: frozenset[str]
    breaks: frozenset[str]
    loops: frozenset[str]
    """Paths that LOOP on the base, whatever patch comes on top."""
    skips: frozenset[str]
    """Paths that are skipped on the base, and with a patch."""
    splat: str
    """Text that the console must hold with the patch, and must not hold without; empty: none."""
    end: str
    """How a guest ends with the patch: ``POWEROFF`` or ``PANIC``."""
    thread: str
    reason: str
    stale: frozenset[str] = frozenset()
    """Paths that are STALE with the patch; those of ``breaks`` LOOP."""
    corrupts: frozenset[str] = frozenset()
    """Paths that are CORRUPT with the patch."""
    invalid: frozenset[str] = frozenset()
    """Paths that are INVALID with the patch: what they need cannot be had any more."""
    chance: frozenset[str] = frozenset()
    """Paths whose outcome with the patch is left to chance: any is as expected."""
    damaged: frozenset[str] = frozenset()
    """Paths that are CORRUPT on the base, and with a patch that does not mend them."""
    uncounted: frozenset[str] = frozenset()
    """Paths whose counts depend on time, or on whom a notification is for."""
    also: tuple[str, ...] = ()
    """Further series to which it must apply."""
    cost: str = ""
    """What an upgrade costs at the SMMU: ``va``, ``asid``, ``none``; empty: not looked at."""
    flaw: str = ""
    """What is wrong with it although it FIXES."""
    long: bool = False
    """Its kernel costs too much on a new machine for ``make test``."""

    @property
    def name(self) -> str:
        return self.file.removesuffix(".patch")

    def told_on(self, path: str, setup: str) -> bool:
        """Whether ``cost`` is about this path."""
        return path not in self.uncounted and _among(self.mends or self.leaves or self.breaks, path, setup)

    def base_outcome(self, path: str, setup: str) -> Outcome:
        """Of the path without the patch."""
        if _among(self.skips, path, setup):
            return Outcome.SKIP
        if _among(self.damaged, path, setup):
            return Outcome.CORRUPT
        return Outcome.LOOP if _among(self.loops, path, setup) else Outcome.PASS

    def patched_outcome(self, path: str, setup: str) -> Outcome | None:
        """Of the path with the patch; None where the splat is what counts, or chance decides."""
        if self.splat or _among(self.chance, path, setup):
            return None
        if _among(self.skips, path, setup):
            return Outcome.SKIP
        damaged = self.corrupts | self.damaged - self.mends
        others = {Outcome.STALE: self.stale, Outcome.CORRUPT: damaged, Outcome.INVALID: self.invalid}
        for outcome, names in others.items():
            if _among(names, path, setup):
                return outcome
        loops = _among(self.leaves, path, setup) or _among(self.breaks, path, setup)
        return Outcome.LOOP if loops else Outcome.PASS


def _among(names: frozenset[str], path: str, setup: str) -> bool:
    return path in names or f"{path}@{setup}" in names


class Fit(StrEnum):
    """How a patch goes on a tree."""

    EXACT = "exact"
    MOVED = "moved"
    """All hunks have their whole context, some at another line."""
    LOOSE = "loose"
    """A hunk has moved, and has more than one place to go to."""
    FUZZ = "fuzz"
    """It would go on with less context only, which is not taken."""
    NONE = "no"

    @property
    def drifted(self) -> bool:
        """The patch has to be made anew."""
        return self in (Fit.LOOSE, Fit.FUZZ, Fit.NONE)


@dataclass(frozen=True, slots=True)
class Applied:
    """One patch on the present source of one series."""

    kernel: Kernel
    fit: Fit
    note: str
    """In words: which hunk, how far it moved, what stands there instead."""
    detail: str = ""
    """The lines in question."""


class Result(StrEnum):
    """What became of a row of the catalogue."""

    AS_EXPECTED = "as expected"
    APPLIES = "applies"
    """Nothing more was asked for."""
    DIFFERS = "differs"
    DRIFTED = "drifted"
    UNDECIDED = "undecided"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Tried:
    """A row of the catalogue, tried."""

    row: Expectation
    result: Result
    applied: tuple[Applied, ...] = ()
    """On its base, then on the others it is meant for."""
    verdict: Verdict | None = None
    differences: tuple[str, ...] = ()
    """Where it is not as expected, a line each."""
    paths: tuple[str, ...] = ()
    """Paths that differ."""
    detail: str = ""
    folder: Path | None = None
    """Results of its run."""
