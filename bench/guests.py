# SPDX-License-Identifier: GPL-2.0-or-later
"""Bare guests: the same QEMU, machine, kernel, modules and initramfs, driven by the guest's init alone.

What init does is put on top of the initramfs as one more archive: the guest's own init, told what to run. So the
guest image, and every record that is named after it, stays as it is.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.bench import Bench
from harness.build import cpio
from harness.errors import InfrastructureError
from harness.model import BuiltKernel, Setup
from harness.vm import command, initramfs
from harness.vm.spec import GuestSpec

FIRST = "faultloop-bench: first command"
LAST = "Power down"
_ALL = '\t/faultloop/workloads "$@" --all\n'
_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Booted:
    """A bare guest that powered off."""

    first: float
    """Seconds from QEMU's start to the end of the first command."""
    seconds: float
    """To QEMU's end."""
    peak_mib: float
    """Most memory that QEMU held at once (resident)."""
    console: str


def init(text: str, paths: Sequence[str]) -> str:
    """The guest's init, which runs one command, then ``paths``, and powers off."""
    if text.count(_ALL) != 1:
        raise InfrastructureError("guest-tests/init: bench does not find the line that runs all workloads")
    lines = ["\ttrue", f"\techo '{FIRST}'"]
    if paths:
        lines += [f"\tfor path in {' '.join(paths)}; do", '\t\t/faultloop/workloads "$@" $path', "\tdone"]
    return text.replace(_ALL, "\n".join([*lines, ""]))


class BareGuest:
    """Boots one kernel in one setup; the initramfs is put together once."""

    def __init__(self, bench: Bench, built: BuiltKernel, setup: Setup, paths: Sequence[str]) -> None:
        shop = bench.shop
        self._spec = GuestSpec.of(shop.emulator, built, shop.guest_image, setup, append=("faultloop.run=all",))
        archive = cpio.Archive()
        text = (bench.project.guest_tests / "init").read_text(encoding="utf-8")
        archive.file("init", init(text, paths).encode("utf-8"), 0o755)
        self._more = archive.to_bytes()

    def boot(self) -> Booted:
        """From QEMU's start to its end; InfrastructureError when the guest does not power off by itself."""
        with self._memory() as memory:
            words = command.machine(self._spec, Path(f"/proc/self/fd/{memory}"))
            head = ["-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio"]
            return _watched([str(self._spec.emulator), *head, *words], memory)

    @contextmanager
    def _memory(self) -> Iterator[int]:
        memory = initramfs.assemble(self._spec.initramfs, self._spec.modules)
        try:
            with os.fdopen(memory, "r+b", closefd=False) as file:
                at = file.seek(0, os.SEEK_END)
                file.write(bytes(-at % 4) + self._more)
            yield memory
        finally:
            os.close(memory)


def at_once(guests: list[BareGuest], count: int) -> float:
    """Seconds until all have powered off, ``count`` at once."""
    began = time.monotonic()
    with ThreadPoolExecutor(max_workers=count) as pool:
        for booted in pool.map(BareGuest.boot, guests):
            if not booted.first:
                raise InfrastructureError("the bare guest did not run its first command")
    return time.monotonic() - began


def _watched(argv: Sequence[str], memory: int) -> Booted:
    began = time.monotonic()
    first, lines = 0.0, []
    process = subprocess.Popen(
        ["timeout", "--foreground", str(_SECONDS), *argv],
        pass_fds=(memory,),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        assert process.stdout is not None
        for raw in process.stdout:
            text = raw.decode("utf-8", errors="replace").rstrip()
            lines.append(text)
            if FIRST in text and not first:
                first = time.monotonic() - began
        # Of timeout and of QEMU, for which it has waited; /proc has none for a process that is about to end.
        _, ended, usage = os.wait4(process.pid, 0)
        status = process.returncode = os.waitstatus_to_exitcode(ended)
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()
    seconds = time.monotonic() - began
    if status or not any(LAST in line for line in lines):
        raise InfrastructureError("the bare guest did not power off", detail="\n".join(lines[-30:]))
    return Booted(first, seconds, usage.ru_maxrss / 1024, "\n".join(lines))
