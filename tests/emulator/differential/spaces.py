# SPDX-License-Identifier: GPL-2.0-or-later
"""Random address spaces: tables that reach a few addresses, which descriptors may then be written into."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from .. import layout
from .ops import Op, Poke
from .walk import BLOCK_LEVELS, CONTIGUOUS, LAST_LEVEL, RUN_BITS, Range

VALID, TABLE = 1, 2
USER, READ_ONLY, ACCESSED, NOT_GLOBAL = 1 << 6, 1 << 7, 1 << 10, 1 << 11
DBM = 1 << 51
NO_USER_BELOW, READ_ONLY_BELOW = 1 << 61, 1 << 62
IGNORED = (0x7 << 2, 0x3 << 8, 0x3 << 53, 0xF << 55)
"""AttrIndx, SH, PXN and XN, software's bits: of no consequence to who may read and write what."""
GRANULES = (12, 12, 14, 16)
BITS = (31, 36, 39, 40, 42, 47, 48)
SMALL_BITS = (25, 28, 30)
"""For the upper half only: in the lower one, addresses would be those of the machine's devices."""
SPAN = 0x8_0000
"""What is used of :data:`layout.DATA`."""
BEYOND = 1 << 47


def pages(granule: int) -> list[int]:
    """Offsets of the pages in use: neighbours, and some further apart."""
    near = [n << granule for n in range(4)]
    return sorted({*near, *(n << 16 for n in range(1, 6))})


class Allocator:
    """Memory for tables, zeroed when the machine starts."""

    def __init__(self) -> None:
        self._next = layout.TABLES

    def take(self, size: int) -> int:
        at = -(-self._next // size) * size
        self._next = at + size
        assert self._next <= layout.DATA
        return at


@dataclass(frozen=True, slots=True)
class Slot:
    """An address, and where the descriptors on the way to it are, by level."""

    va: int
    where: dict[int, int]
    below: dict[int, int]
    """The table that a descriptor of the level leads to."""


class Space:
    """One of the two halves of a translation regime."""

    def __init__(self, rng: Random, allocator: Allocator, upper: bool) -> None:
        self.rng = rng
        self.upper = upper
        self.off = upper and rng.random() < 0.25
        """Without walks (CD.EPDx)."""
        granule, bits = rng.choice(GRANULES), rng.choice(BITS + SMALL_BITS if upper else BITS)
        self.half = Range(granule, bits, 0, had=False, epd=False)
        root_size = max(64, 8 << bits - self.half.shift(self.half.start_level))
        self.half = Range(granule, bits, allocator.take(max(root_size, 4096)), had=False, epd=False)
        self._tables: dict[tuple[int, int], int] = {}
        self.slots = [self._slot(allocator, base + offset) for base in self._bases() for offset in pages(granule)]

    def _bases(self) -> list[int]:
        """Two regions; what a block maps there begins like the data does, up to 1 GiB.

        No address is one at which the machine has a device: bypassed accesses go there.
        """
        rng, bits = self.rng, self.half.bits
        low = layout.DATA & (1 << min(bits, 30)) - 1
        low |= 1 << 30 if bits > 30 else 0
        bases = {low, low | (rng.getrandbits(bits) & ~0xC0_3FFF_FFFF if bits > 30 else 0)}
        start = (1 << 64) - (1 << bits) if self.upper else 0
        return [start | base for base in sorted(bases)]

    def _slot(self, allocator: Allocator, va: int) -> Slot:
        half = self.half
        table, where, below = half.ttb, {}, {}
        for level in range(half.start_level, LAST_LEVEL + 1):
            shift = half.shift(level)
            width = half.bits - shift if level == half.start_level else half.granule - 3
            where[level] = table + 8 * (va >> shift & (1 << width) - 1)
            if level < LAST_LEVEL:
                key = level, va >> shift
                if key not in self._tables:
                    self._tables[key] = allocator.take(1 << half.granule)
                table = below[level] = self._tables[key]
        return Slot(va, where, below)

    def setup(self) -> list[Op]:
        """All tables, with nearly everything mapped."""
        ops: dict[int, Op] = {}
        for slot in self.slots:
            for level, where in slot.where.items():
                if level == LAST_LEVEL:
                    ops[where] = Poke(where, self.page())
                elif where not in ops:
                    ops[where] = Poke(where, slot.below[level] | TABLE | VALID)
        return list(ops.values())

    def attributes(self) -> int:
        rng = self.rng
        value = 0
        for bit, chance in ((USER, 0.93), (READ_ONLY, 0.35), (ACCESSED, 0.94), (NOT_GLOBAL, 0.9), (DBM, 0.2)):
            value |= bit if rng.random() < chance else 0
        for mask in IGNORED:
            value |= rng.getrandbits(64) & mask if rng.random() < 0.3 else 0
        return value

    def page(self) -> int:
        """A descriptor for the last level."""
        rng = self.rng
        chance = rng.random()
        if chance < 0.06:
            return rng.choice((0, 0, rng.getrandbits(64) & ~1))
        if chance < 0.07:
            return layout.DATA | self.attributes() | VALID  # reserved: a block at the last level
        pa = layout.DATA + rng.choice(pages(self.half.granule))
        if chance < 0.09:
            pa = layout.UNMAPPED
        elif chance < 0.11:
            pa |= rng.choice((1 << 33, 1 << 41, 1 << 43, BEYOND))
        elif chance < 0.13 and self.half.granule == 16:
            pa |= rng.randrange(16) << 12  # bits 51:48, with an OAS of 52 bits
        return pa | self.attributes() | TABLE | VALID

    def upper_descriptor(self, slot: Slot, level: int) -> int:
        """A descriptor for a level above the last."""
        rng = self.rng
        chance = rng.random()
        size = 1 << self.half.shift(level)
        if chance < 0.4:
            return slot.below[level] | TABLE | VALID
        if chance < 0.6:
            extra = rng.choice((NO_USER_BELOW, READ_ONLY_BELOW, READ_ONLY_BELOW, READ_ONLY_BELOW | NO_USER_BELOW))
            return slot.below[level] | extra | TABLE | VALID
        if chance < 0.9 and (level in BLOCK_LEVELS[self.half.granule] or rng.random() < 0.2):
            return layout.DATA & -size | self.attributes() | VALID
        if chance < 0.93:
            return layout.UNMAPPED | TABLE | VALID
        if chance < 0.95:
            return slot.below[level] | BEYOND | TABLE | VALID
        if chance < 0.97:
            return 0
        return slot.below[level] | TABLE | VALID

    def run(self, slot: Slot) -> list[Op]:
        """All descriptors of a contiguous run, mostly; now and then one that breaks it."""
        rng, half = self.rng, self.half
        level = rng.choice(
            [n for n in slot.where if (half.granule, n) in RUN_BITS and (n == LAST_LEVEL or n == 2)]
        )
        bits, shift = RUN_BITS[half.granule, level], half.shift(level)
        first = slot.where[level] & -(8 << bits)
        pa = (layout.DATA | slot.va & 0x7_FFFF) & -(1 << shift + bits)
        kind = VALID | (TABLE if level == LAST_LEVEL else 0) | CONTIGUOUS
        common, differ = self.attributes(), rng.random() < 0.4
        words = []
        for n in range(1 << bits):
            attributes = self.attributes() if differ else common
            words.append(pa + (n << shift) | attributes | kind)
        if rng.random() < 0.3:
            broken = rng.randrange(1 << bits)
            words[broken] = rng.choice((0, words[broken] & ~CONTIGUOUS, words[broken] ^ 1 << shift))
        return [Poke(first + 8 * n, word) for n, word in enumerate(words)]
