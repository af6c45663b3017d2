# SPDX-License-Identifier: GPL-2.0-or-later
"""Boot a variant in a setup, run the workloads, record everything; several guests at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from harness import disk
from harness.build.cache import Cache
from harness.errors import (
    FaultloopError,
    GuestError,
    GuestHung,
    GuestPanicked,
    GuestStopped,
    InfrastructureError,
    UserError,
)
from harness.jobs import pool
from harness.jobs.moments import Recorder
from harness.jobs.records import Records, console, load, save
from harness.model import (
    BuiltKernel,
    Emulator,
    GuestImage,
    GuestRecord,
    Setup,
    Workload,
)
from harness.oracle import setup as machine
from harness.oracle import sva
from harness.oracle.timeline import MOST_EVENTS
from harness.recorded import RawGuest, WorkloadRun
from harness.vm import command
from harness.vm.spec import JOURNAL, End, GuestSpec

if TYPE_CHECKING:
    from harness.vm.machine import Guest

_THP = "/sys/kernel/mm/transparent_hugepage/enabled"

MAX_BOOTS = 4
"""A guest that dies under a workload is booted anew for the rest, this often in all."""


@dataclass(frozen=True, slots=True)
class GuestJob:
    """One guest to run: a variant in a setup, with its workloads."""

    variant: str
    built: BuiltKernel
    setup: Setup
    workloads: tuple[Workload, ...]
    sites: tuple[str, ...] = ()
    """Places of the kernel's code to probe, as ``workloads --sites`` takes them."""
    also: tuple[str, ...] = ()
    """More functions for the timeline, as ``workloads --also`` takes them."""
    most_events: int = MOST_EVENTS
    """Kept of each path's timeline."""

    @property
    def name(self) -> str:
        return f"{self.variant}/{self.setup.name}"


class GuestRunner:
    """Runs guests for one job; ``fresh`` ignores records of earlier runs."""

    def __init__(
        self,
        cache: Cache,
        emulator: Emulator,
        image: GuestImage,
        *,
        fresh: bool = False,
        elsewhere: pool.Elsewhere | None = None,
    ) -> None:
        self._records = Records(cache, emulator, image, fresh=fresh)
        self._emulator = emulator
        self._image = image
        self._elsewhere = elsewhere
        self.ran = 0
        """Guests that were run, not taken from the cache."""

    def run(
        self, jobs: Sequence[GuestJob], folder: Path, *, at_once: int, on_done: Callable[[str], None]
    ) -> list[GuestRecord]:
        """The record of each job, its logs under ``folder/<variant>/<setup>``; raises the first error."""
        records = []
        for found in self.run_each(jobs, folder, at_once=at_once, on_done=on_done):
            if isinstance(found, FaultloopError):
                raise found
            records.append(found)
        return records

    def run_each(
        self, jobs: Sequence[GuestJob], folder: Path, *, at_once: int, on_done: Callable[[str], None]
    ) -> list[GuestRecord | FaultloopError]:
        """The record of each job, or why there is none. A record is kept as soon as its guest has ended."""
        todo = []
        for job in jobs:
            where = folder / job.name
            where.parent.mkdir(parents=True, exist_ok=True)
            if not self._records.recall(job, where):
                todo.append((job, where))

        def ended(number: int, error: FaultloopError | None) -> None:
            job, where = todo[number]
            if error is None:
                self._records.remember(job, where)
                self.ran += 1
                on_done(job.name)

        if self._elsewhere is not None:
            errors = self._elsewhere.guests(todo, self._emulator, self._image, ended)
        else:
            errors = pool.run([self._task(job, where) for job, where in todo], at_once=at_once, on_end=ended)
        failed = {where: error for (_, where), error in zip(todo, errors, strict=True) if error is not None}
        wheres = [folder / job.name for job in jobs]
        return [failed.get(where) or replace(load(where), logs=where) for where in wheres]

    def known(self, job: GuestJob) -> bool:
        """Whether its record is in the cache, from an earlier run."""
        return self._records.find(job) is not None

    def _task(self, job: GuestJob, where: Path) -> Callable[[], None]:
        return lambda: record(job, self._emulator, self._image, where)


def record(job: GuestJob, emulator: Emulator, image: GuestImage, where: Path) -> None:
    """Run one job to its end and leave its logs in ``where``: ``boot-N/{guest.json,console.log,...}``.

    What an earlier boot found is not lost with a later one that fails: what was left to run is ERROR then.
    """
    with disk.told(where, disk.RESULTS):
        _record(job, emulator, image, where)


def _record(job: GuestJob, emulator: Emulator, image: GuestImage, where: Path) -> None:
    paths = tuple(w.path for w in job.workloads)
    for boot in range(MAX_BOOTS):
        logs = where / f"boot-{boot}"
        logs.mkdir(parents=True)
        try:
            raw = _one_boot(job, emulator, image, paths, logs)
        except InfrastructureError as error:
            if boot == 0:
                raise
            (logs / "console.log").touch()  # it may not have come that far
            raw = RawGuest(job.variant, job.setup.name, paths, (), End.KILLED, 0.0, 0.0, error.message)
        save(raw, logs)
        paths = paths[len(raw.runs) :]
        if not paths or not raw.runs:
            return


def _one_boot(
    job: GuestJob, emulator: Emulator, image: GuestImage, paths: tuple[str, ...], logs: Path
) -> RawGuest:
    """Boot, run what is left to run, power off. The kernel's faults end up in the record, ours are raised."""
    from harness.vm.machine import Guest  # SSH and QMP: not loaded where all records are known

    runs: list[WorkloadRun] = []
    started = time.monotonic()
    boot_seconds, message, end = 0.0, "", ""
    # A bound of the timeline of its own: somebody wants to see more of it, and may wait for that.
    journal = JOURNAL if job.most_events == MOST_EVENTS else job.most_events
    guest = Guest(GuestSpec.of(emulator, job.built, image, job.setup, journal=journal), logs)
    recorder = Recorder(guest, job.most_events)
    try:
        with guest:
            boot_seconds = time.monotonic() - started
            _check_sva(guest, job, logs)
            _check_setup(guest, job.setup, logs)
            if job.sites:
                _probe(guest, "--sites", job.sites, logs / "sites.log")
            if job.also:
                _probe(guest, "--also", job.also, logs / "also.log")
            for path in paths:
                run = _run_workload(guest, path, job.setup, recorder)
                runs.append(run)
                if run.failure:
                    message = run.message
                    break
            else:
                message = _power_off(guest)
    except GuestPanicked as error:
        end, message = "PANIC", error.message
    except GuestHung as error:
        end, message = "HANG", error.message
    except GuestStopped as error:
        end, message = guest.end or "RESET", error.message
    recorder.write(logs)
    return RawGuest(
        variant=job.variant,
        setup=job.setup.name,
        paths=paths,
        runs=tuple(runs),
        end=end or guest.end,
        boot_seconds=boot_seconds,
        seconds=time.monotonic() - started,
        message=message,
        recorded=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _power_off(guest: Guest) -> str:
    """All has been run; trouble of ours with the end, as told to the user, takes nothing of it away."""
    try:
        guest.power_off()
    except GuestError as error:
        return error.message
    return ""


def _run_workload(guest: Guest, path: str, setup: Setup, recorder: Recorder) -> WorkloadRun:
    """One workload with the SMMU's counters around it. A guest that dies or hangs is a finding, not an error."""
    started = time.monotonic()
    before: dict[str, int] = {}
    after: dict[str, int] = {}
    lines: list[str] = []
    failure, message = "", ""
    status: int | None = None
    stderr = ""
    argv = ["/faultloop/workloads", *([] if setup.iotlb else ["--uncached"]), path]
    try:
        before = guest.counters()
        result = guest.run(argv, on_line=lines.append, last_words=f"faultloop: end {path}")
        after = guest.counters()
        status, stderr = result.status, result.stderr
    except GuestPanicked as error:
        failure, message = "PANIC", error.message
    except GuestHung as error:
        failure, message = "HANG", error.message
    except GuestStopped as error:
        failure, message = "STOPPED", error.message
    except GuestError as error:
        failure, message = "CONTROL", error.message
    return WorkloadRun(
        path=path,
        ktap="\n".join(recorder.take(path, lines)) + "\n",
        status=status,
        before=before,
        after=after,
        seconds=time.monotonic() - started,
        stderr=stderr,
        failure=failure,
        message=message,
    )


def _check_sva(guest: Guest, job: GuestJob, logs: Path) -> None:
    """UserError when this kernel offers no SVA on this machine, with the precondition that failed."""
    found = guest.run(["test", "-c", "/dev/sva_testdev"])
    if found.status == 0:
        return
    why = sva.diagnose(console(logs), job.built.config.read_text(encoding="utf-8"), job.setup)
    kernel = job.built.kernel
    raise UserError(
        f"{job.variant} kernel {kernel.version} ({kernel.name}) offers no SVA on {job.setup.name}: {why}"
    )


def _probe(guest: Guest, how: str, places: Sequence[str], log: Path) -> None:
    """Set a kprobe at each place; what the kernel refuses is kept in ``log``."""
    done = guest.run(["/faultloop/workloads", how, *places])
    if done.status:
        raise InfrastructureError("the guest could not set its probes", detail=done.stdout + done.stderr)
    log.write_text(done.stdout, encoding="utf-8")


def _check_setup(guest: Guest, setup: Setup, logs: Path) -> None:
    """InfrastructureError when QEMU or the guest shows another machine than was asked for."""
    wanted = command.smmu(setup)
    found = machine.outside(setup, wanted, guest.smmu(wanted), guest.cpu_type())
    found += machine.inside(setup, console(logs))
    if setup.thp != Setup("", "").thp:  # init's own choice needs no look: it costs a tenth of a second
        found += machine.huge_pages(setup, guest.run(["cat", _THP]).stdout)
    if found:
        raise InfrastructureError(
            f"setup {setup.name}: the machine is not what was asked for: {found[0]}", detail="\n".join(found)
        )
