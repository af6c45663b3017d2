# SPDX-License-Identifier: GPL-2.0-or-later
"""Verbs that tell of runs that were kept."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.verbs import common, complete

verbs = typer.Typer()


@verbs.command("report")
def report(
    run: Annotated[
        Path | None,
        typer.Argument(help="Folder of a run; the last one when it is left out.", autocompletion=complete.runs),
    ] = None,
) -> None:
    """Make the reports of a run anew: report.html, report.txt, results.ktap, junit.xml."""
    from harness.jobs.report import remake as job

    for file in job(run or common.results() / "latest"):
        print(file)
