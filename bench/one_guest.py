#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What the harness costs: one guest, boot to power-off with all workloads, against the bare QEMU command.

    python -P -m bench.one_guest [KERNEL] [ROUNDS]

The bare command boots the same kernel, modules and initramfs, whose init runs all workloads and powers off. Both
take turns, so that what else the host does meets both alike. Medians of wall seconds, and their ratio.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from harness import layout
from harness.errors import InfrastructureError
from harness.jobs.guests import GuestJob, load, record
from harness.jobs.workshop import Workshop
from harness.model import BuiltKernel, Emulator, GuestImage, Setup, Workload
from harness.sources import catalogue
from harness.vm import command, initramfs
from harness.vm.spec import GuestSpec

LAST_WORDS = b"Power down"


def bare(spec: GuestSpec) -> float:
    """Seconds of the bare command, its console a plain pipe."""
    memory = initramfs.assemble(spec.initramfs, spec.modules)
    words = command.machine(spec, Path(f"/proc/self/fd/{memory}"))
    argv = [str(spec.emulator), "-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio", *words]
    began = time.monotonic()
    done = subprocess.run(argv, pass_fds=(memory,), stdin=subprocess.DEVNULL, capture_output=True, check=False)
    seconds = time.monotonic() - began
    os.close(memory)
    if done.returncode or LAST_WORDS not in done.stdout:
        tail = done.stdout[-2000:].decode(errors="replace")
        raise InfrastructureError("the bare guest did not power off", detail=tail)
    return seconds


def harnessed(
    kernel: BuiltKernel, emulator: Emulator, image: GuestImage, setup: Setup, workloads: tuple[Workload, ...]
) -> tuple[float, float]:
    """Seconds under the harness: in all, and until SSH is connected."""
    with tempfile.TemporaryDirectory() as folder:
        where = Path(folder) / "guest"
        began = time.monotonic()
        record(GuestJob("base", kernel, setup, workloads), emulator, image, where)
        seconds = time.monotonic() - began
        found = load(where)
        if found.end != "POWEROFF" or len(found.results) != len(workloads):
            raise InfrastructureError(f"the guest ended by {found.end}, with {len(found.results)} results")
        return seconds, found.boot_seconds


def main() -> int:
    name = sys.argv[1] if len(sys.argv) > 1 else "6.1"
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    project = layout.project()
    shop = Workshop()
    kernel, emulator, image = shop.variant(shop.kernel(name)), shop.emulator, shop.guest_image
    workloads = tuple(catalogue.workloads(project.guest_tests / "workloads" / "catalogue.yaml"))
    setup = catalogue.setups(project.root / "setups.yaml")[0]
    spec = GuestSpec.of(emulator, kernel, image, setup, append=("faultloop.run=all",))
    plain, ours, boots = [], [], []
    for _ in range(rounds):
        plain.append(bare(spec))
        seconds, boot = harnessed(kernel, emulator, image, setup, workloads)
        ours.append(seconds)
        boots.append(boot)
    print(f"bare command   {' '.join(f'{s:6.2f}' for s in plain)}   median {statistics.median(plain):.2f} s")
    print(f"harness        {' '.join(f'{s:6.2f}' for s in ours)}   median {statistics.median(ours):.2f} s")
    print(f"  until SSH    {' '.join(f'{s:6.2f}' for s in boots)}   median {statistics.median(boots):.2f} s")
    ratio = statistics.median(ours) / statistics.median(plain)
    print(f"load {os.getloadavg()[0]:.1f}; ratio of the medians {ratio:.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
