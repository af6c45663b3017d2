# SPDX-License-Identifier: GPL-2.0-or-later
"""Random stage-2 tables: mostly all of the RAM, mapped to itself."""

from __future__ import annotations

from random import Random

from .. import layout
from .ops import Command, Op, Poke
from .stage2 import S2SL0, S2T0SZ

VMID = 7
VALID, TABLE, READ, WRITE, ACCESSED = 1, 2, 1 << 6, 1 << 7, 1 << 10
BLOCK, PAGE = 2 << 20, 4096
LEVEL_2, LEVEL_3 = layout.STAGE2 + PAGE, layout.STAGE2 + 2 * PAGE
BLOCKS = (layout.RAM_END - layout.RAM) // BLOCK
IN_USE = 0x60
"""Pages of the data that stage 1 maps."""


class Tables:
    """A table of blocks of 2 MiB, but for the data, which is mapped in pages."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.fine = rng.random() < 0.6
        """The data is mapped in pages."""

    def setup(self) -> list[Op]:
        ops: list[Op] = [Poke(layout.STAGE2 + 8 * (layout.RAM >> 30), LEVEL_2 | TABLE | VALID)]
        ops += [self._block(n, READ | WRITE | ACCESSED) for n in range(BLOCKS)]
        if self.fine:
            ops += [self._page(n, READ | WRITE | ACCESSED) for n in range(512)]
            ops.append(Poke(self._where(layout.DATA), LEVEL_3 | TABLE | VALID))
        return ops

    def words(self) -> tuple[int, int]:
        """The STE's third and fourth."""
        rng = self.rng
        upper = S2T0SZ | S2SL0 << 6 | rng.choice((2, 4, 5, 5, 6)) << 16 | (rng.random() < 0.98) << 19
        upper |= (rng.random() < 0.5) << 25 | (rng.random() < 0.8) << 26
        return VMID | upper << 32, layout.STAGE2

    @staticmethod
    def _where(ipa: int) -> int:
        return LEVEL_2 + 8 * ((ipa - layout.RAM) // BLOCK)

    @staticmethod
    def _block(n: int, attributes: int) -> Poke:
        return Poke(LEVEL_2 + 8 * n, layout.RAM + n * BLOCK | attributes | VALID)

    @staticmethod
    def _page(n: int, attributes: int, pa: int = layout.DATA) -> Poke:
        return Poke(LEVEL_3 + 8 * n, pa + n * PAGE | attributes | TABLE | VALID)

    def attributes(self) -> int:
        rng = self.rng
        some = (READ | WRITE, READ | WRITE, READ | WRITE, READ, WRITE, 0)
        return rng.choice(some) | (rng.random() < 0.93) * ACCESSED

    def remap(self) -> list[Op]:
        """Change how some of the data is mapped; mostly, tell the SMMU."""
        rng = self.rng
        n = rng.randrange(IN_USE)
        ipa = layout.DATA + n * PAGE
        if not self.fine:
            ops: list[Op] = [self._block((layout.DATA - layout.RAM) // BLOCK, self.attributes())]
        elif rng.random() < 0.1:
            ops = [Poke(LEVEL_3 + 8 * n, rng.choice((0, VALID, TABLE)))]
        else:
            pa = layout.DATA + rng.choice((0, 0, 0, PAGE, 1 << 41, 1 << 45))
            ops = [self._page(n, self.attributes(), pa)]
        if rng.random() < 0.8:
            ops.append(Command(0x2A | VMID << 32, ipa))
        if rng.random() < 0.8:
            ops.append(Command(0x10 | VMID << 32))
        return ops

    def lose_tables(self, between: list[Op]) -> list[Op]:
        """For the length of ``between``, CDs or stage 1's tables cannot be reached, or not all of them."""
        rng = self.rng
        ipa = rng.choice((layout.CD_TABLE, layout.TABLES, layout.TABLES + BLOCK))
        n = (ipa - layout.RAM) // BLOCK
        gone = rng.choice((Poke(LEVEL_2 + 8 * n, 0), self._block(n, ACCESSED | WRITE), self._block(n, READ)))
        told = [Command(0x2A | VMID << 32, ipa)]
        return [gone, *told, *between, self._block(n, READ | WRITE | ACCESSED), *told]
