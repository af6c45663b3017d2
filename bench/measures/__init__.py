# SPDX-License-Identifier: GPL-2.0-or-later
"""All measures, in the order of the table."""

from __future__ import annotations

from bench.frame import Measure
from bench.measures import bisection, boot, cold, imports, memory, pool, suite, sweep, verdict, virtme

ALL: tuple[Measure, ...] = (
    *boot.MEASURES,
    *verdict.MEASURES,
    *cold.MEASURES,
    *bisection.MEASURES,
    *sweep.MEASURES,
    *memory.MEASURES,
    *pool.MEASURES,
    *suite.MEASURES,
    *imports.MEASURES,
    *virtme.MEASURES,
)
