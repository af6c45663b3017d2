# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel of a night: built from the objects of the nearest one that was built before, without a checkout."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from harness.errors import DriverError, FaultloopError, PatchedDriverError, UserError
from harness.expected import Applied, Expectation
from harness.jobs import catalogue
from harness.jobs.bisect_bench import Bench
from harness.jobs.sweep import built_once
from harness.jobs.workshop import Workshop
from harness.layout import project
from harness.model import BuiltKernel, Kernel, Series, Setup
from harness.past import Stage
from harness.sought import Find
from harness.sources import git, git_range
from harness.sources.git_bisect import Bisector
from harness.sources.mirror import Tip
from harness.swept import Cell
from harness.temporary import temporary

_SERIES = re.compile(r"(\d+)\.(\d+)-")
_MOST_FILE = 8 << 20


class NightTree:
    """Builds what a night runs: the commit as it is, and with a patch of ours."""

    def __init__(self, shop: Workshop, tip: Tip, repository: Bisector) -> None:
        self._shop = shop
        self._tree = git_range.top(tip.repository)
        self._tip = tip
        self._repository = repository
        self._commit = repository.commit(tip.commit)

    def built(self, setup: Setup, series: Series | None = None) -> BuiltKernel:
        """The commit for ``setup``, with ``series`` on top; errors as of `kernel.build`."""
        bench = Bench(self._shop, self._repository, self._tree, self._tip.commit, series or Series(), setup)
        return bench.make(self._commit).built

    def cells(self, setups: Sequence[Setup]) -> list[Cell]:
        """A cell for each setup, with its kernel or what kept it from being built."""
        cells = []
        for setup, found in built_once(setups, self.built, self._tip.ref, self._shop):
            if isinstance(found, FaultloopError):
                stage = stage_of(found)
                theirs = stage is Stage.BUILD
                cells.append(Cell(self.unbuilt, setup, error=told(found), theirs=theirs, stage=stage))
            else:
                cells.append(Cell(found.kernel, setup, found))
        return cells

    @property
    def unbuilt(self) -> Kernel:
        """The kernel by name only."""
        origin = f"git {self._tip.commit}"
        return Kernel(f"{self._tree}@{self._tip.commit}", self._tip.ref, origin, self._tip.commit, Path())

    def series(self, row: Expectation) -> Series:
        """The patch of a row of the catalogue."""
        return self._shop.patches([str(project().linux / row.file)], version=None, tree="").series

    def fits(self, rows: Sequence[Expectation]) -> list[tuple[Expectation, Applied]]:
        """How each patch goes on this commit; only the files that they touch are taken out of git."""
        read = {row.name: self.series(row) for row in rows}
        with temporary("night") as scratch:
            self._write({name for series in read.values() for name in series.files}, Path(scratch))
            kernel = Kernel(self._tip.ref, self._tip.ref, "", self._tip.commit, Path(scratch))
            return [(row, catalogue.apply(kernel, read[row.name])) for row in rows]

    def _write(self, names: Iterable[str], folder: Path) -> None:
        for name in names:
            with contextlib.suppress(UserError):  # the commit has no such file
                content = git.read_bytes(self._tree, ["cat-file", "blob", f"{self._tip.commit}:{name}"])
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(content[:_MOST_FILE])


@contextlib.contextmanager
def night_tree(shop: Workshop, tip: Tip, scratch: Path) -> Iterator[NightTree]:
    """The tree of ``tip``, for the length of a ``with``."""
    with Bisector(git_range.top(tip.repository), scratch / "git", Find.BREAK) as repository:
        yield NightTree(shop, tip, repository)


def stage_of(error: FaultloopError) -> Stage:
    """Whom an error of a build is to be laid to: the kernel, our driver for it, or the harness."""
    if isinstance(error, (DriverError, PatchedDriverError)):
        return Stage.DRIVER
    return Stage.BUILD if isinstance(error, UserError) else Stage.HARNESS


def told(error: FaultloopError) -> str:
    """The error with the first line of its detail: the compiler's."""
    first = next((line.strip() for line in error.detail.splitlines() if line.strip()), "")
    return f"{error.message}: {first}" if first else error.message


def nearest(rows: Sequence[Expectation], version: str) -> list[Expectation]:
    """``rows`` by how near their series is to ``version``: the newest not above it, older ones, those above."""
    match = re.match(r"(\d+)\.(\d+)", version)
    ours = (int(match.group(1)), int(match.group(2))) if match else (10**6, 0)

    def rank(row: Expectation) -> tuple[int, int, int]:
        found = _SERIES.match(row.file)
        major, minor = (int(found.group(1)), int(found.group(2))) if found else (0, 0)
        return (0, -major, -minor) if (major, minor) <= ours else (1, major, minor)

    return sorted(rows, key=rank)


def of_nearest(rows: Sequence[Expectation], version: str) -> list[Expectation]:
    """Those of the one series that is nearest."""
    ordered = nearest(rows, version)
    return [row for row in ordered if row.file.split("-")[0] == ordered[0].file.split("-")[0]]
