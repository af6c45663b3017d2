# SPDX-License-Identifier: GPL-2.0-or-later
"""Turn what was recorded of one guest into outcomes. Pure: console text and KTAP in, results out.

The guest writes ``faultloop: begin PATH`` and ``faultloop: end PATH`` into its kernel log, so that a splat is
charged to the path that caused it, also in a log that was recorded long ago.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from harness.model import GuestRecord, Outcome, PathResult, Splat
from harness.oracle import counters, ktap, splat
from harness.recorded import RawGuest, WorkloadRun

_MARK = re.compile(r"faultloop: (begin|end) ([a-z0-9-]+)")

_CUT = re.compile(r"^\[faultloop: (\d+) bytes left out here\]$")
"""Of harness/vm/console.py: a log that was longer than is kept."""

_FAILURES = {
    "PANIC": Outcome.SPLAT,
    "HANG": Outcome.HANG,
    "TIMEOUT": Outcome.HANG,
    "STOPPED": Outcome.SPLAT,
    "CONTROL": Outcome.ERROR,
}


def assemble(guests: Sequence[RawGuest], consoles: Sequence[Sequence[str]]) -> GuestRecord:
    """One record of the guest (and of those that were booted anew after it died) of a variant in a setup."""
    first = guests[0]
    results: dict[str, PathResult] = {}
    outside: list[Splat] = []
    for raw, console in zip(guests, consoles, strict=True):
        by_path, others = charge(console)
        outside += others
        bytes_out, whole = _left_out(console)
        for run in raw.runs:
            found = _result(run, raw.setup, tuple(by_path.pop(run.path, ())))
            results[run.path] = found if run.path in whole else _doubted(found, bytes_out)
        outside += [s for splats in by_path.values() for s in splats]
    last = guests[-1]
    for path in first.paths:
        if path not in results:
            results[path] = _not_run(path, last)
    return GuestRecord(
        variant=first.variant,
        setup=first.setup,
        results=tuple(results[p] for p in first.paths),
        end=last.end,
        boot_splats=tuple(outside),
        boot_seconds=first.boot_seconds,
        booted=bool(first.runs),
        seconds=sum(g.seconds for g in guests),
    )


def charge(console: Iterable[str]) -> tuple[dict[str, list[Splat]], list[Splat]]:
    """Splats by the path that was running, and those outside any."""
    lines = list(console)
    owner: list[str] = []
    current = ""
    for line in lines:
        mark = _MARK.search(line)
        if mark and mark.group(1) == "begin":
            current = mark.group(2)
        owner.append(current)
        if mark and mark.group(1) == "end":
            current = ""
    by_path: dict[str, list[Splat]] = {}
    outside: list[Splat] = []
    for found in splat.find(lines):
        path = owner[found.line - 1]
        (by_path.setdefault(path, []) if path else outside).append(found)
    return by_path, outside


def _left_out(console: Sequence[str]) -> tuple[int, set[str]]:
    """Bytes that the log of a console lacks, and the paths of which it has all: from ``begin`` to ``end``."""
    whole: set[str] = set()
    bytes_out, current, cut_in = 0, "", ""
    for line in console:
        if cut := _CUT.match(line):
            bytes_out, cut_in, current = int(cut.group(1)), current, ""
        elif mark := _MARK.search(line):
            word, path = mark.groups()
            if word == "end" and path == current:
                whole.add(path)
            current = path if word == "begin" else ""
    return bytes_out, whole - {cut_in}


def _doubted(result: PathResult, bytes_out: int) -> PathResult:
    """No pass, when the kernel may have complained where nobody looked."""
    if not bytes_out or result.outcome is not Outcome.PASS:
        return result
    reason = f"{bytes_out} bytes of the console's log were left out, perhaps of this path's"
    return replace(result, outcome=Outcome.ERROR, reason=reason)


def _result(run: WorkloadRun, setup: str, splats: tuple[Splat, ...]) -> PathResult:
    outcome, reason, facts = ktap.judge(ktap.parse(run.ktap.splitlines()))
    delta = counters.gained(run.before, run.after) if run.after else {}
    result = PathResult(
        path=run.path,
        setup=setup,
        outcome=outcome,
        reason=reason,
        stalls=counters.number(facts, "stalls"),
        retries=counters.number(facts, "retries"),
        tlbi=counters.number(facts, "tlbi"),
        tlbi_wide=counters.wide(delta),
        notifier_calls=counters.number(facts, "notifier_calls"),
        seconds=run.seconds,
        facts=facts,
        counters=delta,
        ktap=run.ktap,
        splats=splats,
    )
    if run.failure:
        return replace(result, outcome=_FAILURES[run.failure], reason=run.message)
    if splats and outcome is not Outcome.CORRUPT:
        return replace(result, outcome=Outcome.SPLAT, reason=splats[0].title)
    problems = counters.disagreements(facts, delta)
    if problems and not outcome.bad:
        return replace(result, outcome=Outcome.ERROR, reason="; ".join(problems))
    return result


def _not_run(path: str, last: RawGuest) -> PathResult:
    """A path its guest never came to: the kernel's doing when that panicked or hung, ours otherwise."""
    outcome = {"PANIC": Outcome.SPLAT, "HANG": Outcome.HANG, "RESET": Outcome.SPLAT}.get(last.end, Outcome.ERROR)
    return PathResult(path, last.setup, outcome, reason=last.message or f"guest ended: {last.end}")
