# SPDX-License-Identifier: GPL-2.0-or-later
"""The command ``faultloop``: one verb for each of a user's jobs, no logic.

Imports stay inside the verbs: ``--help`` must not pay for paramiko.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn, TextIO, TypeVar

import typer
from typer.exceptions import TyperException

from harness.errors import ExitStatus, FaultloopError, UserError
from harness.options import Accel, Each, Fresh, Json, KernelName, Patches, Setups, Tree, Version, Workloads

if TYPE_CHECKING:
    from harness.jobs.test_patch import Request
    from harness.jobs.workshop import Workshop

_Found = TypeVar("_Found")

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Does an arm64 kernel leave a device in an endless page-fault loop, and does a patch mend it?\n\n"
    "Exit status: 0 FIXES; 1 PARTIAL, NO-EFFECT, REGRESSES; 2 bad input; 3 BASE-UNAFFECTED, INCONCLUSIVE; "
    "4 harness or host.",
)


@app.command("test-patch")
def test_patch(
    patches: Patches,
    base: KernelName = "",
    version: Version = None,
    tree: Tree = "",
    setup: Setups = "",
    workloads: Workloads = "",
    accel: Accel = "tcg",
    fresh: Fresh = False,
    as_json: Json = False,
    each: Each = False,
) -> None:
    """Say what a patch does: base and patched kernel are built, booted and compared path by path."""
    from harness.jobs.test_patch import test_patch as job

    request = _request(base, setup, workloads, accel, fresh, tree=tree, version=version, patches=patches)
    if each:
        _finish_each(request, as_json=as_json)
    _finish(*job(request, _workshop()), as_json=as_json)


@app.command("test")
def test_range(
    commits: Annotated[list[str], typer.Argument(help="BASE..TIP, BASE.. or a commit.")] = ["HEAD"],  # noqa: B006
    base: KernelName = "",
    tree: Tree = "",
    setup: Setups = "",
    workloads: Workloads = "",
    accel: Accel = "tcg",
    fresh: Fresh = False,
    as_json: Json = False,
) -> None:
    """Say what commits of the kernel tree at hand do, against the commit below them: test HEAD~2.."""
    named = [f"git:{commit}" for commit in commits]
    test_patch(named, base, None, tree, setup, workloads, accel, fresh, as_json)


@app.command("compare")
def compare(
    patches: Annotated[list[str], typer.Argument(help="Two to nine patches, each as for test-patch.")],
    base: KernelName = "",
    tree: Tree = "",
    setup: Setups = "",
    workloads: Workloads = "",
    accel: Accel = "tcg",
    fresh: Fresh = False,
    as_json: Json = False,
) -> None:
    """Compare patches for the same thing, on one base. Status 0 when all could be judged, 3 when one could not."""
    from harness.jobs.compare import compare as job
    from harness.model import Verdict
    from harness.report import compare as report
    from harness.report import document

    request = _request(base, setup, workloads, accel, fresh, tree=tree)
    runs = [run for run, _ in job(request, patches, _workshop())]
    if as_json:
        sys.stdout.write(document.dump_all(runs))
    else:
        report.show(runs, sys.stdout)
    sys.stdout.flush()
    undecided = any(run.judgement is None or run.judgement.verdict is Verdict.INCONCLUSIVE for run in runs)
    raise typer.Exit(ExitStatus.UNDECIDED if undecided else ExitStatus.FIXES)


@app.command("catalogue")
def catalogue(
    names: Annotated[list[str], typer.Argument(help="Names or globs of patches/linux; all when left out.")] = [],  # noqa: B006
    kernel: Annotated[str, typer.Option(help="Only patches for this series of kernels.yaml.")] = "",
    drift: Annotated[bool, typer.Option("--drift", help="Only see whether they apply; build nothing.")] = False,
    fresh: Fresh = False,
    as_json: Json = False,
) -> None:
    """Check our own patches against what is expected of each. Status 1: one differs, or applies no more."""
    from harness.jobs import catalogue as job
    from harness.report import catalogue as report

    tried = job.catalogue(_request(kernel, "", "", "tcg", fresh), _workshop(), names, drift=drift)
    status = job.status(tried)
    _tell_result(tried, status, report.show, report.dump, as_json=as_json)


@app.command("run")
def run(
    kernel: KernelName = "",
    setup: Setups = "",
    workloads: Workloads = "",
    accel: Accel = "tcg",
    fresh: Fresh = False,
    as_json: Json = False,
) -> None:
    """Say whether a kernel is affected: one variant, no patch. Status 0: no, 1: yes, 3: undecided."""
    from harness.jobs.test_patch import run_kernel

    request = _request(kernel, setup, workloads, accel, fresh)
    _finish(*run_kernel(request, _workshop()), as_json=as_json)


@app.command("sweep")
def sweep(
    kernels: Annotated[str, typer.Option(help="Kernels, as for --kernel, separated by commas.")] = "",
    setups: Annotated[str, typer.Option(help="Setups or sets of setups.yaml, separated by commas.")] = "",
    workloads: Workloads = "",
    accel: Accel = "tcg",
    fresh: Fresh = False,
    as_json: Json = False,
) -> None:
    """Run workloads x kernels x setups and print the matrix. Status 0: clean, 1: not, 3: undecided."""
    from harness.jobs.sweep import sweep as job
    from harness.report import sweep as report

    names = kernels.replace(",", " ").split()
    found, status = job(_request("", setups, workloads, accel, fresh), _workshop(), names)
    _tell_result(found, status, report.show, report.dump, as_json=as_json)


@app.command("coverage")
def coverage(
    kernel: KernelName = "",
    patch: Annotated[list[str], typer.Option(help="Patch to build the kernel with.")] = [],  # noqa: B006
    setup: Setups = "",
    workloads: Workloads = "",
    accel: Accel = "tcg",
    fresh: Fresh = False,
    as_json: Json = False,
) -> None:
    """Say which functions that raise a page-table entry the workloads ran. Status 0: all; 1: not all."""
    from harness.jobs.coverage import coverage as job
    from harness.report import coverage as report

    found, status = job(_request(kernel, setup, workloads, accel, fresh, patches=patch), _workshop())
    _tell_result(found, status, report.show, report.dump, as_json=as_json)


@app.command("shell")
def shell(
    kernel: KernelName = "",
    patch: Annotated[list[str], typer.Option(help="Patch to build the kernel with.")] = [],  # noqa: B006
    setup: Setups = "",
    accel: Accel = "tcg",
) -> None:
    """Log in to a booted guest with the device and the workloads; it is powered off when you leave."""
    from harness.jobs.shell import shell as job

    raise typer.Exit(job(_workshop(), kernel=kernel, patches=tuple(patch), setup=setup, accel=_accel(accel)))


@app.command("stress")
def stress(
    kernel: KernelName = "",
    setup: Setups = "",
    seed: Annotated[int, typer.Option(help="Of the random operations; a new one when left out.")] = 0,
    operations: Annotated[int, typer.Option(help="How many, in each of two processes.")] = 400,
    accel: Accel = "tcg",
    as_json: Json = False,
) -> None:
    """Random operations under a device, from a seed; what fails is shrunk. Status 0 clean, 1 not, 3 undecided."""
    import secrets

    from harness.jobs import stress as job

    number = seed or secrets.randbelow(1 << 32) + 1
    found = job.stress(
        _workshop(), kernel=kernel, setup=setup, seed=number, operations=operations, accel=_accel(accel)
    )
    job.show(found, sys.stdout, as_json=as_json)
    sys.stdout.flush()
    raise typer.Exit(job.status(found))


@app.command("reply")
def reply(
    run: Annotated[Path | None, typer.Argument(help="Folder of a run; the last one when it is left out.")] = None,
) -> None:
    """Print a run as plain text for a mail to the list; signing it is left to you."""
    from harness.jobs.reply import reply as job

    sys.stdout.write(job(run or _results() / "latest"))


@app.command("workloads")
def workloads() -> None:
    """List the paths: name, what it does, the kernel functions it is about."""
    from harness.jobs.listing import workloads as job

    job(sys.stdout)


@app.command("doctor")
def doctor() -> None:
    """Check tools, disk, sandbox, sources and SVA preconditions; say what to do about what is missing."""
    from harness.jobs.doctor import doctor as job

    raise typer.Exit(job(sys.stdout))


@app.command("setup")
def setup_all(
    kernels: Annotated[list[str], typer.Argument(help="Kernels to build: none, or names of kernels.yaml.")] = [],  # noqa: B006
) -> None:
    """Make the emulator, the guest image and the named base kernels, so that later runs find them in the cache."""
    shop = _workshop()
    shop.emulator  # noqa: B018 - made on first use
    shop.guest_image  # noqa: B018
    for name in kernels:
        shop.variant(shop.kernel(name))


def main() -> None:
    """Entry point: errors become one message and an exit status, never a traceback."""
    caught: list[int] = []
    with _signals(caught):
        status = _call(caught)
    sys.exit(status)


def _call(caught: list[int]) -> int:
    try:
        result = app(prog_name="faultloop", standalone_mode=False)
        if caught:
            raise KeyboardInterrupt
        return result if isinstance(result, int) else 0
    except FaultloopError as error:
        _tell(error)
        return error.status
    except (KeyboardInterrupt, typer.Abort):
        print("faultloop: interrupted", file=sys.stderr)
        return 128 + (caught[0] if caught else signal.SIGINT)
    except TyperException as error:
        show = getattr(error, "show", None)
        show() if show else print(f"faultloop: {error}", file=sys.stderr)
        return ExitStatus.USER
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitStatus.INFRASTRUCTURE
    except OSError as error:
        print(f"faultloop: {error}", file=sys.stderr)
        return ExitStatus.INFRASTRUCTURE


@contextlib.contextmanager
def _signals(caught: list[int]) -> Iterator[None]:
    """SIGTERM, SIGHUP and SIGINT unwind every context manager, as Ctrl-C does; a second one changes nothing."""

    def on_signal(number: int, _frame: object) -> None:
        if not caught:
            caught.append(number)
            raise KeyboardInterrupt

    old = {s: signal.signal(s, on_signal) for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


def _tell(error: FaultloopError) -> None:
    from harness.shown import one_line, printable

    print(f"faultloop: {one_line(error.message)}", file=sys.stderr)
    if error.detail:
        print(printable(error.detail.rstrip()), file=sys.stderr)


def _finish(run: object, folder: Path, *, as_json: bool) -> None:
    from harness.model import Run
    from harness.report import document, text

    assert isinstance(run, Run)
    if as_json:
        sys.stdout.write(document.dump(run))
    else:
        text.show(run, sys.stdout, folder=folder)
    sys.stdout.flush()
    raise typer.Exit(run.status)


def _tell_result(
    found: _Found,
    status: ExitStatus,
    show: Callable[[_Found, TextIO], None],
    dump: Callable[[_Found, int], str],
    *,
    as_json: bool,
) -> NoReturn:
    """Print what a job found, as its report shows or dumps it, and end with the job's status."""
    if as_json:
        sys.stdout.write(dump(found, status))
    else:
        show(found, sys.stdout)
    sys.stdout.flush()
    raise typer.Exit(status)


def _finish_each(request: Request, *, as_json: bool) -> None:
    from harness.jobs.each import each
    from harness.report import document, steps, text

    told, run, folder = each(request, _workshop())
    if as_json:
        sys.stdout.write(document.dump_steps(run, told))
    else:
        text.show(run, sys.stdout, folder=folder)
        sys.stdout.write(steps.plain(told))
    sys.stdout.flush()
    bad = any(step.faults for step in told)
    raise typer.Exit(max(run.status, ExitStatus.NOT_FIXED) if bad else run.status)


def _request(
    kernel: str,
    setups: str,
    workloads: str,
    accel: str,
    fresh: bool,
    *,
    tree: str = "",
    version: int | None = None,
    patches: Sequence[str] = (),
) -> Request:
    from harness.jobs.test_patch import Request

    return Request(
        kernel=kernel,
        patches=tuple(patches),
        version=version,
        tree=tree,
        setups=setups,
        workloads=workloads,
        accel=_accel(accel),
        fresh=fresh,
        results=_results(),
    )


def _workshop() -> Workshop:
    from harness.jobs.workshop import Workshop

    return Workshop()


def _results() -> Path:
    """Beside the sources of faultloop: the folder at hand may be a kernel tree, which is left as it is."""
    from harness.layout import project

    here = Path("results")
    return Path(
        os.environ.get("FAULTLOOP_RESULTS") or (here if Path.cwd() == project().root else project().root / here)
    )


def _accel(name: str) -> str:
    if name not in ("tcg", "kvm"):
        raise UserError(f"unknown accelerator '{name}': tcg, or kvm on an arm64 host")
    if name == "kvm" and os.uname().machine != "aarch64":
        raise UserError(f"ACCEL=kvm needs an arm64 host; this one is {os.uname().machine}. Leave it out for tcg")
    return name
