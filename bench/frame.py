# SPDX-License-Identifier: GPL-2.0-or-later
"""What every measure has in common: rounds of "ours" and "bare" in turns, medians, ratio, spread.

Both take turns, and swap who goes first, so that what else the host does meets both alike. A ratio of medians over
fewer than ``ENOUGH`` rounds is shown, and never called met.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.bench import Bench

ENOUGH = 5
"""Rounds from which on a median is judged."""

Values = Mapping[str, float]
"""By key of the row."""
Turn = Callable[[], Values]


class Kind(StrEnum):
    """What is held against a row's reach."""

    RATIO = "ratio"
    VALUE = "value"


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of a measure."""

    key: str
    what: str
    unit: str = "s"
    reach: float | None = None
    """At most; None: no bound was set."""
    kind: Kind = Kind.RATIO
    rate: bool = False
    """More is better: the ratio is that of bare to ours, so that it tells a cost as elsewhere."""


@dataclass(frozen=True, slots=True)
class Pair:
    """The two sides of a measure, prepared: each call is one round."""

    ours: Turn
    bare: Turn | None = None
    """None: there is no bare command for it."""
    notes: list[str] = field(default_factory=list)
    """What a reader of the table should know; a side may add to it while it runs."""


@dataclass(frozen=True, slots=True)
class Measure:
    """A measure that can be chosen by its name."""

    name: str
    rows: tuple[Row, ...]
    prepare: Callable[[Bench], AbstractContextManager[Pair]]
    rounds: int = ENOUGH
    asked: str = ""
    """The variable of make that asks for it, by the number of rounds: it takes too long for every run."""
    takes: str = ""
    """How long a round takes, of such a measure."""


@dataclass(frozen=True, slots=True)
class Found:
    """A row that was measured."""

    measure: str
    row: Row
    ours: tuple[float, ...]
    bare: tuple[float, ...]
    load: float
    """Load average over the last minute, when its last round ended."""
    notes: tuple[str, ...] = ()

    @property
    def rounds(self) -> int:
        return len(self.ours)

    @property
    def name(self) -> str:
        return f"{self.measure}/{self.row.key}" if self.row.key else self.measure

    @property
    def median(self) -> float:
        return statistics.median(self.ours)

    @property
    def bare_median(self) -> float | None:
        return statistics.median(self.bare) if self.bare else None

    @property
    def ratio(self) -> float | None:
        """What ours costs in terms of the bare command's."""
        bare = self.bare_median
        if not bare or not self.median:
            return None
        return bare / self.median if self.row.rate else self.median / bare

    @property
    def spread(self) -> float:
        """Widest distance between two rounds of one side, as a share of that side's median."""
        sides = [side for side in (self.ours, self.bare) if side and statistics.median(side)]
        return max(((max(s) - min(s)) / statistics.median(s) for s in sides), default=0.0)

    @property
    def met(self) -> bool | None:
        """Whether the reach is met; None when nothing can be said: no reach, or too few rounds."""
        judged = self.ratio if self.row.kind is Kind.RATIO else self.median
        if self.row.reach is None or judged is None or self.rounds < ENOUGH:
            return None
        return judged <= self.row.reach


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A measure that was not made, and why."""

    measure: str
    why: str
    failed: bool = False
    """It was tried."""


def alternate(measure: Measure, pair: Pair, rounds: int, on_round: Callable[[int], None]) -> tuple[Found, ...]:
    """Run ``rounds`` rounds of both sides; a row for each figure that both gave."""
    ours: list[Values] = []
    bare: list[Values] = []
    for number in range(rounds):
        for side, turn in _turns(pair, number, ours, bare):
            side.append(turn())
        on_round(number + 1)
    load = os.getloadavg()[0]
    return tuple(
        Found(
            measure.name,
            row,
            tuple(one[row.key] for one in ours),
            tuple(one[row.key] for one in bare if row.key in one),
            load,
            tuple(dict.fromkeys(pair.notes)) if row is measure.rows[0] else (),
        )
        for row in measure.rows
    )


def _turns(pair: Pair, number: int, ours: list[Values], bare: list[Values]) -> Iterator[tuple[list[Values], Turn]]:
    turns = [(ours, pair.ours), *([(bare, pair.bare)] if pair.bare is not None else [])]
    return iter(turns if number % 2 == 0 else turns[::-1])
