# SPDX-License-Identifier: GPL-2.0-or-later
"""Throughput of a sweep, guests a minute, one guest and two at once, against bare guests in the same way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from bench.bench import Bench, python, timed
from bench.frame import Measure, Pair, Row, Values
from bench.guests import BareGuest, at_once

SETUPS = "cortex-a57,cortex-a76,a57-thp-never,a57-httu-access"
WORKLOADS = "mremap,munmap,truncate,exit,first-touch,zero-page-cow,pageout,migrate-back"
AT_ONCE = (1, 2)

# The verb has no option for it: a user always gets as many as the host has cores for.
_SWEEP = """
import sys
from pathlib import Path
from harness.jobs.sweep import sweep
from harness.jobs.test_patch import Request
from harness.jobs.workshop import Workshop
kernel, setups, workloads, results, count = sys.argv[1:]
request = Request(setups=setups, workloads=workloads, fresh=True, results=Path(results), guests_at_once=int(count))
done, _ = sweep(request, Workshop(), [kernel])
sys.exit(any(cell.error or cell.record is None for cell in done.cells))
"""


@contextmanager
def _prepare(bench: Bench) -> Iterator[Pair]:
    setups = bench.setups(SETUPS)
    paths = [w.path for w in bench.workloads(WORKLOADS)]
    guests = [BareGuest(bench, bench.base, setup, paths) for setup in setups]

    with bench.scratch("sweep") as folder:
        environment = {"PYTHONPATH": str(bench.project.root), "FAULTLOOP_RESULTS": str(folder)}

        def ours() -> Values:
            found = {}
            for count in AT_ONCE:
                words = [bench.kernel_name, SETUPS, WORKLOADS, str(folder), str(count)]
                ran = timed([python(), "-P", "-c", _SWEEP, *words], environment)
                found[f"{count}-at-once"] = 60 * len(guests) / ran.seconds
            return found

        def bare() -> Values:
            return {f"{count}-at-once": 60 * len(guests) / at_once(guests, count) for count in AT_ONCE}

        yield Pair(ours, bare, [f"{len(guests)} setups, {len(paths)} paths each"])


MEASURES = (
    Measure(
        "sweep",
        tuple(
            Row(f"{count}-at-once", f"guests of a sweep, {count} at once", "guests/min", rate=True)
            for count in AT_ONCE
        ),
        _prepare,
    ),
)
