# SPDX-License-Identifier: GPL-2.0-or-later
"""Event records (IHI 0070 7.3), whole: a field that a record does not have is 0."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from .walk import Fault


class Type(IntEnum):
    """Configuration errors; the faults are in :class:`Fault`."""

    BAD_STREAMID = 0x02
    STE_FETCH = 0x03
    BAD_STE = 0x04
    STREAM_DISABLED = 0x06
    BAD_SUBSTREAMID = 0x08
    CD_FETCH = 0x09
    BAD_CD = 0x0A


COUNTERS = {
    Type.BAD_STREAMID: "event-c-bad-streamid",
    Type.STE_FETCH: "event-f-ste-fetch",
    Type.BAD_STE: "event-c-bad-ste",
    Type.STREAM_DISABLED: "event-f-stream-disabled",
    Type.BAD_SUBSTREAMID: "event-c-bad-substreamid",
    Type.CD_FETCH: "event-f-cd-fetch",
    Type.BAD_CD: "event-c-bad-cd",
    Fault.WALK_EABT: "event-f-walk-eabt",
    Fault.TRANSLATION: "event-f-translation",
    Fault.ADDR_SIZE: "event-f-addr-size",
    Fault.ACCESS: "event-f-access",
    Fault.PERMISSION: "event-f-permission",
}
CLASS_TT, CLASS_IN = 1, 2


@dataclass(frozen=True, slots=True)
class Record:
    """What a record must say. A STAG is the SMMU's choice: it is compared apart."""

    type: int
    sid: int
    ssid: int | None = None
    stall: bool = False
    rnw: bool = False
    cls: int = 0
    addr: int = 0
    addr2: int = 0
    s2: bool = False

    def words(self) -> tuple[int, int, int, int]:
        """The four 64-bit words, with a STAG of 0."""
        ssv = self.ssid is not None and self.type not in (Type.BAD_SUBSTREAMID, Type.STREAM_DISABLED)
        first = self.type | ssv << 11 | (self.ssid or 0) << 12 | self.sid << 32
        second = self.stall << 31 | self.rnw << 35 | self.s2 << 39 | self.cls << 40
        return first, second, self.addr, self.addr2


def fault(type_: Fault, sid: int, ssid: int | None, va: int, write: bool, stall: bool, fetch: int) -> Record:
    """Of a stage-1 fault (7.3.12 to 7.3.17); CLASS is of the input address but for an abort of a table's fetch."""
    cls = CLASS_TT if type_ == Fault.WALK_EABT else CLASS_IN
    return Record(type_, sid, ssid, stall, not write, cls, va, fetch)
