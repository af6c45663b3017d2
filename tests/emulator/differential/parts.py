# SPDX-License-Identifier: GPL-2.0-or-later
"""What the reference is made of, besides the SMMU: memory, and the commands of the device's engines."""

from __future__ import annotations

import mmap
from dataclasses import dataclass

from .. import layout
from .iotlb import Unpredictable
from .ops import Access

DEVICES = range(0x40_0000_0000, 0x100_0000_0000)
"""ECAM and the windows for 64-bit BARs, besides what lies below the RAM."""
DONE, ERROR, BUSY = 2, 4, 1


class Ram:
    """Guest memory; elsewhere, accesses abort."""

    def __init__(self) -> None:
        self._data = mmap.mmap(-1, layout.RAM_END - layout.RAM)

    def has(self, pa: int, size: int) -> bool:
        return pa >= layout.RAM and pa + size <= layout.RAM_END

    def elsewhere(self, pa: int) -> bool:
        """Where the machine may have devices, which an access would do something to."""
        return pa < layout.RAM or DEVICES.start <= pa < DEVICES.stop

    def read(self, pa: int, size: int) -> bytes:
        return self._data[pa - layout.RAM : pa - layout.RAM + size]

    def write(self, pa: int, data: bytes) -> None:
        self._data[pa - layout.RAM : pa - layout.RAM + len(data)] = data

    def word(self, pa: int) -> int | None:
        if self.elsewhere(pa):
            raise Unpredictable(f"a fetch from a device at {pa:#x}")
        return int.from_bytes(self.read(pa, 8), "little") if self.has(pa, 8) else None


@dataclass(slots=True)
class Running:
    """A command of an engine, and how far it is."""

    op: Access
    length: int
    done: int = 0
    sum: int = 0
    data: int = 0
    stalls: int = 0
    retries: int = 0
    fault: int = 0
    status: int = BUSY


@dataclass(frozen=True, slots=True)
class Stall:
    """A stalled access; ``number``: of its record among all, None if it has none."""

    sid: int
    engine: tuple[int, int]
    number: int | None
