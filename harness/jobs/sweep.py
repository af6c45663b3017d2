# SPDX-License-Identifier: GPL-2.0-or-later
"""``faultloop sweep``: workloads x kernels x setups, as one matrix.

Kernels are built first, then all guests run from one pool. A cell that fails does not stop the others. Each record
is kept as its guest ends: a sweep that was interrupted goes on where it was.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from harness.build.kernel import fragments
from harness.errors import DriverError, ExitStatus, FaultloopError, UserError
from harness.jobs import history
from harness.jobs.guests import GuestJob, GuestRunner
from harness.jobs.mended import mended
from harness.jobs.results import RunFolder
from harness.jobs.test_patch import Request
from harness.jobs.workshop import Workshop
from harness.layout import project
from harness.model import BuiltKernel, Differs, Kernel, Outcome, Setup, Workload
from harness.oracle.foreseen import foreseen
from harness.past import Stage
from harness.report import sweep as report
from harness.sources import catalogue
from harness.swept import Cell, Sweep

DEFAULT_SETUPS = "sweep"


def sweep(request: Request, shop: Workshop, kernels: Sequence[str]) -> tuple[Sweep, ExitStatus]:
    """Run everything that ``kernels``, ``request.setups`` and ``request.workloads`` name."""
    clock = time.monotonic()
    file = project().workloads
    workloads, differs = catalogue.workloads(file, request.workloads), catalogue.differences(file)
    setups = catalogue.setups(project().setups, request.setups or DEFAULT_SETUPS, accel=request.accel)
    found = {kernel.digest: kernel for kernel in map(shop.kernel, dict.fromkeys(kernels or [""]))}
    emulator, image = shop.emulator, shop.guest_image
    cells = [
        replace(cell, foreseen=_foreseen(cell, workloads, differs))
        for kernel in found.values()
        for cell in _built(kernel, setups, shop)
    ]
    runner = GuestRunner(shop.cache, emulator, image, fresh=request.fresh, elsewhere=shop.elsewhere)
    jobs = {n: _job(cell, cell.built, workloads) for n, cell in enumerate(cells) if cell.built}
    known = sum(runner.known(job) for job in jobs.values())
    if known:
        shop.progress.say(f"{known} of {len(jobs)} guests are known from earlier runs; going on with the others")
    folder = RunFolder(request.results, f"sweep {' '.join(kernel.version for kernel in found.values())}")
    with folder.open() as where:
        cells = _run(cells, jobs, runner, where, request, shop)
        done = Sweep(tuple(cells), workloads, time.monotonic() - clock, known, mended=_mended(cells, workloads))
        status = judge(done)

        there = replace(done, folder=folder.final)
        kept = history.of_sweep(there, status, emulator=emulator.key, image=image.key)

        def write(partial: Path) -> None:
            history.write_kcidb(kept, partial)
            (partial / "sweep.txt").write_text(report.plain(done), encoding="utf-8")
            (partial / "sweep.json").write_text(report.dump(done, status), encoding="utf-8")

        done = replace(done, folder=folder.keep_files(write))
    history.remember_kept(kept)
    return done, status


def judge(done: Sweep) -> ExitStatus:
    """1 when a kernel does wrong somewhere; else 4 or 3 when a cell, or an outcome, is wanting."""
    outcomes = {result.outcome for _, result in done.results()}
    if any(outcome.bad for outcome in outcomes) or any(cell.splats for cell in done.cells):
        return ExitStatus.NOT_FIXED
    if any(cell.error and not cell.theirs for cell in done.cells):
        return ExitStatus.INFRASTRUCTURE
    if any(cell.error for cell in done.cells):
        return ExitStatus.USER
    # A path that a kernel or a machine lacks is no gap of this sweep.
    return ExitStatus.UNDECIDED if outcomes & {Outcome.INVALID, Outcome.ERROR} else ExitStatus.FIXES


def _mended(cells: Sequence[Cell], workloads: Sequence[Workload]) -> dict[str, Mapping[str, str]]:
    found = {}
    for kernel in {cell.kernel.digest: cell.kernel for cell in cells}.values():
        records = [c.record for c in cells if c.record is not None and c.kernel.digest == kernel.digest]
        found[kernel.digest] = mended(kernel, workloads, records)
    return found


def built_once(
    setups: Sequence[Setup], build: Callable[[Setup], BuiltKernel], name: str, shop: Workshop
) -> Iterator[tuple[Setup, BuiltKernel | FaultloopError]]:
    """Each setup with its kernel, or why there is none (which is said, too); one build for each configuration."""
    made: dict[tuple[str, ...], BuiltKernel | FaultloopError] = {}
    for setup in setups:
        kind = fragments(setup)
        if kind not in made:
            try:
                made[kind] = build(setup)
            except FaultloopError as error:
                made[kind] = error
                shop.progress.say(f"{name} for {setup.name}: {error.message}")
        yield setup, made[kind]


def _built(kernel: Kernel, setups: Sequence[Setup], shop: Workshop) -> list[Cell]:
    """A cell for each setup, with the kernel that it runs; one build for all setups of a configuration."""
    cells = []
    for setup, result in built_once(setups, lambda setup: shop.variant(kernel, setup=setup), kernel.version, shop):
        if isinstance(result, FaultloopError):
            cells.append(_failed(Cell(kernel, setup), result, build=True))
        else:
            cells.append(Cell(kernel, setup, result))
    return cells


def _foreseen(cell: Cell, workloads: Sequence[Workload], differs: Sequence[Differs]) -> dict[str, Outcome]:
    found = {w.path: foreseen(w, cell.kernel.version, cell.setup, differs) for w in workloads}
    return {path: outcome for path, outcome in found.items() if outcome is not None}


def _job(cell: Cell, built: BuiltKernel, workloads: tuple[Workload, ...]) -> GuestJob:
    # Two trees may have one version.
    variant = f"{cell.kernel.version}-{cell.kernel.digest[:8]}"
    return GuestJob(variant, built, cell.setup, workloads)


def _run(
    cells: Sequence[Cell],
    jobs: dict[int, GuestJob],
    runner: GuestRunner,
    where: Path,
    request: Request,
    shop: Workshop,
) -> list[Cell]:
    """The cells with what their guests did."""
    done: list[str] = []

    def on_done(name: str) -> None:
        done.append(name)
        step.count(len(done), len(jobs), "guests")
        step.update(name)

    with shop.progress.step(f"{len(jobs)} guests", like="sweep") as step:
        try:
            results = runner.run_each(list(jobs.values()), where, at_once=request.guests_at_once, on_done=on_done)
        except KeyboardInterrupt:
            shop.progress.say(f"interrupted: {len(done)} guests are done and kept; the same command goes on there")
            raise
        step.worked = runner.ran > 0
        step.note = f"{runner.ran} run, {len(jobs) - runner.ran} from the cache"
    made = list(cells)
    for number, result in zip(jobs, results, strict=True):
        if isinstance(result, FaultloopError):
            made[number] = _failed(cells[number], result)
        elif not result.booted:
            why = result.results[0].reason if result.results else result.end
            error = f"does not boot: {why}"
            made[number] = replace(cells[number], record=result, error=error, theirs=True, stage=Stage.BOOT)
        else:
            made[number] = replace(cells[number], record=result)
    return made


def _failed(cell: Cell, error: FaultloopError, *, build: bool = False) -> Cell:
    theirs = isinstance(error, UserError)
    stage = Stage.DRIVER if isinstance(error, DriverError) else Stage.BUILD if build and theirs else Stage.HARNESS
    return replace(cell, error=error.message, theirs=theirs, stage=stage)
