# SPDX-License-Identifier: GPL-2.0-or-later
"""Tell what the kernel's own tests said, and what the audits did: two columns, as they are two judges."""

from __future__ import annotations

import json
from typing import TextIO

from harness.report.text import captured
from harness.selftested import Ran, Selftests
from harness.shown import one_line

FORMAT = "faultloop/selftests/1"


def show(found: Selftests, stream: TextIO) -> None:
    """The table, then what is not in order."""
    rows = [("test", "setup", "audit", "audits", "primed", "its own result"), *(_row(ran) for ran in found.ran)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        stream.write("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() + "\n")
    for ran in found.ran:
        if ran.outcome is not ran.expect:
            stream.write(f"differs  {ran.name} on {ran.setup} is {ran.outcome}, {ran.expect} is expected\n")
        if ran.reason:
            stream.write(f"why      {ran.name} on {ran.setup} {ran.outcome}: {one_line(ran.reason)}\n")
    if found.folder:
        stream.write(f"results  {found.folder}\n")
    bad = [ran for ran in found.ran if ran.outcome.bad]
    passed = sum(ran.outcome == "PASS" for ran in found.ran)
    words = ", ".join(f"{ran.name} {ran.outcome}" for ran in bad)
    stream.write(f"RESULT   {words or f'{passed} of {len(found.ran)} ran, and no audit found anything'}\n")


def plain(found: Selftests) -> str:
    """As :func:`show`."""
    return captured(show, found)


def dump(found: Selftests, status: int) -> str:
    """As JSON."""
    ran = [
        {
            "name": r.name,
            "setup": r.setup,
            "outcome": str(r.outcome),
            "reason": r.reason,
            "audits": r.ours.audits,
            "entries": r.ours.entries,
            "primed": r.ours.primed,
            "stale": r.ours.stale,
            "expected": str(r.expect),
            "seconds": round(r.seconds, 1),
            "theirs": r.theirs
            and {
                "status": r.theirs.status,
                "passed": r.theirs.passed,
                "failed": r.theirs.failed,
                "skipped": r.theirs.skipped,
            },
        }
        for r in found.ran
    ]
    return (
        json.dumps({"format": FORMAT, "kernel": found.kernel.version, "status": status, "tests": ran}, indent=1)
        + "\n"
    )


def _row(ran: Ran) -> tuple[str, ...]:
    counted = (str(ran.ours.audits), str(ran.ours.primed)) if ran.theirs else ("", "")
    return (ran.name, ran.setup, str(ran.outcome), *counted, ran.theirs.text if ran.theirs else "")
