# SPDX-License-Identifier: GPL-2.0-or-later
"""The SMMUv3 as software sees it: registers, structures in memory, commands, events. Sections are of IHI 0070."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from . import layout
from .pagetable import Context
from .qtest import QTest

IDR0, IDR1, IDR3, IDR5 = 0x00, 0x04, 0x0C, 0x14
CR0, CR2, GBPA, GERROR, GERRORN = 0x20, 0x2C, 0x44, 0x60, 0x64
CR2_PTM = 1 << 2
"""Private TLB maintenance: broadcasts of CPUs are none of the SMMU's business (6.3.12)."""
STRTAB_BASE, STRTAB_BASE_CFG = 0x80, 0x88
CMDQ_BASE, CMDQ_PROD, CMDQ_CONS = 0x90, 0x98, 0x9C
EVENTQ_BASE = 0xA0
EVENTQ_PROD, EVENTQ_CONS = 0x100A8, 0x100AC

SMMUEN, EVENTQEN, CMDQEN = 1 << 0, 1 << 2, 1 << 3
GERROR_CMDQ_ERR, GERROR_EVENTQ_ABT_ERR = 1 << 0, 1 << 2
OVERFLOW = 1 << 31
"""EVENTQ_PROD.OVFLG, EVENTQ_CONS.OVACKFLG."""

SID_BITS = 8
CMDQ_BITS = 8
EVENTQ_BITS = 3
CERROR_ILL = 1


class Ev(IntEnum):
    """Event types (7.3)."""

    C_BAD_STREAMID = 0x02
    C_BAD_STE = 0x04
    F_STREAM_DISABLED = 0x06
    C_BAD_SUBSTREAMID = 0x08
    F_CD_FETCH = 0x09
    C_BAD_CD = 0x0A
    F_WALK_EABT = 0x0B
    F_TRANSLATION = 0x10
    F_ADDR_SIZE = 0x11
    F_ACCESS = 0x12
    F_PERMISSION = 0x13


class Config(IntEnum):
    """STE.Config (5.2)."""

    ABORT = 0
    BYPASS = 4
    S1 = 5
    S2 = 6
    NESTED = 7


class Dss(IntEnum):
    """STE.S1DSS (5.2)."""

    TERMINATE = 0
    BYPASS = 1
    SSID0 = 2
    RESERVED = 3


@dataclass(frozen=True, slots=True)
class Event:
    """An event record (7.3)."""

    type: Ev
    sid: int
    ssv: bool
    ssid: int
    stall: bool
    stag: int
    rnw: bool
    pnu: bool
    ind: bool
    nsipa: bool
    s2: bool
    cls: int
    addr: int
    addr2: int


@dataclass(frozen=True, slots=True)
class Stage2:
    """The stage-2 half of an STE: a 4K table of 39 bits, that starts at level 1."""

    root: int
    vmid: int = 1
    s2s: bool = False
    s2r: bool = True
    aa64: bool = True
    ha: bool = False
    hd: bool = False

    def words(self) -> tuple[int, int]:
        upper = 25 | 1 << 6 | 4 << 16 | self.aa64 << 19
        upper |= self.hd << 23 | self.ha << 24 | self.s2s << 25 | self.s2r << 26
        return self.vmid | upper << 32, self.root


class Smmu:
    """Drives the SMMU. Queue indexes are kept here, as a driver keeps them."""

    def __init__(self, qtest: QTest) -> None:
        self._qtest = qtest
        self._prod = 0
        self._cons = 0

    def read(self, register: int) -> int:
        return self._qtest.read32(layout.SMMU + register)

    def write(self, register: int, value: int) -> None:
        self._qtest.write32(layout.SMMU + register, value)

    def write64(self, register: int, value: int) -> None:
        self._qtest.write64(layout.SMMU + register, value)

    def enable(self) -> None:
        """Queues, a linear stream table (invalid STEs only), then translation."""
        self.write64(STRTAB_BASE, layout.STREAM_TABLE)
        self.write(STRTAB_BASE_CFG, SID_BITS)
        self.write64(CMDQ_BASE, layout.CMDQ | CMDQ_BITS)
        self.write64(EVENTQ_BASE, layout.EVENTQ | EVENTQ_BITS)
        self.write(CR0, SMMUEN | EVENTQEN | CMDQEN)

    # Configuration structures: written only, as by a driver; invalidation is a command

    def set_ste(
        self,
        sid: int,
        config: Config = Config.S1,
        *,
        cd_table: int = layout.CD_TABLE,
        s1fmt: int = 0,
        s1cdmax: int = 0,
        s1dss: Dss = Dss.SSID0,
        s1stalld: bool = False,
        stage2: Stage2 | None = None,
        valid: bool = True,
    ) -> None:
        """Write a Stream Table Entry (5.2)."""
        words = [0] * 8
        words[0] = valid | config << 1 | s1fmt << 4 | cd_table | s1cdmax << 59
        words[1] = s1dss | s1stalld << 27
        if stage2:
            words[2], words[3] = stage2.words()
        for index, word in enumerate(words):
            self._qtest.write64(layout.STREAM_TABLE + sid * 64 + index * 8, word)

    def set_cd(self, index: int, context: Context, table: int = layout.CD_TABLE) -> None:
        """Write a Context Descriptor (5.4) into a linear table."""
        for number, word in enumerate(context.words()):
            self._qtest.write64(table + index * 64 + number * 8, word)

    def set_l1cd(self, index: int, leaf: int, table: int = layout.CD_TABLE, valid: bool = True) -> None:
        """Write a Level 1 Context Descriptor (5.3)."""
        self._qtest.write64(table + index * 8, leaf | valid)

    # Commands

    def command(self, low: int, high: int = 0) -> int:
        """Issue a 128-bit command; CMDQ_CONS.ERR, which is 0 if it was consumed."""
        addr = layout.CMDQ + (self._prod & ((1 << CMDQ_BITS) - 1)) * 16
        self._qtest.write64(addr, low)
        self._qtest.write64(addr + 8, high)
        self._prod = (self._prod + 1) & ((2 << CMDQ_BITS) - 1)
        self.write(CMDQ_PROD, self._prod)
        return self.read(CMDQ_CONS) >> 24 & 0x7F

    def must(self, low: int, high: int = 0) -> None:
        error = self.command(low, high)
        assert not error, f"command {low:#x} {high:#x}: CERROR {error}"

    def cfgi_ste(self, sid: int) -> None:
        self.must(0x03 | sid << 32, 1)

    def cfgi_ste_range(self, sid: int, log2: int) -> None:
        """``log2``: of the number of streams; 32: all of them."""
        self.must(0x04 | sid << 32, log2 - 1)

    def cfgi_cd(self, sid: int, ssid: int) -> None:
        self.must(0x05 | ssid << 12 | sid << 32, 1)

    def cfgi_cd_all(self, sid: int) -> None:
        self.must(0x06 | sid << 32)

    def tlbi_nh_all(self, vmid: int = 0) -> None:
        self.must(0x10 | vmid << 32)

    def tlbi_nh_asid(self, asid: int, vmid: int = 0) -> None:
        self.must(0x11 | vmid << 32 | asid << 48)

    def tlbi_nh_va(self, asid: int, va: int, vmid: int = 0) -> None:
        self.must(0x12 | vmid << 32 | asid << 48, va)

    def tlbi_nh_va_range(
        self, asid: int, va: int, tg: int, num: int, scale: int = 0, ttl: int = 0, vmid: int = 0
    ) -> None:
        """(``num`` + 1) * 2 ** ``scale`` granules from ``va`` on (4.4.1.1)."""
        self.must(0x12 | num << 12 | scale << 20 | vmid << 32 | asid << 48, va | tg << 10 | ttl << 8)

    def tlbi_nh_vaa(self, va: int, vmid: int = 0) -> None:
        self.must(0x13 | vmid << 32, va)

    def tlbi_s12_vmall(self, vmid: int) -> None:
        self.must(0x28 | vmid << 32)

    def tlbi_s2_ipa(self, ipa: int, vmid: int, tg: int = 0, num: int = 0, scale: int = 0, ttl: int = 0) -> None:
        """With ``tg``, a range as :meth:`tlbi_nh_va_range`."""
        self.must(0x2A | num << 12 | scale << 20 | vmid << 32, ipa | tg << 10 | ttl << 8)

    def tlbi_nsnh_all(self) -> None:
        self.must(0x30)

    def resume(self, event: Event, *, retry: bool = True, abort: bool = False) -> None:
        """CMD_RESUME (4.7.1) in answer to a stall event."""
        self.resume_raw(event.sid, event.stag, retry=retry, abort=abort)

    def resume_raw(self, sid: int, stag: int, *, retry: bool = True, abort: bool = False) -> None:
        self.must(0x44 | retry << 12 | abort << 13 | sid << 32, stag)

    def stall_term(self, sid: int) -> None:
        """CMD_STALL_TERM (4.7.2)."""
        self.must(0x45 | sid << 32)

    def sync(self) -> None:
        self.must(0x46)

    # Events

    @property
    def event_count(self) -> int:
        """Records in the event queue."""
        mask = (2 << EVENTQ_BITS) - 1
        return (self.read(EVENTQ_PROD) - self._cons) & mask

    def peek_event(self, offset: int = 0) -> Event:
        """The oldest record or one after it; it stays in the queue."""
        index = (self._cons + offset) & ((1 << EVENTQ_BITS) - 1)
        raw = self._qtest.read(layout.EVENTQ + index * 32, 32)
        w = [int.from_bytes(raw[i : i + 4], "little") for i in range(0, 32, 4)]
        return Event(
            type=Ev(w[0] & 0xFF),
            ssv=bool(w[0] >> 11 & 1),
            ssid=w[0] >> 12,
            sid=w[1],
            stag=w[2] & 0xFFFF,
            stall=bool(w[2] >> 31),
            pnu=bool(w[3] >> 1 & 1),
            ind=bool(w[3] >> 2 & 1),
            rnw=bool(w[3] >> 3 & 1),
            nsipa=bool(w[3] >> 4 & 1),
            s2=bool(w[3] >> 7 & 1),
            cls=w[3] >> 8 & 3,
            addr=w[4] | w[5] << 32,
            addr2=w[6] | w[7] << 32,
        )

    def consume(self, count: int = 1, *, ack_overflow: bool = False) -> None:
        """Move EVENTQ_CONS on; with ``ack_overflow``, OVACKFLG follows OVFLG."""
        self._cons = (self._cons + count) & ((2 << EVENTQ_BITS) - 1)
        flag = self.read(EVENTQ_PROD if ack_overflow else EVENTQ_CONS) & OVERFLOW
        self.write(EVENTQ_CONS, self._cons | flag)

    def pop_event(self) -> Event:
        """The oldest record, which there must be."""
        assert self.event_count, "the event queue is empty"
        event = self.peek_event()
        self.consume()
        return event
