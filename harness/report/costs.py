# SPDX-License-Identifier: GPL-2.0-or-later
"""What paths cost in invalidations and notifier calls, on the base and with the patch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log2

from harness.report.schema import Row

_BAR = 120
"""Width of the longest bar, pixels."""


@dataclass(frozen=True, slots=True)
class Bar:
    """Counts of base and patched kernel; widths in pixels, of a logarithm."""

    base: int
    patched: int | None
    widths: tuple[int, int]

    @property
    def more(self) -> int:
        return (self.patched or 0) - self.base if self.patched is not None else self.base


@dataclass(frozen=True, slots=True)
class Cost:
    """What a path costs in invalidations and notifier calls."""

    path: str
    setup: str
    tlbi: Bar
    calls: Bar


def costs_of(rows: Sequence[Row], setups: int) -> tuple[tuple[Cost, ...], int]:
    """Rows whose costs differ, dearest first, setups that agree in one; and how many paths do not differ."""
    most = max((c for row in rows for r in row.results().values() for c in (r.tlbi, r.notifier_calls)), default=0)
    by_path: dict[str, list[Row]] = {}
    for row in rows:
        by_path.setdefault(row.path, []).append(row)
    costs: list[Cost] = []
    even = 0
    for path, mine in by_path.items():
        pairs = [(_bar(row, "tlbi", most), _bar(row, "notifier_calls", most)) for row in mine]
        if not any(bar.more for pair in pairs for bar in pair):
            even += 1
        elif len(mine) == setups > 1 and all(pair == pairs[0] for pair in pairs):
            costs.append(Cost(path, "all", *pairs[0]))
        else:
            costs += [Cost(path, row.setup, *pair) for row, pair in zip(mine, pairs, strict=True)]
    return tuple(sorted(costs, key=lambda c: (-abs(c.tlbi.more), -abs(c.calls.more)))), even


def _bar(row: Row, name: str, most: int) -> Bar:
    base: int = getattr(row.base, name)
    patched: int | None = getattr(row.patched, name) if row.patched else None
    return Bar(base, patched, (_width(base, most), _width(patched or 0, most)))


def _width(count: int, most: int) -> int:
    return round(_BAR * log2(1 + max(count, 0)) / log2(1 + most)) if most > 0 else 0
