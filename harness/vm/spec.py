# SPDX-License-Identifier: GPL-2.0-or-later
"""What a guest is made of, how long it may take, and how it can end."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from enum import StrEnum
from pathlib import Path
from typing import Self

from harness.model import BuiltKernel, Emulator, GuestImage, Setup


class End(StrEnum):
    """How a guest's life ended; the values of ``GuestRecord.end``."""

    POWEROFF = "POWEROFF"
    PANIC = "PANIC"
    HANG = "HANG"
    RESET = "RESET"
    QEMU_DIED = "QEMU-DIED"
    KILLED = "KILLED"
    """By us: an exception or an interruption left the with block."""


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Bounds in seconds, each for one phase, chosen for TCG on a busy host of two cores.

    They exist only to end a hang; nothing is judged by them. They do not run while the host gives QEMU no CPU.
    ``silence`` is not a phase: it is how long
    neither console nor SSH may say anything before the guest is examined, and any progress starts it anew.
    """

    start: float = 30.0
    """Until QEMU answers on QMP."""
    boot: float = 180.0
    """From QEMU's answer to the line ``faultloop: ready``."""
    connect: float = 60.0
    """SSH handshake and authentication."""
    command: float = 300.0
    """One command, when its caller names no deadline."""
    transfer: float = 60.0
    """One file, either way."""
    power_off: float = 30.0
    """From ``poweroff`` to QEMU's word that the machine is off."""
    qmp: float = 20.0
    """One QMP command."""
    silence: float = 60.0

    def scaled(self, factor: float) -> Self:
        """All of them times ``factor``: a slower host, or several guests at once."""
        return replace(self, **{f.name: getattr(self, f.name) * factor for f in fields(self)})


JOURNAL = 160
"""A loop makes 101 records. All there are get read after each path: a thousand would cost a tenth of its time."""


@dataclass(frozen=True, slots=True)
class GuestSpec:
    """Everything that decides what a guest is. Paths are absolute."""

    emulator: Path
    kernel: Path
    """arm64 ``Image``."""
    initramfs: Path
    disk: Path
    """Raw image; the guest writes to a throw-away overlay of it."""
    setup: Setup
    client_key: Path
    """Private key that the guest's root accepts."""
    host_key: str
    """The only host key accepted: ``ssh-ed25519 AAAA...``."""
    modules: tuple[Path, ...] = ()
    """Appended to the initramfs as a second archive, under ``/faultloop/modules``."""
    append: tuple[str, ...] = ()
    """More words for the kernel's command line."""
    journal: int = JOURNAL
    """Records that the SMMU's journal keeps."""
    deadlines: Deadlines = Deadlines()
    nodes: int = 1
    """NUMA nodes that CPUs and memory are divided among."""

    @classmethod
    def of(
        cls,
        emulator: Emulator,
        kernel: BuiltKernel,
        image: GuestImage,
        setup: Setup,
        *,
        append: tuple[str, ...] = (),
        journal: int = JOURNAL,
        deadlines: Deadlines | None = None,
    ) -> Self:
        """The guest that boots ``kernel`` with ``image`` on ``setup``."""
        return cls(
            emulator=emulator.binary,
            kernel=kernel.image,
            initramfs=image.initramfs,
            disk=image.disk,
            setup=setup,
            client_key=image.client_key,
            host_key=image.host_key,
            modules=kernel.modules,
            append=append,
            journal=journal,
            deadlines=deadlines or Deadlines(),
        )


@dataclass(frozen=True, slots=True)
class CommandResult:
    """A command that ran in the guest to its end."""

    status: int
    """Exit status; 128 + N when signal N ended it, as a shell says."""
    stdout: str
    stderr: str
    seconds: float
    truncated: bool = False
    """More was printed than is kept (``shell.OUTPUT_LIMIT``): the rest was read and dropped."""


@dataclass(slots=True)
class Timings:
    """Seconds since QEMU was started, of each step that was reached."""

    qmp: float = 0.0
    """QEMU answers."""
    ready: float = 0.0
    """``faultloop: ready`` seen on the console."""
    connected: float = 0.0
    """SSH session authenticated."""
    ended: float = 0.0
    """QEMU gone."""
