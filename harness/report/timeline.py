# SPDX-License-Identifier: GPL-2.0-or-later
"""A timeline as a table; rounds of a loop that are alike are printed once, and counted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TextIO

from rich.box import SIMPLE
from rich.table import Table
from rich.text import Text

from harness.report.text import console_for
from harness.shown import one_line
from harness.timeline import Clock, Event, Kind, PathTimeline, Source, Traced

_WIDTH = 116
_LONGEST_ROUND = 40
"""Events of one round of a loop, at most."""
_STYLE = {
    Kind.STALL: "yellow",
    Kind.GAVE_UP: "bold red",
    Kind.FAULT: "red",
    Kind.ABORT: "red",
    Kind.NOTIFIER: "green",
    Kind.INVALIDATION: "green",
}


def show(traced: Traced, stream: TextIO) -> None:
    """Print one path's timeline, how exact it is, and where it is for Perfetto."""
    path = traced.timeline.paths.get(traced.path, PathTimeline(0))
    console = console_for(stream, _WIDTH)
    table = Table(box=SIMPLE, pad_edge=False, show_edge=False)
    table.add_column("µs", justify="right")
    for name in ("SMMU, device", "guest", "address"):
        table.add_column(name, no_wrap=True)
    table.add_column("", style="dim", overflow="fold")
    for row in folded(path.events):
        if isinstance(row, str):
            table.add_row("", "", "", "", row)
        else:
            table.add_row(*_row(row))
    console.print(table)
    for line in _below(path, traced.timeline.clock):
        console.print(Text(one_line(line)), soft_wrap=True)
    console.print(Text(one_line(f"kernel   {traced.kernel}, {traced.variant}, {traced.setup}")), soft_wrap=True)
    console.print(Text(f"perfetto {traced.exported}"), soft_wrap=True)
    reason = f": {traced.reason}" if traced.reason else ""
    console.print(Text(one_line(f"OUTCOME  {traced.path} {traced.outcome}{reason}")), soft_wrap=True)


def folded(events: Sequence[Event]) -> Iterator[Event | str]:
    """The events; a round that comes three times or more is given once, and how often it came is said."""
    at = 0
    while at < len(events):
        length, times = _round(events, at)
        if times < 3:
            yield events[at]
            at += 1
            continue
        yield from events[at : at + length]
        until = events[at + length * times - 1].t_ns / 1000
        yield f"these {length} come {times} times in all, until {until:.1f} µs"
        at += length * times


def _round(events: Sequence[Event], at: int) -> tuple[int, int]:
    """Length of the shortest round that begins there, and how often it comes in a row."""
    for length in range(2, min(_LONGEST_ROUND, (len(events) - at) // 3) + 1):
        first = [_same(event) for event in events[at : at + length]]
        times = 1
        while [_same(e) for e in events[at + length * times : at + length * (times + 1)]] == first:
            times += 1
        if times >= 3:
            return length, times
    return 1, 1


def _same(event: Event) -> tuple[object, ...]:
    return event.kind, event.source, event.text, event.address, event.size


def _row(event: Event) -> tuple[str | Text, ...]:
    said = Text(one_line(event.text), style=_STYLE.get(event.kind, ""))
    guest = event.source is Source.GUEST
    where = "" if event.address is None else f"{event.address:#x}" + (f" +{event.size}" if event.size else "")
    return f"{event.t_ns / 1000:.1f}", "" if guest else said, said if guest else "", where, one_line(event.detail)


def _below(path: PathTimeline, clock: Clock) -> Iterator[str]:
    for view in path.views:
        yield f"{view.when:8} page table {view.pte or '-'} ({view.means or '-'}), IOTLB {view.iotlb or '-'}"
    if path.page is not None:
        others = f"; {path.elsewhere} events of other addresses are not shown" if path.elsewhere else ""
        yield f"page     {path.page:#x}, {path.page_size} bytes{others}"
    if path.lost:
        yield f"lost     {path.lost} events"
    if clock.offset_ns is None:
        yield f"clock    {clock.how}"
    else:
        exact = clock.uncertainty_ns / 1000
        yield f"clock    virtual time = ftrace's + {clock.offset_ns} ns, give or take {exact:.1f} µs: {clock.how}"
