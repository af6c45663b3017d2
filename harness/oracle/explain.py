# SPDX-License-Identifier: GPL-2.0-or-later
"""Why a path is LOOP or STALE, out of the facts that its workload told. Pure.

Which kernel functions ran, what the page table said before and after (Arm ARM D8.3, and Linux's software bits in
arch/arm64/include/asm/pgtable-prot.h), what the SMMU held of it, and which invalidations came in the window.
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.model import PathResult

_VALID, _READ_ONLY, _ACCESSED = 1 << 0, 1 << 7, 1 << 10
_DBM, _CONTIGUOUS, _DIRTY = 1 << 51, 1 << 52, 1 << 55
_NO_FUNCTION = frozenset({"0", "inlined", "notrace"})


@dataclass(frozen=True, slots=True)
class Explanation:
    """What happened, in words; two runs of the same path that agree in it looped for the same reason."""

    functions: tuple[str, ...]
    """Functions of the kernel that ran for it in the window."""
    before: str
    """The page table's entry, in words."""
    after: str
    cached: str
    """What the IOTLB held when the window opened."""
    still_cached: str
    """And at the end."""
    tlbi: int
    """SMMU invalidation commands in the window."""
    notifier: str
    """Calls of the SMMU driver's callback in the window, for the page under test."""
    difference: str
    """The first difference that the audit found, without addresses."""
    reason: str


def explain(result: PathResult) -> Explanation:
    """What the facts of ``result`` say."""
    facts = result.facts
    hits = {key.removeprefix("hits_"): value for key, value in facts.items() if key.startswith("hits_")}
    first = facts.get("audit_operation_first") or facts.get("audit_end_first", "")
    return Explanation(
        functions=tuple(name for name, count in hits.items() if count not in _NO_FUNCTION),
        before=describe(facts.get("pte_before", "")),
        after=describe(facts.get("pte_after", "")),
        cached=facts.get("iotlb_before", "not told"),
        still_cached=facts.get("iotlb_after", "not told"),
        tlbi=result.tlbi,
        notifier=facts.get("notifier_calls", "not told"),
        difference=first.partition(",")[0],
        reason="" if result.outcome == "LOOP" else result.reason,
    )


def describe(descriptor: str) -> str:
    """An entry of the page table in words: ``read-only, clean``."""
    try:
        value = int(descriptor, 0)
    except ValueError:
        return "not told"
    if not value & _VALID:
        return "invalid"
    words = ["read-only" if value & _READ_ONLY else "writable"]
    if value & _READ_ONLY and value & _DBM:
        words.append("clean")  # the kernel lets it be written: a CPU with hardware dirty bits may clear the bit
    if value & _DIRTY:
        words.append("dirty")
    if value & _CONTIGUOUS:
        words.append("contiguous")
    if not value & _ACCESSED:
        words.append("old")
    return ", ".join(words)
