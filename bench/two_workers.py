#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What a pool of machines costs: a small sweep on two local workers, against two guests at once without a pool.

    python -P -m bench.two_workers [ROUNDS] [WORKLOADS]

Four guests, fresh each time. Both take turns, so that what else the host does meets both alike; scheduler and
workers are up, and their caches full, before the first turn. Medians of wall and of CPU seconds of the client.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from harness.errors import InfrastructureError
from tests.vm.machines import machines

SETUPS = "cortex-a57,cortex-a76,a57-thp-never,a57-httu-access"
GUESTS = 4


def sweep(workloads: str, results: Path, environment: Mapping[str, str]) -> tuple[float, float]:
    """Wall seconds, and CPU seconds of the client and what it started here."""
    words = ["sweep", "--kernels", "6.1", "--setups", SETUPS, "--workloads", workloads, "--fresh", "--json"]
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(
        [sys.executable, "-P", "-m", "harness", *words],
        env={**os.environ, **environment, "FAULTLOOP_RESULTS": str(results)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.monotonic() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode not in (0, 1):
        raise InfrastructureError(f"the sweep ended with status {done.returncode}", detail=done.stderr)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    workloads = sys.argv[2] if len(sys.argv) > 2 else "anon-*"
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(Path.cwd()), os.environ.get("PYTHONPATH", "")]))
    with tempfile.TemporaryDirectory() as name, machines(Path(name), "one", "two") as pool:
        folder = Path(name, "results")
        sweep(workloads, folder, pool.environment)
        alone, apart = [], []
        for _ in range(rounds):
            alone.append(sweep(workloads, folder, {}))
            apart.append(sweep(workloads, folder, pool.environment))
    here, there = (statistics.median(seconds for seconds, _ in found) for found in (alone, apart))
    client = statistics.median(cpu for _, cpu in apart)
    print(f"{GUESTS} guests, {workloads}: {here:.1f} s on this host, {there:.1f} s on two workers of it")
    print(f"ratio {there / here:.3f}, {(there - here) / GUESTS:+.2f} s a guest; client {client:.1f} s of CPU")
    print("each:", " ".join(f"{a:.1f}/{b:.1f}" for (a, _), (b, _) in zip(alone, apart, strict=True)))


if __name__ == "__main__":
    main()
