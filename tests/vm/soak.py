# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests in a row from one process, as a worker or a nightly job has them: ``python -m tests.vm.soak COUNT``.

By turns in this process and in one that is forked for it (harness/jobs/pool.py). Prints a line of JSON for each:
what it found, and what this process holds afterwards.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from harness import layout
from harness.jobs import pool
from harness.jobs.guests import GuestJob, record
from harness.jobs.records import load
from harness.jobs.workshop import Workshop
from harness.sources import catalogue

PATHS = ("anon-reuse", "anon-reuse-uncached")
"""One loops on Linux 6.1, the other passes."""
SETUP = "cortex-a57"


@dataclass(frozen=True)
class Held:
    """What this process holds between two guests."""

    rss_kib: int
    descriptors: int
    threads: int
    children: int
    ports: int
    files: int
    """In the folder for temporary files and in that of the logs."""


def held(folder: Path) -> Held:
    me = psutil.Process()
    listening = [s for s in me.net_connections("inet") if s.status == psutil.CONN_LISTEN]
    return Held(
        rss_kib=me.memory_info().rss >> 10,
        descriptors=me.num_fds(),
        threads=threading.active_count(),
        children=len(me.children(recursive=True)),
        ports=len(listening),
        files=sum(len(names) for place in (folder, tempfile.gettempdir()) for _, _, names in os.walk(place)),
    )


def soak(count: int, folder: Path) -> Iterator[dict[str, Any]]:
    """Run them, one after the other; each one's logs are removed when it has been judged."""
    shop = Workshop()
    built = shop.variant(shop.kernel("6.1"))
    (setup,) = catalogue.setups(layout.project().setups, SETUP)
    workloads = catalogue.workloads(layout.project().workloads, ",".join(PATHS))
    job = GuestJob("base", built, setup, tuple(workloads))
    emulator, image = shop.emulator, shop.guest_image
    for number in range(count):
        began, logs = time.monotonic(), folder / str(number)
        if number % 2:
            errors = pool.run([lambda logs=logs: record(job, emulator, image, logs)], at_once=1)
            assert errors == [None], errors
        else:
            record(job, emulator, image, logs)
        found = load(logs)
        shutil.rmtree(logs)
        yield {
            "guest": number,
            "seconds": round(time.monotonic() - began, 2),
            "end": found.end,
            "outcomes": {result.path: str(result.outcome) for result in found.results},
            "tests": {result.path: _tests(result.ktap) for result in found.results},
            "held": vars(held(folder)),
        }


def _tests(ktap: str) -> list[str]:
    """Without what they measured: addresses differ."""
    return [line.partition(" (")[0] for line in ktap.splitlines() if line.startswith(("ok ", "not ok "))]


def main() -> None:
    folder = Path(sys.argv[2])
    folder.mkdir(parents=True)
    for line in soak(int(sys.argv[1]), folder):
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
