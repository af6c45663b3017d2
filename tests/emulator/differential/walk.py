# SPDX-License-Identifier: GPL-2.0-or-later
"""Stage-1 translation table walks, from the Arm ARM, D8.2 to D8.5: the 48-bit formats of VMSAv8-64."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

STRIDE_BITS = 3
"""Log2 of a descriptor's size."""
LAST_LEVEL = 3
ACCESS, DIRTY = "httu-access", "httu-dirty"
BLOCK_LEVELS = {12: (1, 2), 14: (2,), 16: (2,)}
"""Levels with block descriptors, by granule (D8.3.1; without 52-bit addresses)."""


class Fault(IntEnum):
    """As event types (IHI 0070 7.3)."""

    WALK_EABT = 0x0B
    TRANSLATION = 0x10
    ADDR_SIZE = 0x11
    ACCESS = 0x12
    PERMISSION = 0x13


class Memory(Protocol):
    """Physical memory."""

    def word(self, pa: int) -> int | None:
        """64 bits; None: the access aborts."""

    def write(self, pa: int, data: bytes) -> None: ...


@dataclass(frozen=True, slots=True)
class Range:
    """One half of the input addresses: what TTBx, TxSZ, TGx, HADx and EPDx say of it."""

    granule: int
    """Log2."""
    bits: int
    ttb: int
    had: bool
    epd: bool

    @property
    def start_level(self) -> int:
        stride = self.granule - STRIDE_BITS
        return LAST_LEVEL + 1 - -(-(self.bits - self.granule) // stride)

    def shift(self, level: int) -> int:
        """Log2 of what a descriptor of ``level`` maps."""
        return self.granule + (LAST_LEVEL - level) * (self.granule - STRIDE_BITS)


@dataclass(frozen=True, slots=True)
class Entry:
    """A translation: what a walk yields and the IOTLB keeps."""

    level: int
    shift: int
    pa: int
    """Of the first byte of the page or block."""
    write: bool
    is_global: bool
    """nG == 0."""
    clean: bool = False
    """A write may make it writable (IHI 0070 3.13.3)."""
    updates: tuple[str, ...] = ()
    """Of the descriptor, as counters."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What a CD says of flags: AFFD; HA, HD: hardware updates the access flag, the dirty state."""

    affd: bool
    ha: bool
    hd: bool


@dataclass(frozen=True, slots=True)
class WalkFault:
    """A walk that ended in a fault; ``fetch``: the descriptor's address if it could not be read."""

    fault: Fault
    fetch: int = 0


def field(value: int, high: int, low: int) -> int:
    return value >> low & (1 << high - low + 1) - 1


def walk(memory: Memory, half: Range, va: int, output_bits: int, rules: Rules, write: bool) -> Entry | WalkFault:
    """Walk for an unprivileged access. Priority of faults as in D8.15.3: the first level that has one decides."""
    level = half.start_level
    top = half.shift(level)
    size = 8 << half.bits - top
    table = half.ttb & ~(max(size, 64) - 1)
    no_user = read_only = False
    if table >> output_bits:
        return WalkFault(Fault.ADDR_SIZE)
    while True:
        shift = half.shift(level)
        width = half.bits - shift if level == half.start_level else half.granule - STRIDE_BITS
        where = table + 8 * (va >> shift & (1 << width) - 1)
        descriptor = memory.word(where)
        if descriptor is None:
            return WalkFault(Fault.WALK_EABT, where)
        if not descriptor & 1:
            return WalkFault(Fault.TRANSLATION)
        other = bool(descriptor & 2)
        if level == LAST_LEVEL or not other:
            if level == LAST_LEVEL and not other:
                return WalkFault(Fault.TRANSLATION)
            if level != LAST_LEVEL and level not in BLOCK_LEVELS[half.granule]:
                return WalkFault(Fault.TRANSLATION)
            entry = _leaf(descriptor, level, shift, output_bits, rules, write, no_user, read_only)
            if isinstance(entry, Entry) and entry.updates:
                for flag in entry.updates:
                    descriptor = descriptor | 1 << 10 if flag == ACCESS else descriptor & ~(1 << 7)
                memory.write(where, descriptor.to_bytes(8, "little"))
            return entry
        table = field(descriptor, 47, half.granule) << half.granule
        if table >> output_bits:
            return WalkFault(Fault.ADDR_SIZE)
        if not half.had:
            no_user |= bool(descriptor >> 61 & 1)
            read_only |= bool(descriptor >> 62 & 1)
        level += 1


def _leaf(
    descriptor: int,
    level: int,
    shift: int,
    output_bits: int,
    rules: Rules,
    write: bool,
    no_user: bool,
    read_only: bool,
) -> Entry | WalkFault:
    """A page or a block: address size, access flag, permissions (D8.4.1), in this order."""
    pa = field(descriptor, 47, shift) << shift
    if pa >> output_bits:
        return WalkFault(Fault.ADDR_SIZE)
    young = bool(descriptor >> 10 & 1)
    if not young and not rules.affd and not rules.ha:
        return WalkFault(Fault.ACCESS)
    user = bool(descriptor >> 6 & 1) and not no_user
    writable = not descriptor >> 7 & 1 and not read_only
    clean = rules.hd and not writable and not read_only and bool(descriptor >> 51 & 1)
    if not user or (write and not writable and not clean):
        return WalkFault(Fault.PERMISSION)
    updates = (ACCESS,) * (rules.ha and not young) + (DIRTY,) * (write and clean)
    return Entry(
        level, shift, pa, writable or (write and clean), not descriptor >> 11 & 1, clean and not write, updates
    )
