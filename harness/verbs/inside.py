# SPDX-License-Identifier: GPL-2.0-or-later
"""Verbs that let a user look into a guest."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from harness.errors import UserError
from harness.options import Accel, KernelName, Setups
from harness.verbs import common

verbs = typer.Typer()

Patch = Annotated[list[str], typer.Option(help="Patch to build the kernel with.")]


@verbs.command("shell")
def shell(
    kernel: KernelName = "",
    patch: Patch = [],  # noqa: B006
    setup: Setups = "",
    accel: Accel = "tcg",
) -> None:
    """Log in to a booted guest with the device and the workloads; it is powered off when you leave."""
    from harness.jobs.shell import shell as job

    raise typer.Exit(
        job(common.workshop(), kernel=kernel, patches=tuple(patch), setup=setup, accel=common.accel_of(accel))
    )


@verbs.command("trace")
def trace(
    workload: Annotated[str, typer.Argument(help="The path: one name of `faultloop workloads`.")] = "",
    kernel: KernelName = "",
    patch: Patch = [],  # noqa: B006
    setup: Setups = "",
    accel: Accel = "tcg",
    export: Annotated[
        Path | None, typer.Option(help="Folder of a run: write its timelines for Perfetto, run nothing.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the timeline as JSON instead of the table.")
    ] = False,
) -> None:
    """Trace one path: SMMU and kernel functions in one timeline, as a table and for Perfetto."""
    from harness import timeline
    from harness.jobs import trace as job
    from harness.report import timeline as report

    if export is not None:
        if workload:
            raise UserError(f"--export writes what was recorded of a run: it takes no path ('{workload}')")
        for written in job.export(export):
            print(written)
        return
    found = job.trace(
        common.workshop(),
        workload=workload,
        kernel=kernel,
        patches=tuple(patch),
        setup=setup,
        accel=common.accel_of(accel),
        results=common.results(),
    )
    if as_json:
        sys.stdout.write(timeline.dump(found.timeline).decode() + "\n")
    else:
        report.show(found, sys.stdout)
    sys.stdout.flush()
