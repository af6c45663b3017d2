# SPDX-License-Identifier: GPL-2.0-or-later
"""Which of the functions that raise an entry ran while the SMMU held it read-only. Pure: records in, rows out.

A workload tells for each site how often it was hit for the page under test in the measured window (``site_7 1``),
and what the IOTLB held when the window opened (``iotlb_before``).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from harness.coverage import Hit, How, Kind, Reason, Row, Scan, Site, Sites, State, Upgrader
from harness.model import GuestRecord, Outcome, PathResult

_COUNTS = frozenset({Outcome.PASS, Outcome.LOOP, Outcome.STALE, Outcome.CORRUPT})
"""Outcomes of workloads that proved their preconditions."""
_AF_ALONE = "sets the access flag alone (dirty = 0): no TLB holds an entry without it"
_ARCH = "arch/arm64/"
_TOLD_ADDRESS = ("_set_access_flags", "_set_access_flags_anysz")
"""Functions whose second argument is the address."""


def rows(
    scan: Scan,
    sites: Sites,
    records: Iterable[GuestRecord],
    reasons: Sequence[Reason],
    *,
    unprobed: Mapping[int, str] | None = None,
) -> tuple[Row, ...]:
    """A row for each function, in the order of the scan."""
    results = [result for record in records for result in record.results]
    known = {name: reason.why for reason in reasons for name in reason.functions}
    made = []
    for upgrader in scan.upgraders:
        for part, numbers in _parts(upgrader, sites.sites):
            why = _not_in_kernel(upgrader, sites, numbers) or known.get(upgrader.name, "")
            if not why and upgrader.kind is Kind.ACCESS:
                why = _AF_ALONE
            made.append(_row(upgrader, part, numbers, results, why, unprobed or {}))
    return tuple(made)


def faults(rows: Sequence[Row], scan: Scan, reasons: Sequence[Reason]) -> tuple[str, ...]:
    """Why the table cannot be trusted as it stands; empty when it can."""
    found = [f"{where}: a call that stands in no function the parser could make out" for where in scan.unseen]
    present = {row.upgrader.name for row in rows}
    for reason in reasons:
        for name in reason.functions:
            covered = [row for row in rows if row.upgrader.name == name and row.state is State.COVERED]
            if name not in present:
                found.append(f"the reason for {name}() is out of date: the scan does not find it in this kernel")
            elif covered:
                by = covered[0].hits[0]
                found.append(f"the reason for {name}() does not hold: {by.path} on {by.setup} covers it")
    return tuple(found)


def _parts(upgrader: Upgrader, sites: Sequence[Site]) -> Iterator[tuple[str, list[int]]]:
    """Numbers of the sites that prove a function, by the way in which it writes the entry.

    A function that calls ``*_set_access_flags()`` and fills empty entries elsewhere is proven by the calls; one of
    the architecture's own that also writes entries itself does so in place, and has to be seen doing both.
    """
    mine = [n for n, s in enumerate(sites) if s.function == upgrader.name and s.file == upgrader.file]
    calls = [n for n in mine if "set_access_flags" in sites[n].callee]
    stores = [n for n in mine if n not in calls]
    if upgrader.kind in (Kind.FLAGS, Kind.ACCESS) and calls:
        yield "", calls
        if stores and upgrader.file.startswith(_ARCH):
            yield "writes the range anew", stores
    else:
        yield "", mine


def _not_in_kernel(upgrader: Upgrader, sites: Sites, numbers: Collection[int]) -> str:
    if upgrader.file in sites.not_built:
        return f"not built: this configuration has no object of {upgrader.file}"
    if not numbers:
        return "no code of it in this kernel: its configuration leaves it out, or nothing calls it"
    return ""


def _row(
    upgrader: Upgrader,
    part: str,
    numbers: Sequence[int],
    results: Sequence[PathResult],
    why: str,
    unprobed: Mapping[int, str],
) -> Row:
    ran = [r for r in results if any(r.facts.get(f"site_{n}", "0") != "0" for n in numbers)]
    hits = tuple(_hit(r) for r in ran if _read_only(r))
    if hits:
        return Row(upgrader, part, State.COVERED, hits)
    others = tuple(dict.fromkeys(r.path for r in ran))
    if why:
        return Row(upgrader, part, State.EXCUSED, why=why, ran=others)
    refused = [unprobed[n] for n in numbers if n in unprobed]
    if refused and len(refused) == len(numbers):
        return Row(upgrader, part, State.MISSING, why=f"the kernel lets nobody probe it: {refused[0]}")
    return Row(upgrader, part, State.MISSING, why="no workload", ran=others)


def _read_only(result: PathResult) -> bool:
    return result.outcome in _COUNTS and result.facts.get("iotlb_before", "").startswith("r-")


def _hit(result: PathResult) -> Hit:
    before, after = result.facts.get("pfn_before", ""), result.facts.get("pfn_after", "")
    return Hit(result.path, result.setup, result.outcome, same_frame=bool(before) and before == after)


def probe(number: int, site: Site) -> str:
    """A site as ``workloads --sites`` takes it (guest-tests/workloads/sites.h)."""
    place = f"{number} _text+{site.offset:#x}"
    if site.how is How.CALL:
        # Calls of what writes an entry: (vma or mm, address, ...). A function that is declared inline cannot be
        # probed; then the one that it calls is, and tells by its return address who called it.
        return f"{place} address=%x1;{site.callee};{site.address + 4:#x}"
    if site.how is How.STORE:
        return f"{place} value=%x{site.register}"
    return f"{place} address=%x1" if site.function.endswith(_TOLD_ADDRESS) else place
