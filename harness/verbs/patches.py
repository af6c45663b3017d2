# SPDX-License-Identifier: GPL-2.0-or-later
"""Verbs that judge patches."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.errors import ExitStatus
from harness.options import Accel, Each, Fresh, Json, KernelName, Patches, Pool, Setups, Tree, Version, Workloads
from harness.verbs import common, complete

if TYPE_CHECKING:
    from harness.jobs.test_patch import Request
    from harness.jobs.workshop import Workshop

verbs = typer.Typer()


@verbs.command("test-patch")
def test_patch(
    patches: Patches,
    base: KernelName = "",
    version: Version = None,
    tree: Tree = "",
    setup: Setups = "",
    workloads: Workloads = "",
    accel: Accel = "tcg",
    pool: Pool = "",
    fresh: Fresh = False,
    as_json: Json = False,
    each: Each = False,
) -> None:
    """Say what a patch does: base and patched kernel are built, booted and compared path by path."""
    from harness.jobs.test_patch import test_patch as job

    request = common.request_of(base, setup, workloads, accel, fresh, tree=tree, version=version, patches=patches)
    if each:
        _finish_each(request, common.workshop(pool), as_json=as_json)
    common.finish(*job(request, common.workshop(pool)), as_json=as_json)


@verbs.command("test")
def test_range(
    commits: Annotated[list[str], typer.Argument(help="BASE..TIP, BASE.. or a commit.")] = ["HEAD"],  # noqa: B006
    base: KernelName = "",
    tree: Tree = "",
    setup: Setups = "",
    workloads: Workloads = "",
    accel: Accel = "tcg",
    pool: Pool = "",
    fresh: Fresh = False,
    as_json: Json = False,
) -> None:
    """Say what commits of the kernel tree at hand do, against the commit below them: test HEAD~2.."""
    named = [f"git:{commit}" for commit in commits]
    test_patch(named, base, None, tree, setup, workloads, accel, pool, fresh, as_json)


@verbs.command("compare")
def compare(
    patches: Annotated[list[str], typer.Argument(help="Two to nine patches, each as for test-patch.")],
    base: KernelName = "",
    tree: Tree = "",
    setup: Setups = "",
    workloads: Workloads = "",
    accel: Accel = "tcg",
    pool: Pool = "",
    fresh: Fresh = False,
    as_json: Json = False,
) -> None:
    """Compare patches for the same thing, on one base. Status 0 when all could be judged, 3 when one could not."""
    from harness.jobs.compare import compare as job
    from harness.model import Verdict
    from harness.report import compare as report
    from harness.report import document

    request = common.request_of(base, setup, workloads, accel, fresh, tree=tree)
    runs = [run for run, _ in job(request, patches, common.workshop(pool))]
    if as_json:
        sys.stdout.write(document.dump_all(runs))
    else:
        report.show(runs, sys.stdout)
    sys.stdout.flush()
    undecided = any(run.judgement is None or run.judgement.verdict is Verdict.INCONCLUSIVE for run in runs)
    raise typer.Exit(ExitStatus.UNDECIDED if undecided else ExitStatus.FIXES)


@verbs.command("catalogue")
def catalogue(
    names: Annotated[
        list[str],
        typer.Argument(
            help="Names or globs of patches/linux; all when left out.", autocompletion=complete.patches
        ),
    ] = [],  # noqa: B006
    kernel: Annotated[
        str, typer.Option(help="Only patches for this series of kernels.yaml.", autocompletion=complete.kernels)
    ] = "",
    drift: Annotated[bool, typer.Option("--drift", help="Only see whether they apply; build nothing.")] = False,
    pool: Pool = "",
    fresh: Fresh = False,
    as_json: Json = False,
) -> None:
    """Check our own patches against what is expected of each. Status 1: one differs, or applies no more."""
    from harness.jobs import catalogue as job
    from harness.report import catalogue as report

    tried = job.catalogue(
        common.request_of(kernel, "", "", "tcg", fresh), common.workshop(pool), names, drift=drift
    )
    status = job.status(tried)
    common.tell_result(tried, status, report.show, report.dump, as_json=as_json)


@verbs.command("reply")
def reply(
    run: Annotated[
        Path | None,
        typer.Argument(help="Folder of a run; the last one when it is left out.", autocompletion=complete.runs),
    ] = None,
) -> None:
    """Print a run as plain text for a mail to the list; signing it is left to you."""
    from harness.jobs.reply import reply as job

    sys.stdout.write(job(run or common.results() / "latest"))


def _finish_each(request: "Request", shop: "Workshop", *, as_json: bool) -> None:
    from harness.jobs.each import each
    from harness.report import document, steps, text

    told, run, folder = each(request, shop)
    if as_json:
        sys.stdout.write(document.dump_steps(run, told))
    else:
        text.show(run, sys.stdout, folder=folder)
        sys.stdout.write(steps.plain(told))
    sys.stdout.flush()
    bad = any(step.faults for step in told)
    raise typer.Exit(max(run.status, ExitStatus.NOT_FIXED) if bad else run.status)
