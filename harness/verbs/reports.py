# SPDX-License-Identifier: GPL-2.0-or-later
"""Verbs that tell of runs that were kept."""

from pathlib import Path
from typing import Annotated

import typer

from harness.options import Html, Json
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


@verbs.command("compare-runs")
def compare_runs(
    a: Annotated[Path, typer.Argument(help="Folder of a run.", autocompletion=complete.runs)],
    b: Annotated[Path, typer.Argument(help="Folder of another.", autocompletion=complete.runs)],
    html: Html = None,
    as_json: Json = False,
) -> None:
    """Compare two runs that were kept: outcomes, counts, versions. Status 0: no outcome differs; 1: one does."""
    from harness.jobs.compare_runs import compare_runs as job
    from harness.report import compare_runs as report

    found, status = job(a, b)
    if html is not None:
        common.write_page(html, report.page(found))
    common.tell_result(found, status, report.show, lambda told, _status: report.dump(told), as_json=as_json)
