# SPDX-License-Identifier: GPL-2.0-or-later
"""Results as KTAP (Linux Documentation/dev-tools/ktap.rst): a test for each guest, a subtest for each path."""

from __future__ import annotations

from harness.model import GuestRecord, Outcome, PathResult, Run
from harness.shown import printable


def write(run: Run) -> str:
    """All records of a run as one KTAP document."""
    lines = ["KTAP version 1", f"1..{len(run.records)}"]
    for number, record in enumerate(run.records, 1):
        lines += _record(record, number)
    return "\n".join(lines) + "\n"


def _record(record: GuestRecord, number: int) -> list[str]:
    lines = ["    KTAP version 1", f"    1..{len(record.results)}"]
    for index, result in enumerate(record.results, 1):
        lines += _result(result, index)
    bad = any(r.outcome.bad or r.outcome is Outcome.ERROR for r in record.results) or bool(record.boot_splats)
    lines.append(f"{'not ok' if bad else 'ok'} {number} {_line(f'{record.variant}-{record.setup}')}")
    return lines


def _result(result: PathResult, index: int) -> list[str]:
    facts = [f"    # {_line(key)} {_line(value)}" for key, value in sorted(result.facts.items())]
    facts += [f"    # splat {_line(s.title)}" for s in result.splats]
    passed = result.outcome in (Outcome.PASS, Outcome.SKIP, Outcome.INVALID)
    line = f"    {'ok' if passed else 'not ok'} {index} {_line(result.path)}"
    if result.outcome in (Outcome.SKIP, Outcome.INVALID):
        line += f" # SKIP {_line(result.reason)}"
    elif result.outcome is not Outcome.PASS:
        line += f" # {result.outcome} {_line(result.reason)}"
    return [*facts, line]


def _line(text: str) -> str:
    return printable(text).replace("\n", " ").replace("#", "%").strip()
