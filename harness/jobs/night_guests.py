# SPDX-License-Identifier: GPL-2.0-or-later
"""The guests of a night: the sweep, more of what is new, the controls, the teeth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from harness.errors import FaultloopError
from harness.expected import Expectation
from harness.jobs import controls, history, teeth
from harness.jobs.guests import GuestJob, GuestRunner
from harness.jobs.night_tree import NightTree
from harness.jobs.workshop import Workshop
from harness.model import CONTROLS, GuestRecord, Outcome, Setup, Workload
from harness.nights import Finding, Key, Seen, Teeth
from harness.oracle import verdict
from harness.past import KeptGuest, Stage
from harness.store.history import stages
from harness.swept import Cell

Again = Mapping[Key, Sequence[Outcome]]
REPEATS = 2
"""More guests for what is new."""


class NightGuests:
    """Runs them, and keeps what goes into the history."""

    def __init__(self, shop: Workshop, folder: Path, at_once: int, *, fresh: bool) -> None:
        self._shop = shop
        self._folder = folder
        self._at_once = at_once
        self._fresh = fresh
        self.kept: list[KeptGuest] = []

    def _runner(self, *, fresh: bool = False) -> GuestRunner:
        shop = self._shop
        return GuestRunner(
            shop.cache, shop.emulator, shop.guest_image, fresh=fresh or self._fresh, elsewhere=shop.elsewhere
        )

    def _run(
        self, what: str, jobs: Sequence[GuestJob], *, fresh: bool = False
    ) -> list[GuestRecord | FaultloopError]:
        if not jobs:
            return []
        runner = self._runner(fresh=fresh)
        with self._shop.progress.step(f"{len(jobs)} {what}", like=what) as step:
            found = runner.run_each(jobs, self._folder, at_once=self._at_once, on_done=step.update)
            step.worked = runner.ran > 0
            step.note = f"{runner.ran} run, {len(jobs) - runner.ran} from the cache"
        return found

    def sweep(self, cells: Sequence[Cell], workloads: Sequence[Workload]) -> list[Cell]:
        """The cells with what their guests did."""
        jobs = [GuestJob("base", cell.built, cell.setup, tuple(workloads)) for cell in cells if cell.built]
        found = iter(self._run("guests", jobs))
        made = [_with(cell, next(found)) if cell.built else cell for cell in cells]
        self.kept += [history.of_cell(cell) for cell in made]
        return made

    def again(self, cells: Sequence[Cell], new: Sequence[Finding], workloads: Sequence[Workload]) -> Again:
        """What more guests say of what is new: only of that, and none from the cache."""
        jobs = []
        for cell in cells:
            paths = {f.path for f in new if f.setup == cell.setup.name}
            chosen = tuple(w for w in workloads if w.path in paths)
            if cell.built and chosen:
                names = [f"again-{number}" for number in range(1, REPEATS + 1)]
                jobs += [GuestJob(name, cell.built, cell.setup, chosen) for name in names]
        said: dict[Key, list[Outcome]] = {}
        for job, record in zip(jobs, self._run("more guests", jobs, fresh=True), strict=True):
            if isinstance(record, GuestRecord):
                self._keep(job, record)
                for result in record.results:
                    said.setdefault((result.path, record.setup), []).append(result.outcome)
        return said

    def controls(
        self, cells: Sequence[Cell], workloads: Sequence[Workload], unmended: Sequence[str]
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Faults and notes of the controls of what loops."""
        ran = [cell for cell in cells if cell.built and cell.record and cell.stage is Stage.RAN]
        jobs = [
            job
            for cell in ran
            if cell.built and cell.record
            for job in controls.jobs([cell.record], cell.built, [cell.setup], workloads)
        ]
        records: list[GuestRecord] = []
        errors = []
        for job, found in zip(jobs, self._run("controls", jobs), strict=True):
            if isinstance(found, GuestRecord):
                self._keep(job, found)
                records.append(found)
            else:
                errors.append(f"control {CONTROLS[job.variant]} on {job.setup.name}: {found.message}")
        faults, notes = verdict.controls_of([c.record for c in ran if c.record], records, list(unmended))
        return (*(f"control: {fault}" for fault in faults), *errors), tuple(notes)

    def bite(
        self,
        tree: NightTree,
        rows: Sequence[Expectation],
        version: str,
        setups: Sequence[Setup],
        chosen: Sequence[Workload],
        every: Sequence[Workload],
    ) -> Teeth:
        """The re-breaking mutations. Their guests are no kernel's history."""
        found, _ = teeth.bite(
            tree, rows, version, setups, chosen, every, self._runner(), self._folder, at_once=self._at_once
        )
        return found

    def _keep(self, job: GuestJob, record: GuestRecord) -> None:
        built = job.built
        stage = Stage.RAN if record.booted else Stage.BOOT
        self.kept.append(KeptGuest(built.kernel, job.variant, job.setup.name, built.image_sha256, record, stage))


def _with(cell: Cell, found: GuestRecord | FaultloopError) -> Cell:
    if isinstance(found, FaultloopError):
        return replace(cell, error=found.message, stage=Stage.HARNESS)
    if found.booted:
        return replace(cell, record=found)
    why = found.results[0].reason if found.results else found.end
    return replace(cell, record=found, error=f"does not boot: {why}", theirs=True, stage=Stage.BOOT)


def seen(cells: Sequence[Cell]) -> dict[Key, Seen]:
    """What tonight saw: paths, and how far each kernel came."""
    made: dict[Key, Seen] = {}
    for cell in cells:
        titles = [splat.title for splat in cell.splats]
        made |= stages(cell.stage, cell.setup.name, cell.error, titles)
        if cell.record and cell.stage is Stage.RAN:
            made |= {(r.path, cell.setup.name): Seen(r.outcome, r.reason) for r in cell.record.results}
    return made
