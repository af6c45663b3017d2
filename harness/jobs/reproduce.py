# SPDX-License-Identifier: GPL-2.0-or-later
"""``faultloop reproduce``: boot the guests of a bundle again, and compare the outcome of each path.

Whatever the bundle says is a stranger's word: nothing is built, nothing of it gets into the cache, its kernels
run in a guest as any other, and its emulator is run only where the user trusts it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

from harness.build import emulator
from harness.build.cache import file_sha256
from harness.errors import ExitStatus, InfrastructureError, UserError
from harness.jobs import guests, kept, pool
from harness.jobs.guests import GuestJob
from harness.jobs.records import load
from harness.jobs.results import RunFolder
from harness.jobs.workshop import Workshop
from harness.model import BTM_ON, IOTLB_OFF, BuiltKernel, Emulator, GuestImage, Kernel, Series, Workload
from harness.report import reproduced
from harness.report.reproduced import Again, Found
from harness.report.schema import Build, GuestFile, RunFile
from harness.shown import one_line
from harness.sources import bundle, catalogue
from harness.sources.bundle import Manifest
from harness.temporary import temporary

_PATH = re.compile(r"[a-z0-9][a-z0-9-]{0,99}")
_HOST_KEY = re.compile(r"ssh-ed25519 [A-Za-z0-9+/=]{1,200}(?: [!-~]*)?")
_VARIANTS = {"base": {}, "patched": {}, IOTLB_OFF: {"iotlb": 0}, BTM_ON: {"btm": "force"}}
"""Variants that a run has, and what is other about the machine of each."""
_MOST_GUESTS = 64


@dataclass(frozen=True, slots=True)
class Opened:
    """A bundle that was unpacked and verified."""

    folder: Path
    manifest: Manifest
    run: RunFile


def reproduce(
    given: Path, shop: Workshop, *, trust_emulator: bool, results: Path
) -> tuple[Found, ExitStatus, Path]:
    """What came of it, the status (0: every outcome is as recorded, 1: not), and the folder with the new logs."""
    with temporary("bundle") as scratch:
        with shop.progress.step("bundle") as step:
            folder, manifest = bundle.unpack(given, Path(scratch), shop.sandbox)
            opened = Opened(folder, manifest, kept.read(folder / "run"))
            step.note = f"{len(manifest.files)} files, all as its list says"
        jobs = [job_of(opened, guest, Path(scratch)) for guest in opened.run.guests]
        if not 0 < len(jobs) <= _MOST_GUESTS:
            raise UserError(f"{given}: {len(jobs)} guests in its run.json; a run has 1 to {_MOST_GUESTS}")
        machine = _emulator(opened, shop, trust_emulator, Path(scratch))
        image = _image(opened)
        where = RunFolder(results, f"again {opened.run.kernel.version}")
        with where.open() as logs:
            again = _run(jobs, opened, shop, machine, image, logs)
            found = Found(
                summary=one_line(opened.run.summary),
                emulator="the bundle's" if trust_emulator and machine.origin == "bundle" else "our own",
                recorded_status=opened.run.exit_status,
                paths=tuple(again),
            )
            status = ExitStatus.FIXES if all(a.same for a in again) else ExitStatus.NOT_FIXED
            kept_in = where.keep_files(lambda folder: _keep(found, status, folder))
    return found, status, kept_in


def _keep(found: Found, status: ExitStatus, folder: Path) -> None:
    (folder / "reproduced.json").write_text(reproduced.dump(found, status), encoding="utf-8")


def _run(
    jobs: list[GuestJob], opened: Opened, shop: Workshop, machine: Emulator, image: GuestImage, logs: Path
) -> list[Again]:
    with shop.progress.step(f"{len(jobs)} guests", like=f"guests {len(jobs)}") as step:
        tasks = []
        for job in jobs:
            (logs / job.name).parent.mkdir(parents=True, exist_ok=True)
            tasks.append(_task(job, machine, image, logs / job.name))
        done = step.counter(len(jobs), "guests")
        errors = pool.run(tasks, at_once=2, on_end=lambda number, error: done(jobs[number].name))
    for error in errors:
        if error is not None:
            raise error
    found = []
    for job, recorded in zip(jobs, opened.run.guests, strict=True):
        now = {result.path: result for result in load(logs / job.name).results}
        for path, before in recorded.outcomes.items():
            reason = "" if now[path].outcome is before else one_line(now[path].reason)
            found.append(Again(path, job.setup.name, job.variant, before, now[path].outcome, reason))
    return found


def _task(job: GuestJob, machine: Emulator, image: GuestImage, where: Path) -> pool.Task:
    return lambda: guests.record(job, machine, image, where)


def job_of(opened: Opened, guest: GuestFile, scratch: Path) -> GuestJob:
    """One guest of the run, every name and number of it checked: they become file names and QEMU's options."""
    if guest.variant not in _VARIANTS:
        raise UserError(f"run.json: guests: variant {one_line(guest.variant)!r}: known are {', '.join(_VARIANTS)}")
    if guest.setup not in opened.run.setups:
        raise UserError(f"run.json: guests: setup {one_line(guest.setup)!r} is not among its setups")
    setup = catalogue.checked_setup(opened.run.setups[guest.setup])
    if setup.accel == "kvm" and os.uname().machine != "aarch64":
        raise UserError(f"the run was made with kvm on an arm64 host; this one is {os.uname().machine}")
    bad = [path for path in guest.outcomes if not _PATH.fullmatch(path)]
    if bad or not guest.outcomes:
        raise UserError(f"run.json: guests: {one_line(str(bad[:1]))}: not the names of paths")
    workloads = tuple(Workload(path=path, family="", what="") for path in guest.outcomes)
    built = _built(opened, "patched" if guest.variant == "patched" else "base", scratch)
    return GuestJob(guest.variant, built, replace(setup, **_VARIANTS[guest.variant]), workloads)  # type: ignore[arg-type]


def _built(opened: Opened, variant: str, scratch: Path) -> BuiltKernel:
    folder = opened.folder / "kernels" / variant
    modules = [
        opened.folder / name for name in opened.manifest.files if name.startswith(f"kernels/{variant}/modules/")
    ]
    build: Build | None = getattr(opened.run.builds, variant)
    missing = [name for name in ("Image", "config") if f"kernels/{variant}/{name}" not in opened.manifest.files]
    if build is None or missing or not modules:
        raise UserError(f"the bundle holds no whole {variant} kernel")
    told = opened.run.kernel
    return BuiltKernel(
        kernel=Kernel(told.name, told.version, told.origin, told.sha256, scratch),
        series=Series(),
        key=build.key,
        image=folder / "Image",
        modules=tuple(sorted(modules)),
        config=folder / "config",
        log=folder / "config",
        release=build.release,
        image_sha256=file_sha256(folder / "Image"),
        objects=build.objects,
        seconds=build.seconds,
    )


def _image(opened: Opened) -> GuestImage:
    folder = opened.folder / "guest"
    try:
        host_key = (folder / "host_key.pub").read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"guest/host_key.pub: {error}") from error
    if not _HOST_KEY.fullmatch(host_key):
        raise UserError("guest/host_key.pub: not an ed25519 key")
    for name in ("initramfs", "disk", "client_key"):
        if not (folder / name).is_file():
            raise UserError(f"guest/{name}: missing from the bundle")
    return GuestImage(folder / "initramfs", folder / "disk", folder / "client_key", host_key, opened.run.guest.key)


def _emulator(opened: Opened, shop: Workshop, trusted: bool, scratch: Path) -> Emulator:
    """Our own, if it was built of the same things; the bundle's where the user says so."""
    told = opened.manifest.emulator
    ours = shop.cache.get(emulator.ROOM, told.key) if re.fullmatch(r"[0-9a-f]{64}", told.key) else None
    if ours is not None:
        return Emulator(ours / emulator.BINARY, told.key, told.version, "ours")
    if not trusted:
        raise UserError(
            "the emulator of this bundle is not in the cache. `faultloop setup` builds ours, which is the same if "
            "version and host are; or --trust-emulator runs the bundle's: a stranger's program, which can do all "
            "that you can"
        )
    if told.machine != os.uname().machine:
        raise UserError(
            f"the bundle's emulator is for {one_line(told.machine)} hosts; this one is {os.uname().machine}"
        )
    program = scratch / emulator.BINARY
    try:
        shutil.copyfile(opened.folder / "emulator" / emulator.BINARY, program)
    except OSError as error:
        raise UserError("the bundle holds no emulator") from error
    program.chmod(0o700)
    done = subprocess.run(
        [str(program), "--version"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise InfrastructureError(
            f"the bundle's emulator does not start here; it needs {one_line(', '.join(told.libraries))}: "
            "`faultloop doctor` says which packages are missing",
            detail=done.stderr,
        )
    return Emulator(program, told.key, told.version, "bundle")
