# SPDX-License-Identifier: GPL-2.0-or-later
"""Peak memory: of the command, of QEMU, and of the guest's own system, over one guest with all of family A.

The guest's is what its kernel counts as neither free nor reclaimable, at the end of each path, at its most.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.bench import Bench, python, timed
from bench.frame import Measure, Pair, Row, Values
from bench.guests import BareGuest
from harness.errors import InfrastructureError
from harness.vm.machine import Guest
from harness.vm.spec import GuestSpec

SETUP = "cortex-a57"
_COMMAND = """
import atexit, resource, runpy, sys
def told(): print("PEAK", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)
atexit.register(told)
sys.argv[0] = "faultloop"
runpy.run_module("harness", run_name="__main__")
"""
_MEMINFO = re.compile(r"^(MemTotal|MemAvailable): +(\d+) kB", re.MULTILINE)


@contextmanager
def _prepare(bench: Bench) -> Iterator[Pair]:
    setup, shop = bench.setups(SETUP)[0], bench.shop
    paths = [w.path for w in bench.workloads("family:A")]
    spec = GuestSpec.of(shop.emulator, bench.base, shop.guest_image, setup)
    bare = BareGuest(bench, bench.base, setup, paths)

    def command(folder: Path) -> float:
        words = ["run", "--kernel", bench.kernel_name, "--setup", SETUP, "--workloads", "family:A"]
        environment = {"PYTHONPATH": str(bench.project.root), "FAULTLOOP_RESULTS": str(folder)}
        ran = timed([python(), "-P", "-c", _COMMAND, *words], environment, statuses=(0, 1, 3))
        return int(ran.stderr.rpartition("PEAK ")[2].split()[0]) / 1024

    def ours() -> Values:
        with tempfile.TemporaryDirectory() as name:
            used = 0.0
            with Guest(spec, Path(name, "guest")) as guest:
                for path in paths:
                    guest.run(["/faultloop/workloads", path])
                    used = max(used, in_use_mib(guest.run(["cat", "/proc/meminfo"]).stdout))
                peak = peak_mib(os.getpid())
            return {"harness": command(Path(name)), "qemu": peak, "guest": used}

    yield Pair(ours, lambda: {"qemu": bare.boot().peak_mib}, [f"the guest has {setup.memory_mib} MiB"])


def in_use_mib(meminfo: str) -> float:
    """MiB that are in use, of ``/proc/meminfo``."""
    found = {name: int(kib) for name, kib in _MEMINFO.findall(meminfo)}
    if len(found) != 2:
        raise InfrastructureError("the guest's /proc/meminfo cannot be read", detail=meminfo)
    return (found["MemTotal"] - found["MemAvailable"]) / 1024


def peak_mib(parent: int) -> float:
    """VmHWM of the QEMU that is a child of this process, MiB; 0 if there is none."""
    for child in _children(parent):
        try:
            text = Path(f"/proc/{child}/status").read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        fields = dict(line.partition(":")[::2] for line in text.splitlines())
        if "qemu" in fields.get("Name", ""):
            return int(fields["VmHWM"].split()[0]) / 1024
    return 0.0


def _children(parent: int) -> list[int]:
    found = []
    for thread in Path(f"/proc/{parent}/task").glob("*/children"):
        try:
            found += [int(word) for word in thread.read_text(encoding="ascii").split()]
        except OSError:
            continue
    return found


MEASURES = (
    Measure(
        "memory",
        (
            Row("harness", "peak of the command", "MiB"),
            Row("qemu", "peak of QEMU, family A", "MiB"),
            Row("guest", "most in use in the guest", "MiB"),
        ),
        _prepare,
        rounds=1,
    ),
)
