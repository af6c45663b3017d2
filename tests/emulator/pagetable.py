# SPDX-License-Identifier: GPL-2.0-or-later
"""VMSAv8-64 translation tables (Arm ARM D8.3), built in guest memory."""

from __future__ import annotations

from dataclasses import dataclass, replace

from .layout import TABLES
from .qtest import QTest

VALID = 1 << 0
TABLE_OR_PAGE = 1 << 1
USER = 1 << 6
"""AP[1]: unprivileged accesses are permitted."""
READ_ONLY = 1 << 7
"""AP[2]."""
ACCESSED = 1 << 10
NOT_GLOBAL = 1 << 11
DIRTY_MODIFIER = 1 << 51
"""DBM: read-only, it means writable but clean (D8.5)."""
APTABLE_NO_USER = 1 << 61
APTABLE_READ_ONLY = 1 << 62

S2_READ = 1 << 6
S2_WRITE = 1 << 7

RW = USER | ACCESSED | NOT_GLOBAL
RO = RW | READ_ONLY
CLEAN = RO | DIRTY_MODIFIER
CONTIGUOUS = 1 << 52
"""One of a run of descriptors that may be cached as one (D8.7.1)."""
KERNEL_RW = ACCESSED | NOT_GLOBAL
S2_RW = S2_READ | S2_WRITE | ACCESSED


@dataclass(frozen=True, slots=True)
class Granule:
    """A translation granule: ``shift`` 12, 14 or 16, and its encodings."""

    shift: int
    tg0: int
    """CD.TG0 and STE.S2TG."""
    ril_tg: int
    """TG of a range invalidation (IHI 0070 4.4.1.1)."""

    @property
    def page(self) -> int:
        return 1 << self.shift

    def level_shift(self, level: int) -> int:
        """Log2 of what one entry of a table at ``level`` maps."""
        return self.shift + (3 - level) * (self.shift - 3)

    def start_level(self, bits: int) -> int:
        """Of a walk of ``bits`` input bits at stage 1."""
        return 4 - -(-(bits - self.shift) // (self.shift - 3))


G4K = Granule(12, tg0=0, ril_tg=1)
G16K = Granule(14, tg0=2, ril_tg=2)
G64K = Granule(16, tg0=1, ril_tg=3)


class Allocator:
    """Zeroed, aligned guest memory for tables, from one end to the other."""

    def __init__(self) -> None:
        self._next = TABLES

    def take(self, size: int) -> int:
        addr = -(-self._next // size) * size
        self._next = addr + size
        return addr


class PageTable:
    """One address space. ``bits``: of its input addresses, T0SZ is 64 less that."""

    def __init__(self, qtest: QTest, allocator: Allocator, granule: Granule = G4K, bits: int = 48) -> None:
        self.granule = granule
        self.bits = bits
        self._qtest = qtest
        self._allocator = allocator
        self._tables: dict[tuple[int, int], int] = {}
        self.root = self._table(granule.start_level(bits), 0)

    def _table(self, level: int, va: int) -> int:
        """The table at ``level`` whose entries map ``va``."""
        key = (level, va >> self.granule.level_shift(level - 1))
        if key not in self._tables:
            self._tables[key] = self._allocator.take(self.granule.page)
        return self._tables[key]

    def entry(self, va: int, level: int = 3) -> int:
        """Address of the descriptor at ``level`` that a walk of ``va`` reads."""
        index = (va >> self.granule.level_shift(level)) & (self.granule.page // 8 - 1)
        return self._table(level, va) + 8 * index

    def set(self, va: int, descriptor: int, level: int = 3) -> None:
        """Write a descriptor, as the kernel does: no invalidation follows."""
        self._qtest.write64(self.entry(va, level), descriptor)

    def map(self, va: int, pa: int, attributes: int = RW, level: int = 3, table_attributes: int = 0) -> None:
        """Map the page, or the block of ``level``; ``table_attributes``: of the table that leads to it."""
        for upper in range(self.granule.start_level(self.bits), level):
            below = self._table(upper + 1, va)
            extra = table_attributes if upper == level - 1 else 0
            self.set(va, below | extra | TABLE_OR_PAGE | VALID, upper)
        self.set(va, pa | attributes | (TABLE_OR_PAGE if level == 3 else 0) | VALID, level)

    def unmap(self, va: int, level: int = 3) -> None:
        self.set(va, 0, level)


@dataclass(frozen=True, slots=True)
class Context:
    """A Context Descriptor (IHI 0070 5.4). ``s``: stall, ``r``: record, ``a``: abort."""

    table: PageTable | None
    asid: int
    valid: bool = True
    s: bool = True
    r: bool = True
    a: bool = True
    ips: int = 4
    affd: bool = False
    had0: bool = False
    ha: bool = False
    hd: bool = False
    aset: bool = True
    """Of ASIDs that no CPU shares."""
    epd0: bool = False
    tbi0: bool = False
    ttb0: int | None = None
    """Instead of the table's own address."""

    def words(self) -> tuple[int, int, int]:
        """The descriptor's first three 64-bit words; the others are 0."""
        assert self.table
        first = (64 - self.table.bits) | self.table.granule.tg0 << 6 | self.epd0 << 14 | 1 << 30 | self.valid << 31
        first |= self.ips << 32 | self.affd << 35 | self.tbi0 << 38 | 1 << 41 | self.hd << 42 | self.ha << 43
        first |= self.s << 44 | self.r << 45 | self.a << 46 | self.aset << 47 | self.asid << 48
        ttb0 = self.table.root if self.ttb0 is None else self.ttb0
        return first, ttb0 | self.had0 << 1, 0

    def but(self, **changes: object) -> Context:
        return replace(self, **changes)  # type: ignore[arg-type]
