# SPDX-License-Identifier: GPL-2.0-or-later
"""What is expected of a patch of ours, from reading the source: a row of ``patches/linux/catalogue.yaml``."""

from __future__ import annotations

from dataclasses import dataclass

from harness.model import Outcome, Verdict


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

    @property
    def name(self) -> str:
        return self.file.removesuffix(".patch")

    def base_outcome(self, path: str, setup: str) -> Outcome:
        """Of the path without the patch."""
        if _among(self.skips, path, setup):
            return Outcome.SKIP
        return Outcome.LOOP if _among(self.loops, path, setup) else Outcome.PASS

    def patched_outcome(self, path: str, setup: str) -> Outcome | None:
        """Of the path with the patch; None where the splat is what counts."""
        if self.splat:
            return None
        if _among(self.skips, path, setup):
            return Outcome.SKIP
        loops = _among(self.leaves, path, setup) or _among(self.breaks, path, setup)
        return Outcome.LOOP if loops else Outcome.PASS


def _among(names: frozenset[str], path: str, setup: str) -> bool:
    return path in names or f"{path}@{setup}" in names
