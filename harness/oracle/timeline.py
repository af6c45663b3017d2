# SPDX-License-Identifier: GPL-2.0-or-later
"""Merge the SMMU's journal with what the workloads noted of ftrace. Pure: recorded data in, `Timeline` out.

A workload prints ``#@ `` lines after its KTAP (guest-tests/workloads/event.c):

    #@ page 0x5a00000000 0x1000                  the memory in question
    #@ counter 62500000                          the CPU's counter, Hz
    #@ tick 0 7520 9310                          the counter before and after mark 0 was written
    #@ sync 78 18520 23101                       and before and after 78 was written to the device's SYNC register
    #@ 12.345678 mark tick 0                     the mark in ftrace; `open` and `close` of the measured window
    #@ 12.345900 kworker/0:1-12 notifier start=0x... end=0x...

**The clock.** Each mark bounds the difference of ftrace's clock and the counter from both sides, and QEMU's word
on when SYNC was written that of the counter and virtual time. All bounds hold at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from harness.timeline import Clock, Event, Kind, PathTimeline, Source, Timeline, View

MOST_EVENTS = 400
"""Kept of one path."""
_MOST_AT_END = 100
"""Of these, from its end."""
MARK = "#@ "
_STEP_NS = 1000
"""ftrace prints microseconds, cut off."""

_LINE = re.compile(r"#@ (\d{1,12})\.(\d{6}) (.{1,400})", re.ASCII)
_PAGE = re.compile(r"#@ page (0x[0-9a-f]{1,16}|0) (0x[0-9a-f]{1,16}|0)$")
_COUNTER = re.compile(r"#@ counter ([1-9]\d{0,10})$", re.ASCII)
_BETWEEN = re.compile(r"#@ ((?:tick|sync) \d{1,10}) (\d{1,20}) (\d{1,20})$", re.ASCII)
_HEX = re.compile(r"(0x)?[0-9a-f]{1,16}")
_NUMBER = re.compile(r"\b([a-z_]{1,32})=(0x[0-9a-fA-F]{1,16})\b", re.ASCII)
_COUNT = re.compile(r"\d{1,9}", re.ASCII)
_NAME = 80
"""Characters of a task's or function's name: the guest says what it likes."""
_PLACES = ("address", "start", "end")
_KINDS = {
    "fault": Kind.FAULT,
    "stall": Kind.STALL,
    "retry": Kind.RETRY,
    "abort": Kind.ABORT,
    "terminate": Kind.TERMINATE,
    "resume-nomatch": Kind.NO_MATCH,
    "reissue": Kind.REISSUE,
    "stall-term": Kind.CANCELLED,
    "disable": Kind.CANCELLED,
    "cancel": Kind.CANCELLED,
    "broadcast": Kind.INVALIDATION,
    "eviction": Kind.EVICTION,
    "full-flush": Kind.EVICTION,
}
_FUNCTIONS = {"notifier": Kind.NOTIFIER, "fault_handler": Kind.HANDLER}
_SAID = {
    Kind.NOTIFIER: "notifier callback",
    Kind.HANDLER: "fault handler",
    Kind.RETRY: "CMD_RESUME, retry",
    Kind.ABORT: "CMD_RESUME, abort",
    Kind.TERMINATE: "CMD_RESUME, terminate",
    Kind.NO_MATCH: "CMD_RESUME of what is not stalled",
}


@dataclass(frozen=True, slots=True)
class RawPath:
    """One workload's part, as recorded."""

    path: str
    lines: tuple[str, ...] = ()
    """Its ``#@`` lines."""
    journal: tuple[Mapping[str, Any], ...] = ()
    """Records of the journal since the path before it."""
    overwritten: int = 0
    """Such records that the journal did not hold any more."""
    syncs: Mapping[int, int] = field(default_factory=dict)
    """Number written to SYNC -> virtual time."""
    gave_up: tuple[Mapping[str, Any], ...] = ()
    """Data of SVA_TESTDEV_GAVE_UP."""
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Moment:
    """A line of the guest."""

    low_ns: int
    """On the trace clock; what happened was within a microsecond from it."""
    words: str


def merge(raws: Sequence[RawPath], *, most: int = MOST_EVENTS) -> Timeline:
    """The timelines of all paths of a boot, with at most ``most`` events each."""
    moments = {raw.path: _moments(raw.lines) for raw in raws}
    clock = measure([(raw, moments[raw.path]) for raw in raws])
    return Timeline(clock=clock, paths={raw.path: _path(raw, moments[raw.path], clock, most) for raw in raws})


def measure(paths: Sequence[tuple[RawPath, Sequence[Moment]]]) -> Clock:
    """The clocks' difference from all that bounds it."""
    ticks = [bound for raw, moments in paths for bound in _ticks(raw, moments)]
    syncs = [bound for raw, _ in paths for bound in _syncs(raw)]
    if not ticks or not syncs:
        return Clock(how="not measured: no workload came to its measured window")
    offset, spread, agree = _met(ticks)
    behind, more, same = _met(syncs)
    how = f"{len(ticks)} marks in ftrace, each between two reads of the CPU's counter; "
    if same and abs(behind) <= more:  # under TCG the counter is the virtual clock, and nothing says otherwise
        behind, more = 0, 0
        how += f"the counter is the virtual clock, as {len(syncs)} writes to the device's SYNC register confirm"
    else:
        how += f"{len(syncs)} writes to the device's SYNC register between two reads"
    if not (same and agree):
        how += "; the bounds contradict each other, so the widest are taken"
    # ftrace cuts off what is below a microsecond: half of one is added to each time, and to what is unsure.
    return Clock(offset + behind, spread + more + _STEP_NS // 2, len(ticks), how)


def _met(bounds: Sequence[tuple[int, int]]) -> tuple[int, int, bool]:
    """The middle and half the width of what is within all bounds, and whether there is such a thing."""
    low, high = max(low for low, _ in bounds), min(high for _, high in bounds)
    agree = low <= high
    if not agree:
        low, high = min(low for low, _ in bounds), max(high for _, high in bounds)
    return (low + high) // 2, (high - low + 1) // 2, agree


def described(pte: int) -> str:
    """What an arm64 descriptor of a page or block permits (Arm ARM D8.3), with Linux's own bits."""
    if not pte & 1:
        return "not mapped" if not pte else "not valid"
    words = ["read-only" if pte & (1 << 7) else "writable"]
    words += ["dirty bit by hardware (DBM)"] if pte & (1 << 51) else []
    words += ["dirty"] if pte & (1 << 55) else []
    words += [] if pte & (1 << 10) else ["not accessed"]
    words += ["contiguous"] if pte & (1 << 52) else []
    return ", ".join(words)


def _ticks(raw: RawPath, moments: Sequence[Moment]) -> Iterator[tuple[int, int]]:
    """Bounds of: counter minus trace clock."""
    marked = {m.words.removeprefix("mark "): m.low_ns for m in moments}
    for words, before, after in _counted(raw):
        if words in marked:
            yield before - marked[words] - _STEP_NS, after - marked[words]


def _syncs(raw: RawPath) -> Iterator[tuple[int, int]]:
    """Bounds of: virtual time minus counter."""
    for words, before, after in _counted(raw):
        kind, number = words.split(" ")
        if kind == "sync" and int(number) in raw.syncs:
            yield raw.syncs[int(number)] - after, raw.syncs[int(number)] - before


def _counted(raw: RawPath) -> Iterator[tuple[str, int, int]]:
    """What was done, and the counter before and after, in ns."""
    hertz = 0
    for line in raw.lines:
        if match := _COUNTER.match(line):
            hertz = int(match[1])
        elif (match := _BETWEEN.match(line)) and hertz:
            yield match[1], int(match[2]) * 10**9 // hertz, (int(match[3]) + 1) * 10**9 // hertz


def _moments(lines: Iterable[str]) -> tuple[Moment, ...]:
    found = (_LINE.match(line) for line in lines)
    return tuple(Moment(int(m[1]) * 10**9 + int(m[2]) * 1000, m[3]) for m in found if m)


def _path(raw: RawPath, moments: Sequence[Moment], clock: Clock, most: int) -> PathTimeline:
    views = tuple(_views(raw.facts))
    window = _window(moments, clock)
    first = int(raw.journal[0]["time"]) if raw.journal else 0
    if window is None or clock.offset_ns is None:
        events, lost = _bounded([_smmu(r) for r in raw.journal] + [_device(d) for d in raw.gave_up], most)
        return PathTimeline(
            first, events=_from(events, first), lost=lost + raw.overwritten + _unsaid(raw), views=views
        )
    begin, end = window
    slack = clock.uncertainty_ns
    inside = [r for r in raw.journal if begin - slack <= int(r["time"]) <= end + slack]
    page, size = next(((int(m[1], 16), int(m[2], 16)) for line in raw.lines if (m := _PAGE.match(line))), (0, 0))
    about = [r for r in inside if _concerns(r, page, size)]
    if not any("address" in r for r in about):
        page, about = 0, inside
    offset = clock.offset_ns + _STEP_NS // 2
    events = [_smmu(r) for r in about]
    events += [_guest(m, offset) for m in moments if not m.words.startswith("mark ")]
    events += [_device(d) for d in raw.gave_up if begin <= int(d["time"]) <= end + slack]
    kept, lost = _bounded(events, most)
    gone = raw.overwritten if raw.journal and int(raw.journal[0]["time"]) > begin else 0
    return PathTimeline(
        start_ns=begin,
        window_ns=end - begin,
        page=page or None,
        page_size=size if page else 0,
        events=_from(kept, begin),
        lost=lost + gone + _unsaid(raw),
        elsewhere=len(inside) - len(about),
        views=views,
    )


def _unsaid(raw: RawPath) -> int:
    """Events for which the workload had no room."""
    told = raw.facts.get("moments_lost", "0")
    return int(told) if _COUNT.fullmatch(told) else 0


def _window(moments: Sequence[Moment], clock: Clock) -> tuple[int, int] | None:
    """Virtual times of its begin and end."""
    marks = {m.words: m.low_ns for m in moments if m.words in ("mark open", "mark close")}
    if clock.offset_ns is None or len(marks) != 2:
        return None
    return marks["mark open"] + clock.offset_ns, marks["mark close"] + clock.offset_ns


def _concerns(record: Mapping[str, Any], page: int, size: int) -> bool:
    """Whether it is about the page: by address, or because it is about all addresses."""
    if "address" not in record:
        return True
    address = int(record["address"])
    return address < page + size and page < address + max(int(record.get("size", 0)), 1)


def _from(events: Iterable[Event], start: int) -> tuple[Event, ...]:
    return tuple(replace(event, t_ns=event.t_ns - start) for event in events)


def _bounded(events: Sequence[Event], most: int) -> tuple[list[Event], int]:
    """In order of time, the middle left out when there are too many; how many that were."""
    ordered = sorted(events, key=lambda event: event.t_ns)
    lost = len(ordered) - most
    if lost <= 0:
        return ordered, 0
    tail = min(_MOST_AT_END, most // 4)
    cut = most - tail
    gap = Event(ordered[cut].t_ns, Kind.GAP, Source.SMMU, f"{lost} more events, not kept")
    return [*ordered[:cut], gap, *ordered[cut + lost :]], lost


def _smmu(record: Mapping[str, Any]) -> Event:
    kind, what = str(record["kind"]), str(record.get("what", ""))
    if kind == "command":
        meant = Kind.INVALIDATION if what.startswith("tlbi") else Kind.CONFIGURATION
    else:
        meant = _KINDS.get(kind, Kind.FAULT)
    said = {
        "command": f"CMD_{what.upper().replace('-', '_')}",
        "broadcast": "a CPU's TLBI, obeyed",
        "stall": f"stall, {what}",
        "fault": f"access refused, {what or 'no event'}",
    }.get(kind) or _SAID.get(meant, kind)
    named = ("stream", "substream", "stag", "asid", "vmid")
    return Event(
        t_ns=int(record["time"]),
        kind=meant,
        source=Source.SMMU,
        text=said,
        address=int(record["address"]) if "address" in record else None,
        size=int(record.get("size", 0)),
        detail=" ".join(f"{name}={record[name]}" for name in named if name in record),
    )


def _device(data: Mapping[str, Any]) -> Event:
    return Event(
        t_ns=int(data["time"]),
        kind=Kind.GAVE_UP,
        source=Source.DEVICE,
        text=f"the device gives up after {int(data['stalls'])} stalls",
        address=int(data["address"]),
        detail=f"engine={int(data['engine'])}",
    )


def _guest(moment: Moment, offset: int) -> Event:
    task, name, arguments = [*moment.words.split(" ", 2), "", ""][:3]
    task, name = task[:_NAME], name.removeprefix("also_")[:_NAME]
    kind = _FUNCTIONS.get(name, Kind.FUNCTION)
    numbers = {m[1]: int(m[2], 16) for m in _NUMBER.finditer(arguments)}
    start, end = numbers.get("start"), numbers.get("end")
    return Event(
        t_ns=moment.low_ns + offset,
        kind=kind,
        source=Source.GUEST,
        text=_SAID.get(kind) or f"{name}()",
        address=numbers.get("address", start),
        size=end - start if start is not None and end is not None and end > start else 0,
        detail=" ".join(
            [task, *(f"{k}={v:#x}" for k, v in numbers.items() if k not in ("address", "start", "end"))]
        ),
    )


def _views(facts: Mapping[str, str]) -> Iterator[View]:
    for when in ("before", "upgraded", "after"):
        pte, iotlb = facts.get(f"pte_{when}", ""), facts.get(f"iotlb_{when}", "")
        if pte or iotlb:
            yield View(when, pte, described(int(pte, 16)) if _HEX.fullmatch(pte) else "", iotlb)
