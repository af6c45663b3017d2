# SPDX-License-Identifier: GPL-2.0-or-later
"""Verbs about kernels over time."""

import os
import sys
from typing import Annotated

import typer

from harness.errors import ExitStatus
from harness.options import Accel, Fresh, Html, Json, Setups, Workloads
from harness.verbs import common

verbs = typer.Typer()


@verbs.command("history")
def history(
    path: Annotated[str, typer.Argument(help="Name or glob of a path; all when it is left out.")] = "*",
    kernel: Annotated[str, typer.Option(help="Name, version (or its first numbers) or tag of a kernel.")] = "",
    setup: Annotated[str, typer.Option(help="Name or glob of a setup.")] = "",
    counter: Annotated[str, typer.Option(help="A counter of the SMMU to show and to plot.")] = "",
    html: Html = None,
    as_json: Json = False,
) -> None:
    """Show what became of a path, run by run and night by night."""
    from harness.jobs.history import course
    from harness.report import history as report

    points = course(common.results(), path, named=kernel, setup=setup, count=counter)
    if html is not None:
        from harness.report.history_page import page

        common.write_page(html, page(points))
    if as_json:
        sys.stdout.write(report.dump(points))
    else:
        plot = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        report.show(points, sys.stdout, count=counter, plot=plot)
    sys.stdout.flush()
    raise typer.Exit(ExitStatus.FIXES)


@verbs.command("nightly")
def nightly(
    tree: Annotated[str, typer.Option(help="A git repository, or a URL; linux-next when left out.")] = "",
    branch: Annotated[str, typer.Option(help="Its head in place of the newest tag next-YYYYMMDD.")] = "",
    setup: Setups = "",
    workloads: Workloads = "",
    accel: Accel = "tcg",
    budget: Annotated[str, typer.Option(help="Of a bisection: commits, a time, or both; 0: none.")] = "15,4h",
    keep: Annotated[int, typer.Option(min=1, help="Results folders of nights to keep.")] = 30,
    keep_size: Annotated[str, typer.Option(help="Bytes that they may take: 20G.")] = "20G",
    fresh: Fresh = False,
    as_json: Json = False,
) -> None:
    """Judge the newest state of a tree against the nights before. Status 0: nothing new, 1: new failures."""
    from harness.jobs import nightly as job
    from harness.jobs.retention import size_of
    from harness.report import nightly as report
    from harness.sources.mirror import NEXT

    request = job.NightRequest(
        tree=tree or NEXT,
        branch=branch,
        workloads=workloads,
        setups=setup,
        accel=common.accel_of(accel),
        fresh=fresh,
        budget=job.budget_of(budget),
        keep=keep,
        keep_bytes=size_of(keep_size),
        results=common.results(),
    )
    night = job.nightly(request, common.workshop())
    sys.stdout.write(report.dump(night) if as_json else report.mail(night))
    sys.stdout.flush()
    raise typer.Exit(night.status)
