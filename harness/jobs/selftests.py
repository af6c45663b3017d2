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
_GRACE = 30
"""Seconds that a test which was ended has for its last audit."""
_APPEND = ("proc_mem.force_override=always",)
"""Some tests write their own memory by /proc/self/mem, which newer kernels refuse unless told otherwise."""


def selftests(request: Request, shop: Workshop, names: Sequence[str]) -> tuple[Selftests, ExitStatus]:
    """Run them on ``request.kernel``, with ``request.patches`` on top if there are any."""
    tests = rows.load(layout.project().guest_tests / "selftests" / "selftests.yaml", names)
    setups = catalogue.setups(
        layout.project().setups,
        request.setups,
        accel=request.accel,
        memory_mib=catalogue.LARGE_MEMORY_MIB,  # what they were written for has more
    )
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
                ran += _on_setup(shop, kernel, given.series, setup, tests, made, where)
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
    where: Path,
) -> list[Ran]:
    """One guest for all that need no other machine than the setup's own, and one for each other machine."""
    built = shop.variant(kernel, series if series.patches else None, setup=setup)
    spec = GuestSpec.of(shop.emulator, built, shop.guest_image, setup, append=_APPEND)
    spec = replace(spec, modules=(*spec.modules, made.launcher, *made.built.values()))
    ran: dict[str, Ran] = {}
    for cpus, nodes in sorted({(test.cpus, test.nodes) for test in tests}):
        name = setup.name if (cpus, nodes) == (1, 1) else f"{setup.name}-{cpus}-cpus-{nodes}-nodes"
        machine = replace(spec, setup=replace(setup, cpus=cpus), nodes=nodes)
        some = [test for test in tests if (test.cpus, test.nodes) == (cpus, nodes)]
        ran |= {r.name: r for r in _in_guest(machine, some, kernel, made, where / name)}
    return [ran[test.name] for test in tests]


def _in_guest(
    spec: GuestSpec, tests: Sequence[rows.Selftest], kernel: Kernel, made: programs.Programs, logs: Path
) -> list[Ran]:
    ran: list[Ran] = []
    setup = spec.setup.name
    if all(_skipped(test, kernel, made) for test in tests):
        return [_not_run(t, setup, kernel, Outcome.SKIP, _skipped(t, kernel, made)) for t in tests]
    try:
        with Guest(spec, logs) as guest:
            guest.run(["chmod", "755", f"{_FOLDER}/{programs.LAUNCHER}"])
            for test in tests:
                ran.append(_one(guest, test, setup, kernel, made, logs))
            guest.power_off()
    except (GuestPanicked, GuestHung, GuestStopped) as error:
        outcome = Outcome.HANG if isinstance(error, GuestHung) else Outcome.SPLAT
        left = tests[len(ran) :]
        ran += [_not_run(t, setup, kernel, outcome, error.message) for t in left[:1]]
        ran += [_not_run(t, setup, kernel, Outcome.ERROR, "the guest is gone") for t in left[1:]]
    console = (logs / "console.log").read_text(encoding="utf-8", errors="replace").splitlines()
    splats, _ = charged.charge(console)
    return [replace(r, splats=tuple(splats.get(r.name, ()))) for r in ran]


def _not_run(test: rows.Selftest, setup: str, kernel: Kernel, outcome: Outcome, why: str) -> Ran:
    return Ran(test.name, test.expected(kernel.version), setup, Ours(outcome, why))


def _one(
    guest: Guest, test: rows.Selftest, setup: str, kernel: Kernel, made: programs.Programs, logs: Path
) -> Ran:
    why = _skipped(test, kernel, made)
    if why:
        return _not_run(test, setup, kernel, Outcome.SKIP, why)
    if test.before:
        ready = guest.run(["sh", "-c", test.before])
        if ready.status:
            return _not_run(test, setup, kernel, Outcome.ERROR, f"not prepared: {ready.stderr.strip()}")
    # Told to end, the launcher ends the test, and says what it found until then.
    bound = ["timeout", "-k", str(_GRACE), str(test.seconds)]
    command = [f"{_FOLDER}/{programs.LAUNCHER}", test.name, f"{_FOLDER}/{test.program}", *test.argv]
    done = guest.run([*bound, *command], deadline=2.0 * (test.seconds + _GRACE))
    (logs / f"{test.name}.ktap").write_text(done.stdout, encoding="utf-8")
    (logs / f"{test.name}.audit").write_text(done.stderr, encoding="utf-8")
    return Ran(
        test.name,
        test.expected(kernel.version),
        setup,
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
