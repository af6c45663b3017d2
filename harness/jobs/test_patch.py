# SPDX-License-Identifier: GPL-2.0-or-later
"""``faultloop test-patch`` and ``faultloop run``: build, boot, run the workloads, judge."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from harness import layout
from harness.build import checkpatch
from harness.build.kernel import fragments
from harness.build.sandbox import UNCONFINED
from harness.errors import ExitStatus, InfrastructureError, UserError
from harness.jobs import controls, history
from harness.jobs.base import base_of
from harness.jobs.guests import GuestJob, GuestRunner
from harness.jobs.mended import mended
from harness.jobs.workshop import Workshop
from harness.model import CONTROLS, BuiltKernel, Checks, GuestRecord, Kernel, Outcome, Run, Series, Setup, Workload
from harness.oracle import verdict
from harness.shown import few
from harness.sources import catalogue
from harness.sources.patch_input import Given


@dataclass(frozen=True, slots=True)
class Request:
    """What the user asked for."""

    kernel: str = ""
    """Name, path, tarball or TREE@REF; empty: the default of kernels.yaml."""
    patches: tuple[str, ...] = ()
    """Files, folders, Message-IDs, links, ``git:RANGE``, in order."""
    version: int | None = None
    """Which version to take of a thread that holds several."""
    tree: str = ""
    """Git tree of ``git:RANGE``, and where a base may be found; empty: the folder at hand."""
    setups: str = ""
    workloads: str = ""
    accel: str = "tcg"
    fresh: bool = False
    """Run every guest, also those whose record is in the cache."""
    guests_at_once: int = 2
    results: Path = Path("results")


def test_patch(request: Request, shop: Workshop) -> tuple[Run, Path]:
    """Judge a patch: the run and the folder of its results."""
    given = shop.patches(request.patches, version=request.version, tree=request.tree)
    return run_series(request, shop, given)


def run_kernel(request: Request, shop: Workshop) -> tuple[Run, Path]:
    """Is this kernel affected? One variant, no patch."""
    return run_series(request, shop, Given(Series()))


def run_series(request: Request, shop: Workshop, given: Given) -> tuple[Run, Path]:
    """Judge what was given, or tell whether the kernel is affected when that is nothing."""
    started, clock = datetime.now(UTC).isoformat(timespec="seconds"), time.monotonic()
    workloads = catalogue.workloads(layout.project().workloads, request.workloads)
    setups = catalogue.setups(layout.project().setups, request.setups, accel=request.accel)
    series = given.series
    chosen = base_of(given, shop, asked=request.kernel, tree=request.tree)
    kernel = chosen.kernel
    emulator, image = shop.emulator, shop.guest_image
    base = shop.variant(kernel, setup=one_kernel(setups))
    patched, checks = _patched(series, base, setups[0], shop) if series.patches else (None, Checks())

    from harness.jobs.results import RunFolder  # the reports: imported while a kernel is built

    folder = RunFolder(request.results, series.title or f"kernel {kernel.version}")
    with folder.open() as where:
        runner = GuestRunner(shop.cache, emulator, image, fresh=request.fresh, elsewhere=shop.elsewhere)
        records = _guests(runner, request, shop, where, (base, patched), setups, workloads)
        run = Run(
            job="test-patch" if series.patches else "run",
            started=started,
            seconds=0.0,
            kernel=kernel,
            series=series,
            base=base,
            patched=patched,
            emulator=emulator,
            guest=image,
            setups=setups,
            workloads=workloads,
            records=tuple(records),
            judgement=None,
            status=0,
            summary="",
            notes=(*chosen.notes, *([] if base.confined else [UNCONFINED])),
            base_why=chosen.why,
            command=_command(request, kernel, series),
            checks=checks,
            mended=mended(kernel, workloads, [r for r in records if r.variant == "base"]),
        )
        run = replace(_judge(run), seconds=time.monotonic() - clock)
        return run, folder.keep(run)


def _patched(series: Series, base: BuiltKernel, setup: Setup, shop: Workshop) -> tuple[BuiltKernel, Checks]:
    """The patched kernel, and what a reviewer would ask beside the verdict, which is looked at meanwhile."""
    with ThreadPoolExecutor(max_workers=1) as beside:
        style = beside.submit(_style, series, base.kernel, shop)
        beside.submit(history.import_ahead)
        patched = shop.variant(base.kernel, series, setup=setup)
        warnings = checkpatch.new_warnings(base.warnings, patched.warnings)
        return patched, Checks(warnings=warnings, checkpatch=style.result())


def _style(series: Series, kernel: Kernel, shop: Workshop) -> tuple[str, ...]:
    """Findings of checkpatch; where it cannot be run, that is the finding: no verdict hangs on it."""
    try:
        return checkpatch.check(kernel, series, cache=shop.cache, sandbox=shop.sandbox)
    except InfrastructureError as error:
        return (f"checkpatch.pl was not run to its end: {error.message}",)


def _guests(
    runner: GuestRunner,
    request: Request,
    shop: Workshop,
    where: Path,
    variants: tuple[BuiltKernel, BuiltKernel | None],
    setups: Sequence[Setup],
    workloads: tuple[Workload, ...],
) -> list[GuestRecord]:
    """Base, patched, then the controls of what loops on the base."""
    base, patched = variants
    jobs = [GuestJob("base", base, s, workloads) for s in setups]
    jobs += [GuestJob("patched", patched, s, workloads) for s in setups] if patched else []
    ahead: list[GuestJob] = []
    if len(jobs) < request.guests_at_once:  # a CPU would stand idle
        differs = catalogue.differences(layout.project().workloads)
        ahead = controls.expected(base, setups, workloads, differs)
    everything = [*jobs, *ahead]
    with shop.progress.step(f"{len(everything)} guests", like=f"guests {len(everything)}") as step:
        done = step.counter(len(everything), "guests")
        records = runner.run(everything, where, at_once=request.guests_at_once, on_done=done)
        step.worked = runner.ran > 0
        step.note = f"{runner.ran} run, {len(everything) - runner.ran} from the cache"
    records, early = records[: len(jobs)], records[len(jobs) :]
    _check_boots(records, base)
    again = controls.jobs(records, base, setups, workloads)
    for job, record in zip(ahead, early, strict=True):
        if job in again:
            again.remove(job)
            records.append(record)
        else:  # the base did not as expected
            shutil.rmtree(where / job.name)
    if again:
        with shop.progress.step("controls", like=f"controls {len(again)}") as step:
            already = runner.ran
            done = step.counter(len(again), "guests")
            records += runner.run(again, where, at_once=request.guests_at_once, on_done=done)
            step.worked = runner.ran > already
    return records


def _check_boots(records: Sequence[GuestRecord], base: BuiltKernel) -> None:
    """A base that does not come up cannot be compared with anything."""
    for record in records:
        if record.variant == "base" and not record.booted:
            why = record.results[0].reason if record.results else record.end
            splats = "\n\n".join(s.text for s in record.boot_splats[:2])
            raise UserError(
                f"base kernel {base.kernel.version} ({base.kernel.name}) does not boot on {record.setup}: {why}",
                detail=splats,
            )


def _judge(run: Run) -> Run:
    base = [r for r in run.records if r.variant == "base"]
    judged = "base" if run.patched is None else "patched"
    run = replace(run, notes=run.notes + verdict.audit_notes(r for r in run.records if r.variant == judged))
    again = [r for r in run.records if r.variant in CONTROLS]
    unmended = [w.path for w in run.workloads if w.unmended]
    if run.patched is not None:
        patched = [r for r in run.records if r.variant == "patched"]
        judgement = verdict.judge(base, patched, controls=again, unmended=unmended)
        status = verdict.STATUS[judgement.verdict]
        return replace(run, judgement=judgement, status=int(status), summary=judgement.reason)
    status, summary = _affected(base)
    faults, notes = verdict.controls_of(base, again, unmended)
    if faults:
        status, summary = ExitStatus.UNDECIDED, "control failed: " + "; ".join(faults)
    return replace(run, status=int(status), summary=summary, notes=(*run.notes, *notes))


def _affected(records: Sequence[GuestRecord]) -> tuple[ExitStatus, str]:
    """Status and sentence of a run without a patch: 0 clean, 1 affected, 3 undecided."""
    results = [r for record in records for r in record.results]
    bad = list(dict.fromkeys(f"{r.path} {r.outcome}" for r in results if r.outcome.bad))
    logs = list(dict.fromkeys(s.title for record in records for s in record.boot_splats))
    skipped = {r.path for r in results if r.outcome is Outcome.SKIP}
    undecided = [r for r in results if r.outcome.undecided and r.outcome is not Outcome.SKIP]
    if bad or logs:
        return ExitStatus.NOT_FIXED, "affected: " + few(bad + logs)
    if undecided or len(skipped) == len({r.path for r in results}):
        names = dict.fromkeys(f"{r.path} {r.outcome}" for r in undecided or results)
        return ExitStatus.UNDECIDED, "undecided: " + few(list(names))
    passed = sum(r.outcome is Outcome.PASS for r in results)
    some = f", {len(results) - passed} do not apply" if skipped else ""
    return ExitStatus.FIXES, f"not affected: all {passed} pass{some}"


def one_kernel(setups: Sequence[Setup]) -> Setup:
    """A setup for whose kernel all are; UserError when they need several: a run has one base."""
    kinds = {fragments(setup) for setup in setups}
    if len(kinds) > 1:
        names = ", ".join(f"{s.name} ({' '.join(fragments(s)[1:])})" for s in setups)
        raise UserError(
            f"setups with kernels of several configurations: {names}; run them one configuration at a time, or "
            "use `faultloop sweep`"
        )
    return setups[0]


def _command(request: Request, kernel: Kernel, series: Series) -> tuple[str, ...]:
    """Arguments of ``faultloop`` that repeat the run; the patch is the copy in the results folder."""
    path, at, ref = kernel.name.rpartition("@")
    name = str(Path(kernel.name).resolve()) if Path(kernel.name).exists() else kernel.name
    if at and Path(path).is_dir():
        name = f"{Path(path).resolve()}@{ref}"
    words = ["test-patch", "{here}/series.patch", "--base", name] if series.patches else ["run", "--kernel", name]
    for option, value in (("--setup", request.setups), ("--workloads", request.workloads)):
        words += [option, value] if value else []
    words += ["--accel", request.accel] if request.accel != "tcg" else []
    return (*words, "--fresh")
