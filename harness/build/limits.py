# SPDX-License-Identifier: GPL-2.0-or-later
"""What a command in the sandbox may use at most, and how the user changes that (``FAULTLOOP_LIMITS``)."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace

from harness.errors import InfrastructureError, UserError

VARIABLE = "FAULTLOOP_LIMITS"

_GIB = 1 << 30
_MIB = 1 << 20


class LimitExceeded(InfrastructureError):
    """A command was stopped: it used more than it may. ``detail`` holds the end of its output."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one command and all that it starts, together where not said otherwise."""

    seconds: float = 3 * 3600.0
    """Wall time."""
    disk: int = 16 * _GIB
    """Bytes in the folders that it may write."""
    files: int = 1_000_000
    """Files and folders in them."""
    memory: int = 0
    """Bytes; also the address space of each single process. 0: three quarters of the host's memory."""
    processes: int = 0
    """Processes and threads. 0: 1024, or 32 for each CPU if that is more."""
    output: int = 64 * _MIB
    """Bytes printed."""
    address_space: bool = True
    """Whether ``memory`` also bounds each process's address space. AddressSanitizer reserves terabytes of it."""

    time_is_ours: bool = False
    """The bound of time is the caller's: the user cannot change it."""

    @property
    def hard_processes(self) -> int:
        """Where the kernel refuses the next one: a little higher, so that watch.py sees that it is too much."""
        return self.processes + self.processes // 8 + 8

    def settled(self) -> Limits:
        """The same, with the host's own numbers in place of 0."""
        memory = self.memory or os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * 3 // 4
        return replace(self, memory=memory, processes=self.processes or max(1024, 32 * (os.cpu_count() or 1)))


_UNITS: Mapping[str, tuple[str, float, Callable[[float], float]]] = {
    "hours": ("seconds", 3600, float),
    "disk": ("disk", _GIB, int),
    "files": ("files", 1, int),
    "memory": ("memory", _GIB, int),
    "processes": ("processes", 1, int),
    "output": ("output", _MIB, int),
}
"""Name for the user -> field, unit, type."""


def of_environment(text: str | None = None) -> Limits:
    """The defaults, changed by ``hours=6,disk=32`` (disk, memory: GiB; output: MiB); else UserError."""
    text = os.environ.get(VARIABLE, "") if text is None else text
    changed: dict[str, float] = {}
    for word in text.replace(",", " ").split():
        name, equals, number = word.partition("=")
        try:
            value = float(number)
        except ValueError:
            value = 0.0
        if name not in _UNITS or not equals or not 0 < value < 1e9:
            raise UserError(
                f"{VARIABLE}: '{word}' is no limit; give NAME=NUMBER of {', '.join(_UNITS)}: hours=6,disk=32"
            )
        field, unit, kind = _UNITS[name]
        changed[field] = kind(value * unit)
    assert changed.keys() <= {field.name for field in fields(Limits)}
    return replace(Limits(), **changed).settled()  # type: ignore[arg-type]


def told(limits: Limits) -> str:
    """For the user, in a line."""
    return (
        f"{limits.seconds / 3600:g} h, {limits.disk / _GIB:.1f} GiB and {limits.files} files written, "
        f"{limits.memory / _GIB:.1f} GiB of memory, {limits.processes} processes, "
        f"{limits.output / _MIB:.0f} MiB printed"
    )
