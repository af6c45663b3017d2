# SPDX-License-Identifier: GPL-2.0-or-later
"""Verbs that look at a kernel."""

import sys
from typing import Annotated

import typer

from harness.options import Accel, Fresh, Json, KernelName, Patch, Pool, Setups, Workloads
from harness.verbs import common, complete

verbs = typer.Typer()


@verbs.command("run")
def run(
    kernel: KernelName = "",
    setup: Setups = "",
    workloads: Workloads = "",
    accel: Accel = "tcg",
    pool: Pool = "",
    fresh: Fresh = False,
    as_json: Json = False,
) -> None:
    """Say whether a kernel is affected: one variant, no patch. Status 0: no, 1: yes, 3: undecided."""
    from harness.jobs.test_patch import run_kernel

    request = common.request_of(kernel, setup, workloads, accel, fresh)
    common.finish(*run_kernel(request, common.workshop(pool)), as_json=as_json)


@verbs.command("sweep")
def sweep(
    kernels: Annotated[
        str,
        typer.Option(help="Kernels, as for --kernel, separated by commas.", autocompletion=complete.some_kernels),
    ] = "",
    setups: Annotated[
        str,
        typer.Option(help="Setups or sets of setups.yaml, separated by commas.", autocompletion=complete.setups),
    ] = "",
    workloads: Workloads = "",
    accel: Accel = "tcg",
    pool: Pool = "",
    fresh: Fresh = False,
    as_json: Json = False,
) -> None:
    """Run workloads x kernels x setups and print the matrix. Status 0: clean, 1: not, 3: undecided."""
    from harness.jobs.sweep import sweep as job
    from harness.report import sweep as report

    names = kernels.replace(",", " ").split()
    found, status = job(common.request_of("", setups, workloads, accel, fresh), common.workshop(pool), names)
    common.tell_result(found, status, report.show, report.dump, as_json=as_json)


@verbs.command("coverage")
def coverage(
    kernel: KernelName = "",
    patch: Patch = [],  # noqa: B006
    setup: Setups = "",
    workloads: Workloads = "",
    accel: Accel = "tcg",
    pool: Pool = "",
    fresh: Fresh = False,
    as_json: Json = False,
) -> None:
    """Say which functions that raise a page-table entry the workloads ran. Status 0: all; 1: not all."""
    from harness.jobs.coverage import coverage as job
    from harness.report import coverage as report

    found, status = job(
        common.request_of(kernel, setup, workloads, accel, fresh, patches=patch), common.workshop(pool)
    )
    common.tell_result(found, status, report.show, report.dump, as_json=as_json)


@verbs.command("selftests")
def selftests(
    names: Annotated[list[str], typer.Argument(help="Names or globs of selftests.yaml.")] = [],  # noqa: B006
    kernel: KernelName = "",
    patch: Patch = [],  # noqa: B006
    setup: Setups = "cortex-a57",
    accel: Accel = "tcg",
    as_json: Json = False,
) -> None:
    """Linux's own mm selftests, bound to the device. Status 0: no audit complains; 1: one does; 3: undecided."""
    from harness.jobs.selftests import selftests as job
    from harness.report import selftests as report

    request = common.request_of(kernel, setup, "", accel, False, patches=patch)
    common.tell_result(*job(request, common.workshop(), names), report.show, report.dump, as_json=as_json)


@verbs.command("stress")
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
        common.workshop(),
        kernel=kernel,
        setup=setup,
        seed=number,
        operations=operations,
        accel=common.accel_of(accel),
    )
    job.show(found, sys.stdout, as_json=as_json)
    sys.stdout.flush()
    raise typer.Exit(job.status(found))
