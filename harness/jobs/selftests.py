# SPDX-License-Identifier: GPL-2.0-or-later
"""``faultloop selftests``: Linux's own tests of its memory management, from the same tree, bound to the device.

Their programs are appended to the guest's initramfs beside its modules: the guest image of all other runs stays
as it is. The tests of a setup run in one guest, one after another; if it dies, that is the last one's doing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from harness import layout
from harness.build import selftests as programs
from harness.errors import ExitStatus, GuestHung, GuestPanicked, GuestStopped
from harness.jobs.base import base_of
from harness.jobs.results import RunFolder
from harness.jobs.test_patch import Request
from harness.jobs.workshop import Workshop
from harness.model import Kernel, Outcome, Series, Setup
from harness.oracle import guest as charged
from harness.oracle import selftests as oracle
from harness.report import selftests as report
from harness.selftested import Ours, Ran, Selftests
from harness.sources import catalogue
from harness.sources import selftests as rows
from harness.sources.patch_input import Given
from harness.vm.machine import Guest, GuestSpec

_FOLDER = "/faultloop/modules"
_SECONDS = 240.0
"""Bound of one test; what is slower is ended, and said to be."""


def selftests(request: Request, shop: Workshop, names: Sequence[str]) -> tuple[Selftests, ExitStatus]:
    """Run them on ``request.kernel``, with ``request.patches`` on top if there are any."""
    tests = rows.load(layout.project().guest_tests / "selftests" / "selftests.yaml", names)
    setups = catalogue.setups(layout.project().root / "setups.yaml", request.setups, accel=request.accel)
    given = Given(Series())
    if request.patches:
        given = shop.patches(request.patches, version=request.version, tree=request.tree)
    kernel = base_of(given, shop, asked=request.kernel, tree=request.tree).kernel
    with shop.progress.step("selftests of the kernel") as step:
        step.worked = False
        made = programs.build(
            kernel,
            _programs(tests, kernel),
            cache=shop.cache,
            debian=shop.debian,
            sandbox=shop.sandbox,
            on_output=step.update,
        )
        step.note = f"{len(made.built)} programs"
    folder = RunFolder(request.results, f"selftests {kernel.version}")
    with folder.open() as where:
        ran: list[Ran] = []
        for setup in setups:
            with shop.progress.step(f"{len(tests)} tests on {setup.name}") as step:
                ran += _on_setup(shop, kernel, given.series, setup, tests, made, where / setup.name)
        found = Selftests(kernel, tuple(ran))
        status = status_of(found.ran)

        def write(partial: Path) -> None:
            (partial / "selftests.txt").write_text(report.plain(found), encoding="utf-8")
            (partial / "selftests.json").write_text(report.dump(found, status), encoding="utf-8")

        return replace(found, folder=folder.keep_files(write)), status


def status_of(ran: Sequence[Ran]) -> ExitStatus:
    """0: no audit complains; 1: one does, or the kernel; 3: undecided. Their own results do not count."""
    if any(r.outcome.bad for r in ran):
        return ExitStatus.NOT_FIXED
    if any(r.outcome in (Outcome.INVALID, Outcome.ERROR) for r in ran) or all(
        r.outcome is Outcome.SKIP for r in ran
    ):
        return ExitStatus.UNDECIDED
    return ExitStatus.FIXES


def _programs(tests: Sequence[rows.Selftest], kernel: Kernel) -> list[str]:
    """Those that the tree has."""
    where = kernel.tree / programs.folder_of(kernel.tree)
    return [test.program for test in tests if (where / f"{test.program}.c").is_file()]


def _on_setup(
    shop: Workshop,
    kernel: Kernel,
    series: Series,
    setup: Setup,
    tests: Sequence[rows.Selftest],
    made: programs.Programs,
    logs: Path,
) -> list[Ran]:
    built = shop.variant(kernel, series if series.patches else None, setup=setup)
    spec = GuestSpec.of(shop.emulator, built, shop.guest_image, setup)
    spec = replace(spec, modules=(*spec.modules, made.launcher, *made.built.values()))
    ran: list[Ran] = []
    try:
        with Guest(spec, logs) as guest:
            guest.run(["chmod", "755", f"{_FOLDER}/{programs.LAUNCHER}"])
            for test in tests:
                ran.append(_one(guest, test, setup, kernel, made, logs))
            guest.power_off()
    except (GuestPanicked, GuestHung, GuestStopped) as error:
        outcome = Outcome.HANG if isinstance(error, GuestHung) else Outcome.SPLAT
        ran += [
            Ran(t.name, t.expect, setup.name, Ours(outcome, error.message)) for t in tests[len(ran) : len(ran) + 1]
        ]
        ran += [
            Ran(t.name, t.expect, setup.name, Ours(Outcome.ERROR, "the guest is gone")) for t in tests[len(ran) :]
        ]
    console = (logs / "console.log").read_text(encoding="utf-8", errors="replace").splitlines()
    splats, _ = charged.charge(console)
    return [replace(r, splats=tuple(splats.get(r.name, ()))) for r in ran]


def _one(
    guest: Guest, test: rows.Selftest, setup: Setup, kernel: Kernel, made: programs.Programs, logs: Path
) -> Ran:
    why = _skipped(test, kernel, made)
    if why:
        return Ran(test.name, test.expect, setup.name, Ours(Outcome.SKIP, why))
    if test.before:
        ready = guest.run(["sh", "-c", test.before])
        if ready.status:
            return Ran(
                test.name,
                test.expect,
                setup.name,
                Ours(Outcome.ERROR, f"not prepared: {ready.stderr.strip()}"),
            )
    command = [f"{_FOLDER}/{programs.LAUNCHER}", test.name, f"{_FOLDER}/{test.program}", *test.argv]
    done = guest.run(["timeout", "-s", "KILL", str(int(_SECONDS)), *command], deadline=2 * _SECONDS)
    (logs / f"{test.name}.ktap").write_text(done.stdout, encoding="utf-8")
    (logs / f"{test.name}.audit").write_text(done.stderr, encoding="utf-8")
    return Ran(
        test.name,
        test.expect,
        setup.name,
        oracle.ours(done.stderr.splitlines()),
        oracle.theirs(done.stdout.splitlines(), done.status),
        done.seconds,
    )


def _skipped(test: rows.Selftest, kernel: Kernel, made: programs.Programs) -> str:
    if test.too_new_for(kernel.version):
        return f"it needs Linux {test.series}"
    if test.program in made.built:
        return ""
    where = programs.folder_of(kernel.tree)
    if not (kernel.tree / where / f"{test.program}.c").is_file():
        return f"the tree has no {where}/{test.program}.c"
    lines = [line for line in made.log.splitlines() if "error:" in line and test.program in line]
    return f"{test.program} does not compile: {lines[0] if lines else 'see build.log of the cache'}"
