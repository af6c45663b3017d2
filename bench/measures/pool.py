# SPDX-License-Identifier: GPL-2.0-or-later
"""What a pool of machines costs: a small sweep on two local workers ("ours"), against two guests without one.

Scheduler and workers are up, and their caches full, before the first round.
"""

from __future__ import annotations

import resource
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from bench.bench import Bench
from bench.frame import Measure, Pair, Row, Values
from bench.measures.sweep import SETUPS
from tests.vm.machines import machines

_WORKLOADS = "anon-*"


def _sweep(bench: Bench, results: Path, environment: Mapping[str, str]) -> Values:
    """Wall seconds, and CPU seconds of the client and what it started here."""
    words = ["sweep", "--kernels", bench.kernel_name, "--setups", SETUPS, "--workloads", _WORKLOADS]
    words += ["--fresh", "--json"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    ran = bench.command(words, results, statuses=(0, 1), env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {"wall": ran.seconds, "client": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime}


@contextmanager
def _prepare(bench: Bench) -> Iterator[Pair]:
    with bench.scratch("pool") as folder, machines(folder, "one", "two") as pool:
        results = folder / "results"
        _sweep(bench, results, pool.environment)
        yield Pair(
            lambda: _sweep(bench, results, pool.environment),
            lambda: {"wall": _sweep(bench, results, {})["wall"]},
            [f"four guests, {_WORKLOADS}; client: CPU seconds"],
        )


MEASURES = (
    Measure(
        "pool",
        (Row("wall", "a sweep on two workers"), Row("client", "its client")),
        _prepare,
        asked="WORKERS",
        takes="eight guests, a minute",
    ),
)
