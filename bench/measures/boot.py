# SPDX-License-Identifier: GPL-2.0-or-later
"""One guest under the harness against the bare QEMU command, both with the same kernel and the same init.

``first``: from the start to the end of the first command, over SSH here, by init there. ``family-a``: to
power-off, with all paths of family A run.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.bench import Bench
from bench.frame import Measure, Pair, Row, Values
from bench.guests import BareGuest
from harness.errors import InfrastructureError
from harness.jobs.guests import GuestJob, record
from harness.jobs.records import load
from harness.model import BuiltKernel, Setup
from harness.vm.machine import Guest
from harness.vm.spec import GuestSpec

SETUP = "cortex-a57"


@contextmanager
def _first(bench: Bench) -> Iterator[Pair]:
    setup = bench.setups(SETUP)[0]
    bare = BareGuest(bench, bench.base, setup, ())
    yield Pair(lambda: {"first": first_command(bench, bench.base, setup)}, lambda: {"first": bare.boot().first})


def first_command(bench: Bench, built: BuiltKernel, setup: Setup) -> float:
    """Seconds from nothing to the end of the first command, under the harness."""
    spec = GuestSpec.of(bench.shop.emulator, built, bench.shop.guest_image, setup)
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        with Guest(spec, Path(folder)) as guest:
            if guest.run(["true"]).status:
                raise InfrastructureError("the guest's first command failed")
            return time.monotonic() - began


@contextmanager
def _family(bench: Bench) -> Iterator[Pair]:
    setup, shop = bench.setups(SETUP)[0], bench.shop
    workloads = bench.workloads("family:A")
    bare = BareGuest(bench, bench.base, setup, [w.path for w in workloads])
    job = GuestJob("base", bench.base, setup, workloads)

    def ours() -> Values:
        with tempfile.TemporaryDirectory() as folder:
            where = Path(folder, "guest")
            began = time.monotonic()
            record(job, shop.emulator, shop.guest_image, where)
            seconds = time.monotonic() - began
            found = load(where)
            if found.end != "POWEROFF" or len(found.results) != len(workloads):
                raise InfrastructureError(f"the guest ended by {found.end}, with {len(found.results)} results")
            return {"family-a": seconds}

    def plain() -> Values:
        booted = bare.boot()
        told = booted.console.count("faultloop: end ")
        if told != len(workloads):
            raise InfrastructureError(f"the bare guest ran {told} paths of {len(workloads)}")
        return {"family-a": booted.seconds}

    yield Pair(ours, plain, [f"{len(workloads)} paths, {SETUP}, kernel {bench.kernel.version}"])


MEASURES = (
    Measure("boot", (Row("first", "boot to first command", reach=1.15),), _first),
    Measure("guest", (Row("family-a", "boot, family A, power-off", reach=1.15),), _family),
)
