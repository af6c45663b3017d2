# SPDX-License-Identifier: GPL-2.0-or-later
"""From StreamID and SubstreamID to a translation context (IHI 0070 3.3, 5.1 to 5.5, 15.1)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from .iotlb import tags
from .ops import StreamTable
from .records import Record, Type
from .stage2 import Stage2, decode
from .walk import Memory, Range, Rules, field

HTTU = {"none": 0, "access": 1, "dirty": 2}
SSID0, BYPASS_STAGE1, TERMINATE = 2, 1, (0, 3)
"""STE.S1DSS; 0b11 behaves as 0b00 (docs/emulator.md)."""
TG0 = {0: 12, 1: 16, 2: 14}
TG1 = {1: 14, 2: 12, 3: 16}
IPS = (32, 36, 40, 42, 44, 48)
# Pointers in structures end at bit 47 here: cases have none above.
LEAF_BITS = {1: 6, 2: 10}
"""Log2 of the CDs in a leaf table, by S1Fmt."""


@dataclass(frozen=True, slots=True)
class Model:
    """What the ID registers say, that matters here."""

    ssidsize: int
    stall: bool
    oas: int
    httu: int
    """IDR0.HTTU."""
    forced: bool = False
    """STALL_MODEL is 0b10."""
    runs: bool = False
    """Contiguous runs are cached as one."""


@dataclass(frozen=True, slots=True)
class Context:
    """A valid CD."""

    tag: tuple[int, int]
    """Of entries in the IOTLB, from ASID and ASET."""
    halves: tuple[Range, Range]
    output_bits: int
    rules: Rules
    stall: bool
    record: bool
    tbi: tuple[bool, bool]
    vmid: int = 0
    stage2: Stage2 | None = None


@dataclass(frozen=True, slots=True)
class Bypass:
    """The address is left as it is."""


@dataclass(frozen=True, slots=True)
class Abort:
    """Terminated without a record."""


Found = Context | Bypass | Abort | Stage2
Via = Callable[[Stage2, int], int]
"""Stage 2, which a CD's address goes through."""


def find(
    model: Model, memory: Memory, streams: StreamTable, sid: int, ssid: int | None, via: Via
) -> Found | Record:
    """The configuration that an access gets, or the record of why it gets none; or Stage2Fault."""
    ste = _ste(model, memory, streams, sid, ssid)
    if isinstance(ste, Record):
        return ste
    config = field(ste[0], 3, 1)
    if not config & 4:
        return Abort()
    stage2 = None
    if config & 2:
        stage2 = decode(ste, model.oas)
        if not stage2 or (stage2.stall and not model.stall) or (model.forced and not stage2.stall):
            return Record(Type.BAD_STE, sid, ssid)
    if config & 1:
        error = _illegal_stage1(model, ste)
        if error:
            return Record(Type.BAD_STE, sid, ssid)
    if not config & 1:
        return (stage2 or Bypass()) if ssid is None else Record(Type.BAD_SUBSTREAMID, sid, ssid)
    found = _stage1(model, memory, ste, sid, ssid, (lambda ipa: via(stage2, ipa)) if stage2 else lambda ipa: ipa)
    if isinstance(found, Bypass):
        return stage2 or found
    return replace(found, vmid=field(ste[2], 15, 0), stage2=stage2) if isinstance(found, Context) else found


def _ste(
    model: Model, memory: Memory, streams: StreamTable, sid: int, ssid: int | None
) -> tuple[int, ...] | Record:
    if sid >> streams.log2size:
        return Record(Type.BAD_STREAMID, sid, ssid)
    where = streams.base + 64 * sid
    if streams.split:
        upper = streams.base + 8 * (sid >> streams.split)
        level1 = memory.word(upper)
        if level1 is None:
            return Record(Type.STE_FETCH, sid, ssid, addr=upper)
        span = field(level1, 4, 0)
        index = sid & (1 << streams.split) - 1
        if not span or index >> span - 1:
            return Record(Type.BAD_STREAMID, sid, ssid)
        table = field(level1, 47, 6) << 6 & ~((64 << span - 1) - 1)
        if table >> model.oas:
            return Record(Type.BAD_STREAMID, sid, ssid)
        where = table + 64 * index
    words = tuple(memory.word(where + 8 * n) for n in range(8))
    if None in words:
        return Record(Type.STE_FETCH, sid, ssid, addr=where)
    ste = tuple(word or 0 for word in words)
    return ste if ste[0] & 1 else Record(Type.BAD_STE, sid, ssid)


def _illegal_stage1(model: Model, ste: tuple[int, ...]) -> bool:
    """5.2, for Config 0b101."""
    if model.ssidsize and field(ste[0], 63, 59) > model.ssidsize:
        return True
    return bool(ste[1] >> 27 & 1) and (model.forced or not model.stall)


def _stage1(
    model: Model, memory: Memory, ste: tuple[int, ...], sid: int, ssid: int | None, via: Callable[[int], int]
) -> Context | Bypass | Record:
    cdmax = field(ste[0], 63, 59) if model.ssidsize else 0
    dss = field(ste[1], 1, 0)
    if ssid is None:
        if cdmax and dss in TERMINATE:
            return Record(Type.STREAM_DISABLED, sid)
        if cdmax and dss == BYPASS_STAGE1:
            return Bypass()
        index = 0
    else:
        if not cdmax or ssid >> cdmax:
            return Record(Type.BAD_SUBSTREAMID, sid, ssid)
        if not ssid and dss == SSID0:
            return Record(Type.STREAM_DISABLED, sid)
        index = ssid
    where = field(ste[0], 47, 6) << 6
    fmt = field(ste[0], 5, 4)
    if cdmax and fmt in LEAF_BITS:
        bits = LEAF_BITS[fmt]
        upper = via(where + 8 * (index >> bits))
        level1 = memory.word(upper)
        if level1 is None:
            return Record(Type.CD_FETCH, sid, ssid, addr=upper)
        table = field(level1, 47, 6 + bits) << 6 + bits
        if not level1 & 1 or table >> model.oas:
            return Record(Type.BAD_SUBSTREAMID, sid, index)
        where = table
        index &= (1 << bits) - 1
    where = via(where + 64 * index)
    words = tuple(memory.word(where + 8 * n) for n in range(8))
    if None in words:
        return Record(Type.CD_FETCH, sid, ssid, addr=where)
    return context(model, [word or 0 for word in words], bool(ste[1] >> 27 & 1)) or Record(Type.BAD_CD, sid, ssid)


def context(model: Model, cd: list[int], s1stalld: bool) -> Context | None:
    """A CD's meaning (5.4); None: ILLEGAL (5.5)."""
    first = cd[0]
    if not first >> 31 & 1 or not first >> 41 & 1 or first >> 15 & 1:
        return None  # V, AA64, ENDI
    hd, ha = bool(first >> 42 & 1), bool(first >> 43 & 1)
    if (ha and model.httu < 1) or (hd and model.httu < 2):
        return None
    stall = bool(first >> 44 & 1)
    if (stall and (not model.stall or s1stalld)) or not first >> 46 & 1:
        return None  # S; A with TERM_MODEL = 1
    if model.forced and not stall:
        return None
    ips = field(first, 34, 32)
    output_bits = min(IPS[ips] if ips < len(IPS) else 52, model.oas)
    halves = []
    for tsz, tg, epd, ttb in (
        (field(first, 5, 0), TG0.get(field(first, 7, 6)), first >> 14 & 1, cd[1]),
        (field(first, 21, 16), TG1.get(field(first, 23, 22)), first >> 30 & 1, cd[2]),
    ):
        if epd:
            halves.append(Range(12, 0, 0, had=False, epd=True))
            continue
        if tg is None or not 16 <= tsz <= 39:
            return None
        base = field(ttb, 51, 4) << 4
        if base >> (output_bits if tg == 16 else min(output_bits, 48)):
            return None
        halves.append(Range(tg, 64 - tsz, base, bool(ttb >> 1 & 1), epd=False))
    return Context(
        tag=tags(field(first, 63, 48), field(first, 47, 47)),
        halves=(halves[0], halves[1]),
        output_bits=output_bits,
        rules=Rules(bool(first >> 35 & 1), ha, ha and hd, model.runs),
        stall=stall,
        record=bool(first >> 45 & 1),
        tbi=(bool(first >> 38 & 1), bool(first >> 39 & 1)),
    )
