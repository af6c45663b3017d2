# SPDX-License-Identifier: GPL-2.0-or-later
"""The nouns of a sweep: workloads x kernels x setups."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness.model import BuiltKernel, GuestRecord, Kernel, Outcome, PathResult, Setup, Splat, Workload
from harness.past import Stage


@dataclass(frozen=True, slots=True)
class Cell:
    """One kernel in one setup: a column of the matrix."""

    kernel: Kernel
    setup: Setup
    built: BuiltKernel | None = None
    record: GuestRecord | None = None
    error: str = ""
    """Why there is no record."""
    theirs: bool = False
    """The kernel or the user is at fault, not the harness or the host."""
    stage: Stage = Stage.RAN
    """How far the kernel came."""
    foreseen: Mapping[str, Outcome] = field(default_factory=dict)
    """Path -> outcome that reading the source lets expect; none for a kernel that the catalogue does not know."""

    @property
    def name(self) -> str:
        return f"{self.kernel.version} on {self.setup.name}"

    def result(self, path: str) -> PathResult | None:
        """What became of a path; None when nothing did."""
        found = self.record.results if self.record else ()
        return next((r for r in found if r.path == path), None)

    @property
    def unforeseen(self) -> tuple[PathResult, ...]:
        """What is not as expected: the catalogue is wrong, or the path, or the kernel."""
        found = self.record.results if self.record else ()
        return tuple(r for r in found if r.outcome is not self.foreseen.get(r.path, r.outcome))

    @property
    def splats(self) -> tuple[Splat, ...]:
        """Outside of any workload."""
        return self.record.boot_splats if self.record else ()


@dataclass(frozen=True, slots=True)
class Sweep:
    """The whole."""

    cells: tuple[Cell, ...]
    """Kernel by kernel, each with the setups in their order."""
    workloads: tuple[Workload, ...]
    seconds: float
    known: int
    """Guests whose record an earlier run left in the cache."""
    folder: Path | None = None
    mended: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Digest of a kernel -> path that loops on it -> what is known to mend that."""

    @property
    def kernels(self) -> tuple[Kernel, ...]:
        return tuple({cell.kernel.digest: cell.kernel for cell in self.cells}.values())

    def of(self, kernel: Kernel) -> tuple[Cell, ...]:
        """The cells of one kernel."""
        return tuple(cell for cell in self.cells if cell.kernel.digest == kernel.digest)

    def results(self) -> Iterator[tuple[Cell, PathResult]]:
        for cell in self.cells:
            for result in cell.record.results if cell.record else ():
                yield cell, result
