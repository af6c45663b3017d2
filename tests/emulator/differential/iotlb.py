# SPDX-License-Identifier: GPL-2.0-or-later
"""The IOTLB that docs/emulator.md promises, and what each TLBI command takes from it (IHI 0070 4.4).

Exactly what was asked for goes. An entry is found by ASID, VMID, granule and address; a global one by ASET instead
of the ASID (3.17.1).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

from .stage2 import TAG
from .walk import LAST_LEVEL, Entry, Range, field

FLUSHED_WHOLE = 256
"""The size at which a full IOTLB is flushed as a whole; any other size gives up its oldest entry."""
RANGE_GRANULE = {1: 12, 2: 14, 3: 16}
"""TG of a range invalidation (4.4.1.1)."""


class Unpredictable(Exception):
    """The architecture does not say what happens: such an operation is not run."""


@dataclass(frozen=True, slots=True)
class Key:
    """What an entry is found by; ``page``: the address without the offset into the page or block."""

    vmid: int
    asid: int
    """Or, negative, the ASET of a global entry: :func:`tags`."""
    granule: int
    level: int
    page: int
    run: bool = False
    """Of a contiguous run, and ``page`` without the offset into that."""


def tags(asid: int, aset: int) -> tuple[int, int]:
    """What entries may have in place of an ASID, to be found with this one: it, and that of a global entry."""
    return asid, -1 - aset


class Iotlb:
    """Entries, the oldest first. ``tag``: see :func:`tags`."""

    def __init__(self, size: int, stats: Counter[str]) -> None:
        self.size = size
        self.entries: dict[Key, Entry] = {}
        self._stats = stats

    def peek(
        self, vmid: int, tag: tuple[int, ...], half: Range, va: int, stage2: Range | None = None
    ) -> Entry | None:
        """What is cached for an address, of stage 1's size or else of ``stage2``'s.

        Unpredictable if entries contradict each other.
        """
        found = self._peek(vmid, tag, half, va)
        return found if found or not stage2 else self._peek(vmid, tag, stage2, va)

    def _peek(self, vmid: int, tag: tuple[int, ...], half: Range, va: int) -> Entry | None:
        found = None
        for level, asid, run in product(range(LAST_LEVEL + 1), tag, (False, True)):
            page = va >> (half.run_shift(level) if run else half.shift(level))
            entry = self.entries.get(Key(vmid, asid, half.granule, level, page, run))
            if entry and found:
                raise Unpredictable(f"two entries for {va:#x}")
            found = entry or found
        return found

    def holds(self, vmid: int, tag: tuple[int, ...], va: int) -> bool:
        """Whether any entry, of whatever granule, is for an address."""
        return any(
            key.vmid == vmid and key.asid in tag and key.page == va >> entry.shift
            for key, entry in self.entries.items()
        )

    def lookup(
        self, vmid: int, tag: tuple[int, ...], half: Range, va: int, stage2: Range | None = None
    ) -> Entry | None:
        entry = self.peek(vmid, tag, half, va, stage2) if self.size else None
        self._stats["iotlb-hits" if entry else "iotlb-misses"] += 1
        return entry

    def insert(self, vmid: int, tag: tuple[int, ...], half: Range, va: int, entry: Entry) -> None:
        self._stats["iotlb-inserts"] += 1
        if not self.size:
            return
        granule = entry.granule or half.granule
        key = Key(vmid, tag[entry.is_global], granule, entry.level, va >> entry.shift, entry.run)
        self.entries.pop(key, None)
        if len(self.entries) >= self.size:
            if self.size == FLUSHED_WHOLE:
                self.entries.clear()
                self._stats["iotlb-full-flushes"] += 1
            else:
                del self.entries[next(iter(self.entries))]
                self._stats["iotlb-evictions"] += 1
        self.entries[key] = entry

    def drop(self, doomed: Callable[[Key, Entry], bool]) -> None:
        for key in [key for key, entry in self.entries.items() if doomed(key, entry)]:
            del self.entries[key]

    # Commands

    def all_of_vmid(self, vmid: int, *, stage2: bool) -> None:
        """``stage2``: what that alone translates, too."""
        self.drop(lambda key, entry: key.vmid == vmid and (stage2 or key.asid not in TAG))

    def asid(self, vmid: int, asid: int) -> None:
        self.drop(lambda key, entry: (key.vmid, key.asid) == (vmid, asid))

    def address(self, low: int, high: int, *, any_asid: bool = False, stage2: bool = False) -> bool:
        """CMD_TLBI_NH_VA, NH_VAA and S2_IPA, with and without a range; False: Reserved (4.4.1.1)."""
        vmid, asid = field(low, 47, 32), field(low, 63, 48)
        num, scale, tg, ttl = field(low, 16, 12), field(low, 24, 20), field(high, 11, 10), field(high, 9, 8)
        first = last = high & ~0xFFF
        granule = RANGE_GRANULE.get(tg, 0)
        if not tg or (tg, ttl) == (2, 1):  # 16K has no blocks at level 1
            ttl = 0
        if tg:
            if not (num or scale or ttl):
                return False
            last = first + (num + 1 << scale + granule) - 1
            if last >> 64:
                raise Unpredictable("a range that ends beyond the last address: what is at the first ones?")
            if first & (1 << granule + (LAST_LEVEL - (ttl or LAST_LEVEL)) * (granule - 3)) - 1:
                return True  # UNPREDICTABLE: here, nothing goes

        def doomed(key: Key, entry: Entry) -> bool:
            page, level, shift = entry.s1 or (key.granule, entry.level, entry.shift)
            start = (key.page << entry.shift) & -(1 << shift)
            of_asid = key.asid == asid or (key.asid < 0 and key.asid not in TAG)
            return (
                key.vmid == vmid
                and (key.asid in TAG if stage2 else any_asid or of_asid)
                and granule in (0, page)
                and ttl in (0, level)
                and start <= last
                and first < start + (1 << shift)
            )

        self.drop(doomed)
        return True
