# SPDX-License-Identifier: GPL-2.0-or-later
"""Stage-1 translation table walks, from the Arm ARM, D8.2 to D8.5: the formats of VMSAv8-64 without LPA2."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Protocol

STRIDE_BITS = 3
"""Log2 of a descriptor's size."""
LAST_LEVEL = 3
ACCESS, DIRTY = "httu-access", "httu-dirty"
BLOCK_LEVELS = {12: (1, 2), 14: (2,), 16: (2,)}
"""Levels with block descriptors, by granule (D8.3.1; without 52-bit addresses)."""
RUN_BITS = {(12, 1): 4, (12, 2): 4, (12, 3): 4, (14, 2): 5, (14, 3): 7, (16, 2): 5, (16, 3): 5}
"""Log2 of the descriptors in a contiguous run, by granule and level (D8.7.1)."""
CONTIGUOUS = 1 << 52


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

    def run_shift(self, level: int) -> int:
        """Log2 of what a contiguous run of that level maps; of a single descriptor, where there are no runs."""
        return self.shift(level) + RUN_BITS.get((self.granule, level), 0)


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
    run: bool = False
    """It is of a whole contiguous run."""
    read: bool = True
    """No, of a cached fault alone, and of stage 2."""
    granule: int = 0
    """Of the key, if it is not that of stage 1."""
    s1: tuple[int, int, int] | None = None
    """Granule, level and shift of stage 1's page, if stage 2's is smaller."""
    s2_read: bool = True
    s2_write: bool = True
    ipa: int = 0
    """Of the first byte."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What a CD says of flags: AFFD; HA, HD: hardware updates the access flag, the dirty state."""

    affd: bool
    ha: bool
    hd: bool
    runs: bool = False
    """The model's choice: a contiguous run is cached as one entry."""


@dataclass(frozen=True, slots=True)
class WalkFault:
    """A walk that ended in a fault; ``fetch``: the descriptor's address if it could not be read."""

    fault: Fault
    fetch: int = 0
    entry: Entry | None = None
    """What an IOTLB that caches permission faults keeps; never where the access flag is clear."""


def field(value: int, high: int, low: int) -> int:
    return value >> low & (1 << high - low + 1) - 1


def upper_bits(descriptor: int, half: Range, output_bits: int) -> int:
    """Bits 51:48 of an address, where there are any: with the 64K granule (D8.3.1, FEAT_LPA)."""
    return field(descriptor, 15, 12) << 48 if half.granule == 16 and output_bits == 52 else 0


def walk(
    memory: Memory,
    half: Range,
    va: int,
    output_bits: int,
    rules: Rules,
    write: bool,
    via: Callable[[int], int] = lambda address: address,
) -> Entry | WalkFault:
    """Walk for an unprivileged access. Priority of faults as in D8.15.3: the first level that has one decides.

    ``via``: stage 2, which a descriptor's address goes through.
    """
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
        where = via(table + 8 * (va >> shift & (1 << width) - 1))
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
            pa = field(descriptor, 47, shift) << shift | upper_bits(descriptor, half, output_bits)
            entry = _leaf(descriptor, pa, level, shift, output_bits, rules, write, no_user, read_only)
            if isinstance(entry, Entry) and entry.updates:
                for flag in entry.updates:
                    descriptor = descriptor | 1 << 10 if flag == ACCESS else descriptor & ~(1 << 7)
                memory.write(where, descriptor.to_bytes(8, "little"))
            if rules.runs and _is_run(memory, half, level, where):
                return _of_run(entry, half.run_shift(level))
            return entry
        table = field(descriptor, 47, half.granule) << half.granule | upper_bits(descriptor, half, output_bits)
        if table >> output_bits:
            return WalkFault(Fault.ADDR_SIZE)
        if not half.had:
            no_user |= bool(descriptor >> 61 & 1)
            read_only |= bool(descriptor >> 62 & 1)
        level += 1


def _of_run(found: Entry | WalkFault, shift: int) -> Entry | WalkFault:
    """The same, for the whole contiguous run."""
    if isinstance(found, Entry):
        return replace(found, shift=shift, pa=found.pa & -(1 << shift), run=True)
    entry = found.entry
    return replace(
        found, entry=replace(entry, shift=shift, pa=entry.pa & -(1 << shift), run=True) if entry else None
    )


def _is_run(memory: Memory, half: Range, level: int, where: int) -> bool:
    """Whether the descriptor is one of as many as a run has, all with the bit, that map it in order (D8.7.1)."""
    bits, shift = RUN_BITS.get((half.granule, level), 0), half.shift(level)
    kind = (3 if level == LAST_LEVEL else 1) | CONTIGUOUS
    table = where & -(8 << bits)
    first = None
    for n in range(1 << bits):
        descriptor = memory.word(table + 8 * n)
        if descriptor is None or descriptor & (CONTIGUOUS | 3) != kind:
            return False
        pa = field(descriptor, 47, shift) << shift
        first = pa if first is None else first
        if first & (1 << shift + bits) - 1 or pa != first + (n << shift):
            return False
    return bits > 0


def _leaf(
    descriptor: int,
    pa: int,
    level: int,
    shift: int,
    output_bits: int,
    rules: Rules,
    write: bool,
    no_user: bool,
    read_only: bool,
) -> Entry | WalkFault:
    """A page or a block: address size, access flag, permissions (D8.4.1), in this order."""
    if pa >> output_bits:
        return WalkFault(Fault.ADDR_SIZE)
    young = bool(descriptor >> 10 & 1)
    if not young and not rules.affd and not rules.ha:
        return WalkFault(Fault.ACCESS)
    user = bool(descriptor >> 6 & 1) and not no_user
    writable = not descriptor >> 7 & 1 and not read_only
    clean = rules.hd and not writable and not read_only and bool(descriptor >> 51 & 1)
    is_global = not descriptor >> 11 & 1
    if not user or (write and not writable and not clean):
        cached = Entry(level, shift, pa, user and writable, is_global, clean, read=user)
        return WalkFault(Fault.PERMISSION, entry=cached if young or (rules.affd and not rules.ha) else None)
    updates = (ACCESS,) * (rules.ha and not young) + (DIRTY,) * (write and clean)
    return Entry(level, shift, pa, writable or (write and clean), is_global, clean and not write, updates)
