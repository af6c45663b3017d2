# SPDX-License-Identifier: GPL-2.0-or-later
"""``faultloop compare-runs``: two runs that were kept."""

from __future__ import annotations

from pathlib import Path

from harness.errors import ExitStatus
from harness.jobs import kept
from harness.report import compare_runs as report
from harness.report.compare_runs import RunsCompared


def compare_runs(a: Path, b: Path) -> tuple[RunsCompared, ExitStatus]:
    """B against A; 1 when an outcome differs. UserError when one is no run that can be read."""
    names = (a.resolve().name, b.resolve().name)
    found = report.compare(kept.read(a), kept.read(b), names)
    return found, ExitStatus.NOT_FIXED if found.outcomes else ExitStatus.FIXES
