# SPDX-License-Identifier: GPL-2.0-or-later
"""What the harness costs over the bare QEMU command."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from harness.model import BuiltKernel, Emulator, GuestImage, Setup
from harness.vm import command, initramfs
from harness.vm.machine import Guest, GuestSpec

ROUNDS = 5
BOUND = 1.15


def bare(spec: GuestSpec) -> float:
    """Seconds from QEMU's start to the guest's first words, with a plain pipe for its console."""
    memory = initramfs.assemble(spec.initramfs, spec.modules)
    words = command.machine(spec, Path(f"/proc/self/fd/{memory}"))
    argv = [str(spec.emulator), "-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio", *words]
    began = time.monotonic()
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=[memory]) as qemu:
        assert qemu.stdout is not None
        found = any(b"faultloop: ready" in line for line in qemu.stdout)
        seconds = time.monotonic() - began
        qemu.kill()
    os.close(memory)
    assert found
    return seconds


@pytest.mark.long
def test_boot_under_the_harness_costs_little_more_than_the_bare_command(
    emulator: Emulator, base_kernel: BuiltKernel, guest_image: GuestImage, tmp_path: Path
) -> None:
    spec = GuestSpec.of(emulator, base_kernel, guest_image, Setup(name="cortex-a57", cpu="cortex-a57"))
    plain, ready, first = [], [], []
    for number in range(ROUNDS):
        plain.append(bare(spec))
        began = time.monotonic()
        with Guest(spec, tmp_path / str(number)) as guest:
            guest.run(["true"])
            first.append(time.monotonic() - began)
        ready.append(guest.timings.ready)
    print(f"bare {min(plain):.2f} s; ready {min(ready):.2f} s; first command done {min(first):.2f} s")
    assert min(ready) <= BOUND * min(plain)
