# SPDX-License-Identifier: GPL-2.0-or-later
"""Verbs about kernels over time."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from harness.errors import ExitStatus
from harness.options import Json
from harness.verbs import common

verbs = typer.Typer()


@verbs.command("history")
def history(
    path: Annotated[str, typer.Argument(help="Name or glob of a path.")],
    kernel: Annotated[str, typer.Option(help="Name, version (or its first numbers) or tag of a kernel.")] = "",
    setup: Annotated[str, typer.Option(help="Name or glob of a setup.")] = "",
    counter: Annotated[str, typer.Option(help="A counter of the SMMU to show and to plot.")] = "",
    as_json: Json = False,
) -> None:
    """Show what became of a path, run by run and night by night."""
    from harness.jobs.history import course
    from harness.report import history as report

    points = course(common.results(), path, named=kernel, setup=setup, count=counter)
    if as_json:
        sys.stdout.write(report.dump(points))
    else:
        plot = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        report.show(points, sys.stdout, count=counter, plot=plot)
    sys.stdout.flush()
    raise typer.Exit(ExitStatus.FIXES)
