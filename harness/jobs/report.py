# SPDX-License-Identifier: GPL-2.0-or-later
"""``faultloop report``: the reports of a run, from its ``run.json`` and the logs beside it."""

from __future__ import annotations

from pathlib import Path

from harness.jobs import kept
from harness.report import document, junit, ktap, text
from harness.report.schema import RunFile


def remake(run: Path) -> list[Path]:
    """Write the reports of the run in folder ``run`` anew; UserError when there is none that can be read."""
    return write(run, kept.read(run))


def write(run: Path, file: RunFile) -> list[Path]:
    """Write all reports of ``file`` into its folder."""
    again = document.restore(file, kept.ktaps(run, file))
    kept.write(run / "report.txt", text.plain(again))
    kept.write(run / "results.ktap", ktap.write(again))
    with kept.replaced(run / "junit.xml") as new:
        junit.write(again, new)
    return [run / name for name in ("report.txt", "results.ktap", "junit.xml")]
