# SPDX-License-Identifier: GPL-2.0-or-later
"""Stage 2 (IHI 0070 3.3.2, 5.2; Arm ARM D8.2, D8.4.2), with the 4K granule and 39 bits of IPA, from level 1 on."""

from __future__ import annotations

from dataclasses import dataclass, replace

from .walk import LAST_LEVEL, Entry, Fault, Memory, Range, field

GRANULE, BITS = 12, 39
S2T0SZ, S2SL0 = 64 - BITS, 1
TAG = (-3,)
"""In place of an ASID: of what stage 2 alone translates."""
CLASS_CD, CLASS_TT, CLASS_IN = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Stage2:
    """What an STE says of it."""

    vmid: int
    range: Range
    output_bits: int
    record: bool
    """S2R."""
    stall: bool
    """S2S."""


class Stage2Fault(Exception):
    """Stage 2 denies an access of class ``cls`` to ``ipa``, or cannot read its descriptor at ``fetch``."""

    def __init__(self, stage2: Stage2, fault: Fault, cls: int, ipa: int, fetch: int = 0) -> None:
        super().__init__()
        self.stage2 = stage2
        self.fault = fault
        self.cls = cls
        self.ipa = ipa
        self.fetch = fetch


@dataclass(frozen=True, slots=True)
class Need:
    """What an access does."""

    read: bool
    write: bool

    def denied(self, read: bool, write: bool) -> bool:
        return (self.read and not read) or (self.write and not write)


READ = Need(True, False)


def decode(ste: tuple[int, ...], oas: int) -> Stage2 | None:
    """Of an STE with stage 2 on; None: ILLEGAL, or what these cases do not have."""
    upper = ste[2] >> 32
    if not upper >> 19 & 1 or field(upper, 5, 0) != S2T0SZ:
        return None
    output_bits = min((32, 36, 40, 42, 44, 48, 48, 48)[field(upper, 18, 16)], oas, 48)
    if output_bits < BITS:
        return None  # S2T0SZ selects more than the effective S2PS
    table = Range(GRANULE, BITS, field(ste[3], 47, 4) << 4, had=False, epd=False)
    return Stage2(field(ste[2], 15, 0), table, output_bits, bool(upper >> 26 & 1), bool(upper >> 25 & 1))


def walk(memory: Memory, stage2: Stage2, ipa: int, need: Need, cls: int) -> Entry:
    """Of the page or block that holds ``ipa``, or Stage2Fault."""

    def fault(kind: Fault, fetch: int = 0) -> Stage2Fault:
        return Stage2Fault(stage2, kind, cls, ipa, fetch)

    half = stage2.range
    if ipa >> half.bits:
        raise fault(Fault.TRANSLATION)
    table, level = half.ttb & ~0xFFF, 1
    while True:
        shift = half.shift(level)
        where = table + 8 * (ipa >> shift & 511)
        descriptor = memory.word(where)
        if descriptor is None:
            raise fault(Fault.WALK_EABT, where)
        if not descriptor & 1 or (level == LAST_LEVEL and not descriptor & 2):
            raise fault(Fault.TRANSLATION)
        if level == LAST_LEVEL or not descriptor & 2:
            break
        table = field(descriptor, 47, 12) << 12
        if table >> stage2.output_bits:
            raise fault(Fault.ADDR_SIZE)
        level += 1
    pa = field(descriptor, 47, shift) << shift
    if pa >> stage2.output_bits:
        raise fault(Fault.ADDR_SIZE)
    if not descriptor >> 10 & 1:
        raise fault(Fault.ACCESS)
    read, write = bool(descriptor >> 6 & 1), bool(descriptor >> 7 & 1)
    if need.denied(read, write):
        raise fault(Fault.PERMISSION)
    return Entry(level, shift, pa, write, is_global=False, read=read)


def combine(first: Entry, second: Entry, ipa: int, half: Range) -> Entry:
    """What is cached of both stages: of the smaller one's size. ``first`` maps some address to ``ipa``."""
    shift = min(first.shift, second.shift)
    pa = second.pa | ipa & (1 << second.shift) - 1
    both = replace(
        first,
        shift=shift,
        pa=pa & -(1 << shift),
        ipa=ipa & -(1 << shift),
        s2_read=second.read,
        s2_write=second.write,
    )
    if second.shift >= first.shift:
        return both
    return replace(both, granule=GRANULE, level=second.level, s1=(half.granule, first.level, first.shift))
