# SPDX-License-Identifier: GPL-2.0-or-later
"""The sva-testdev as its driver sees it (patches/qemu/overlay/include/hw/misc/sva-testdev.h)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, IntFlag

from . import layout
from .qtest import Machine

NO_PASID = 0xFFFF_FFFF

ENGINES, RESET = 0x008, 0x00C
PROBE_ADDR, PROBE_PASID, PROBE = 0x010, 0x018, 0x01C
TLBI, STALLS, RESUMES, FULL_FLUSHES, HIT_PERM_FAULTS = 0x020, 0x028, 0x030, 0x038, 0x040
AUDIT, AUDIT_STATUS, AUDIT_ENTRIES, AUDIT_INDEX = 0x080, 0x084, 0x088, 0x08C
RESTRICTIVE, PERMISSIVE, WRONG_PAGE, UNMAPPED = 0x090, 0x094, 0x098, 0x09C
DIFF = 0x0A0
SYNC, SYNCS = 0x0F0, 0x0F4
AUDIT_SHOWN = 64
INCOMPLETE, NO_IOMMU = 1, 2

ADDR, LEN, PASID, DATA, DATA2 = 0x00, 0x08, 0x0C, 0x10, 0x18
CMD, STATUS, E_STALLS, RETRIES, MAX_STALLS = 0x20, 0x24, 0x28, 0x2C, 0x30
RETRY_NS, ABORT, BYTES_DONE, FAULT_ADDR, SUM = 0x34, 0x38, 0x3C, 0x40, 0x48
BAD_ADDR, BAD_VALUE, BAD_ACCESS, BAD_COUNT, BAD_HOW = 0x50, 0x58, 0x60, 0x68, 0x6C
ACCESSES, ABORTS, EXPECT, PERIOD_NS, STOP = 0x70, 0x78, 0x7C, 0x80, 0x84
STEP, GO, FAULT_HOW, FAULT_TIME = 0x88, 0x8C, 0x90, 0x98

PCI_COMMAND, PCI_MEMORY, PCI_MASTER = 0x04, 1 << 1, 1 << 2
BAR0, BAR2 = 0x10, 0x18
PASID_CONTROL = 0x106
BAR_SIZE = 0x10000


class Do(IntEnum):
    """CMD."""

    READ = 1
    WRITE = 2
    FETCH_ADD = 3
    COMPARE_SWAP = 4
    COPY = 5
    FILL = 6
    VERIFY = 7
    PRIME = 8
    HAMMER_READ = 9
    HAMMER_WRITE = 10


class Expect(IntEnum):
    """EXPECT: of a hammer."""

    ANY = 0
    DONE = 1
    ABORT = 2
    PATTERN = 3


class Bad(IntEnum):
    """BAD_HOW."""

    VALUE = 1
    ABORTED = 2
    DONE = 3


STALLED, ABORTED, FAULT_WRITE = 1, 2, 0x10
"""FAULT_HOW."""


def pattern(addr: int, seed: int) -> int:
    """What FILL leaves in the 64 bits at ``addr``."""
    return addr ^ (seed * 0x9E37_79B9_7F4A_7C15) % 2**64


class St(IntFlag):
    """STATUS."""

    BUSY = 0x01
    DONE = 0x02
    ERROR = 0x04
    GAVE_UP = 0x08
    NO_PASID = 0x10
    BAD_PROGRAMMING = 0x20
    MISMATCH = 0x40
    PAUSED = 0x80


FAILED = St.DONE | St.ERROR


@dataclass(frozen=True, slots=True)
class Probe:
    """What the IOTLB holds for an address."""

    cached: bool
    read: bool
    write: bool
    level: int
    granule: int


NOTHING = Probe(False, False, False, 0, 0)


class Engine:
    """One DMA engine."""

    def __init__(self, machine: Machine, base: int) -> None:
        self._machine = machine
        self._qtest = machine.qtest
        self.base = base

    def get(self, register: int) -> int:
        return self._qtest.read32(self.base + register)

    def get64(self, register: int) -> int:
        return self._qtest.read64(self.base + register)

    def put(self, register: int, value: int) -> None:
        self._qtest.write32(self.base + register, value)

    def put64(self, register: int, value: int) -> None:
        self._qtest.write64(self.base + register, value)

    @property
    def status(self) -> St:
        return St(self.get(STATUS))

    @property
    def busy(self) -> bool:
        return St.BUSY in self.status

    @property
    def data(self) -> int:
        return self.get64(DATA)

    @property
    def stalls(self) -> int:
        return self.get(E_STALLS)

    def start(self, do: Do, addr: int, pasid: int, length: int = 8, data: int = 0, max_stalls: int = 0) -> None:
        """Write the registers, CMD last."""
        self.put64(ADDR, addr)
        self.put(LEN, length)
        self.put(PASID, pasid)
        self.put64(DATA, data)
        self.put(MAX_STALLS, max_stalls)
        self.put(CMD, do)

    def wait(self) -> St:
        """Until the command ends; how it did."""
        self._machine.until("the command's end", lambda: not self.busy)
        return self.status

    def wait_stalls(self, count: int) -> None:
        """Until the command has been stalled ``count`` times."""
        self._machine.until(f"stall {count}", lambda: self.stalls >= count or not self.busy)
        assert self.stalls == count
        assert self.busy

    def run(self, do: Do, addr: int, pasid: int, length: int = 8, data: int = 0) -> St:
        self.start(do, addr, pasid, length, data)
        return self.wait()


class TestDevice:
    """A device at 00:``slot``.0, its BARs assigned, bus mastering and PASID on."""

    __test__ = False  # not a test case, whatever pytest thinks of its name

    def __init__(self, machine: Machine, slot: int) -> None:
        self._machine = machine
        self._qtest = machine.qtest
        self.sid = slot << 3
        self.config = layout.ECAM + (slot << 15)
        self.bar = layout.MMIO32 + slot * 0x10_0000
        self.msix = self.bar + BAR_SIZE
        self.configure()
        self.engines = [Engine(machine, self.bar + 0x1000 + n * 0x100) for n in range(self.get(ENGINES))]

    def configure(self) -> None:
        """What a driver does on probe."""
        self._qtest.write32(self.config + BAR0, self.bar)
        self._qtest.write32(self.config + BAR2, self.msix)
        self._qtest.write16(self.config + PCI_COMMAND, PCI_MEMORY | PCI_MASTER)
        self._qtest.write16(self.config + PASID_CONTROL, 1)

    def get(self, register: int) -> int:
        return self._qtest.read32(self.bar + register)

    def get64(self, register: int) -> int:
        return self._qtest.read64(self.bar + register)

    def put(self, register: int, value: int) -> None:
        self._qtest.write32(self.bar + register, value)

    def probe(self, addr: int, pasid: int) -> Probe:
        """What the IOTLB holds for an access of the device."""
        self._qtest.write64(self.bar + PROBE_ADDR, addr)
        self.put(PROBE_PASID, pasid)
        value = self.get(PROBE)
        return Probe(bool(value & 1), bool(value & 2), bool(value & 4), value >> 8 & 0xFF, value >> 16 & 0xFF)
