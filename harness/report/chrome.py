# SPDX-License-Identifier: GPL-2.0-or-later
"""A timeline in the Trace Event Format (JSON object form), which Perfetto and chrome://tracing read.

Format: "Trace Event Format", docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU. A path is
a process; the SMMU, the device and each task of the guest are its threads. A stall is a nestable asynchronous
event until it is ended, the number of stalls so far a counter (the staircase), and all else an instant. Times are
microseconds.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from harness.shown import one_line
from harness.timeline import Clock, Event, Kind, PathTimeline, Source, Timeline

Record = dict[str, Any]

_ENDS = frozenset({Kind.RETRY, Kind.ABORT, Kind.TERMINATE, Kind.REISSUE, Kind.CANCELLED})
_SMMU, _DEVICE, _FIRST_TASK = 1, 2, 10


def dump(timeline: Timeline, *, about: Mapping[str, str]) -> str:
    """The file's content. ``about``: what the run was, shown by the viewer as metadata."""
    records: list[Record] = []
    for number, (name, path) in enumerate(timeline.paths.items(), start=1):
        records += _path(number, name, path)
    other = {**{key: one_line(value) for key, value in about.items()}, **_clock(timeline.clock)}
    return json.dumps({"traceEvents": records, "displayTimeUnit": "ns", "otherData": other}, indent=0) + "\n"


def _clock(clock: Clock) -> dict[str, str]:
    if clock.offset_ns is None:
        return {"clock": clock.how}
    return {
        "clock": "virtual time of the emulator",
        "guest clock offset": f"{clock.offset_ns} ns",
        "guest clock uncertainty": f"{clock.uncertainty_ns} ns",
        "guest clock measured by": clock.how,
    }


def _path(pid: int, name: str, path: PathTimeline) -> Iterator[Record]:
    yield _named(pid, 0, "process_name", one_line(name))
    yield _named(pid, _SMMU, "thread_name", "SMMU")
    yield _named(pid, _DEVICE, "thread_name", "device")
    tasks = {task: _FIRST_TASK + n for n, task in enumerate(dict.fromkeys(_tasks(path.events)))}
    for task, tid in tasks.items():
        yield _named(pid, tid, "thread_name", one_line(task))
    if path.window_ns is not None:
        yield {**_at(pid, _DEVICE, path, 0), "ph": "X", "dur": path.window_ns / 1000, "name": "measured window"}
    stalls = 0
    waiting: dict[str, Event] = {}
    for event in path.events:
        tid = tasks.get(_task(event), _DEVICE if event.source is Source.DEVICE else _SMMU)
        stalls += event.kind is Kind.STALL
        if event.kind is Kind.STALL:
            waiting[_stag(event)] = event
            yield {**_at(pid, tid, path, event.t_ns), "ph": "C", "name": "stalls", "args": {"stalls": stalls}}
        elif event.kind in _ENDS and _stag(event) in waiting:
            yield from _waited(pid, tid, path, waiting.pop(_stag(event)), event)
        yield {**_at(pid, tid, path, event.t_ns), **_instant(event)}


def _waited(pid: int, tid: int, path: PathTimeline, stall: Event, end: Event) -> Iterator[Record]:
    """From a stall to what ended it. They overlap, so they are asynchronous: matched by id."""
    common: Record = {"cat": "stall", "id": f"{pid}.{_stag(stall)}.{stall.t_ns}", "name": "stalled"}
    yield {**_at(pid, tid, path, stall.t_ns), **common, "ph": "b", "args": {"address": _hex(stall.address)}}
    yield {**_at(pid, tid, path, end.t_ns), **common, "ph": "e", "args": {"end": str(end.kind)}}


def _at(pid: int, tid: int, path: PathTimeline, t_ns: int) -> Record:
    return {"pid": pid, "tid": tid, "ts": (path.start_ns + t_ns) / 1000}


def _instant(event: Event) -> Record:
    arguments = {"detail": one_line(event.detail)} if event.detail else {}
    if event.address is not None:
        arguments["address"] = _hex(event.address)
    if event.size:
        arguments["size"] = str(event.size)
    return {"ph": "i", "s": "t", "cat": str(event.kind), "name": one_line(event.text), "args": arguments}


def _named(pid: int, tid: int, what: str, name: str) -> Record:
    return {"ph": "M", "pid": pid, "tid": tid, "ts": 0, "name": what, "args": {"name": name}}


def _tasks(events: Iterable[Event]) -> Iterator[str]:
    return (_task(event) for event in events if event.source is Source.GUEST)


def _task(event: Event) -> str:
    return event.detail.split(" ")[0] if event.source is Source.GUEST else ""


def _stag(event: Event) -> str:
    """What a stall and its end have in common; without a record: the address."""
    words = [word for word in event.detail.split(" ") if word.startswith("stag=")]
    return words[0] if words else _hex(event.address)


def _hex(address: int | None) -> str:
    return "" if address is None else f"{address:#x}"
