# SPDX-License-Identifier: GPL-2.0-or-later
"""Counters of the SMMU before and after a workload: what was gained, and whether the two witnesses agree.

The device counts its own stalls, the SMMU counts stalls, resumes and invalidations: a workload's word is only
taken where the SMMU's counters allow it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from harness.model import Counters

_WIDE = re.compile(r"cmd-tlbi-.*-(?:asid|all|vmall)$")


def gained(before: Counters, after: Counters) -> dict[str, int]:
    """Counters that moved. Gauges (``stalls-outstanding``) are given as their last value when not zero."""
    delta = {name: value - before.get(name, 0) for name, value in after.items() if name != "stalls-outstanding"}
    delta = {name: value for name, value in delta.items() if value}
    if after.get("stalls-outstanding"):
        delta["stalls-outstanding"] = after["stalls-outstanding"]
    return delta


def wide(delta: Counters) -> int:
    """TLB invalidation commands that drop all translations of an address space, or more (IHI 0070 4.4)."""
    return sum(value for name, value in delta.items() if _WIDE.match(name))


def disagreements(facts: Mapping[str, str], delta: Counters) -> list[str]:
    """Where the workload's facts cannot be true by the SMMU's counters; empty when all agrees."""
    problems = []
    for fact, counter in (("stalls", "stalls"), ("resumes", "cmd-resume"), ("tlbi", "tlbi")):
        said = number(facts, fact)
        seen = delta.get(counter, 0)
        if said > seen:
            problems.append(f"workload says {fact}={said}, SMMU counted {seen}")
    if delta.get("events-lost"):
        problems.append(f"{delta['events-lost']} SMMU events lost")
    if delta.get("stalls-outstanding"):
        problems.append(f"{delta['stalls-outstanding']} accesses still stalled at the end")
    return problems


def number(facts: Mapping[str, str], name: str) -> int:
    """A fact as an integer, 0 when it is absent or not a number (``hits_f inlined``)."""
    try:
        return int(facts.get(name, "0"), 0)
    except ValueError:
        return 0
