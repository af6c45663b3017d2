# SPDX-License-Identifier: GPL-2.0-or-later
"""The timeline of a path as a drawing: stalls as stairs, and below them what happened meanwhile, on one time axis.

Drawn 1000 units wide and stretched to the page; a unit of height is a pixel.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness.timeline import Event, Kind, PathTimeline

WIDTH = 1000
_STAIRS = 96
"""Height of a loop's stairs; those of few steps are lower."""
_STEP = 14
"""Height of a step, at most."""
_LANE = 14

_LANES = (
    ("resumes", "resume", frozenset({Kind.RETRY, Kind.REISSUE})),
    ("kernel", "kernel", frozenset({Kind.HANDLER, Kind.FUNCTION})),
    ("notifier", "notifier", frozenset({Kind.NOTIFIER})),
    ("TLBI", "tlbi", frozenset({Kind.INVALIDATION})),
)
"""Always drawn: an empty lane is what a loop is known by."""
_REST = ("other", "other", frozenset(Kind) - {Kind.STALL} - frozenset[Kind]().union(*(k for _, _, k in _LANES)))

LANES = tuple(label for label, _, _ in _LANES)

_MOST_FIRST, _MOST_LAST = 10, 2
"""Events in the list below a drawing."""
_NICE = (1, 1.2, 1.6, 2, 2.4, 3, 4, 5, 6, 8, 10)


@dataclass(frozen=True, slots=True)
class Mark:
    """The events of one kind, as one path of short lines."""

    label: str
    style: str
    count: int
    y: int
    d: str


@dataclass(frozen=True, slots=True)
class Panel:
    """One variant."""

    variant: str
    caption: str
    stairs: int
    """Height of the stairs."""
    height: int
    stalls: int
    line: str
    end: int
    """Where the window closes."""
    marks: tuple[Mark, ...]
    listing: str
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Figure:
    """Panels over one time axis."""

    panels: tuple[Panel, ...]
    ticks: tuple[str, ...]
    """Labels of the axis at equal distances, the first at its beginning and the last at its end."""


def draw(timelines: Sequence[tuple[str, PathTimeline]]) -> Figure | None:
    """Variants in order, each with its name; None when nothing was recorded of any."""
    if not any(t.events or t.window_ns for _, t in timelines):
        return None
    first = min((e.t_ns for _, t in timelines for e in t.events), default=0)
    last = max((_end(t) for _, t in timelines), default=0)
    low = min(0, first)
    span = _nice(max(last - low, 1000))
    scale = _Scale(low, span)
    ticks = tuple(_time(low + span * n // 4) for n in range(5))
    return Figure(tuple(_panel(name, t, scale) for name, t in timelines), ticks)


def _end(timeline: PathTimeline) -> int:
    return max([timeline.window_ns or 0, *(e.t_ns for e in timeline.events)])


@dataclass(frozen=True, slots=True)
class _Scale:
    low: int
    span: int

    def x(self, t_ns: int) -> int:
        return round((t_ns - self.low) * WIDTH / self.span)


def _panel(name: str, timeline: PathTimeline, scale: _Scale) -> Panel:
    events = sorted(timeline.events, key=lambda e: e.t_ns)
    stalls = [scale.x(e.t_ns) for e in events if e.kind is Kind.STALL]
    step = min(_STEP, _STAIRS / max(1, len(stalls)))
    stairs = max(_STEP, round(step * len(stalls))) + 4
    end = scale.x(_end(timeline))
    line = [f"M{scale.x(min(0, scale.low))} {stairs}"]
    for number, x in enumerate(stalls, 1):
        line.append(f"H{x}V{stairs - round(step * number)}")
    line.append(f"H{end}V{stairs}")
    marks = _marks(events, scale, stairs + 6)
    return Panel(
        variant=name,
        caption=_caption(events, timeline),
        stairs=stairs,
        height=stairs + 6 + _LANE * len(marks),
        stalls=len(stalls),
        line="".join(line),
        end=end,
        marks=tuple(marks),
        listing=_listing(events),
        notes=tuple(_notes(timeline)),
    )


def _marks(events: Sequence[Event], scale: _Scale, top: int) -> list[Mark]:
    found: list[Mark] = []
    for label, style, kinds in (*_LANES, _REST):
        mine = [e for e in events if e.kind in kinds and e.kind is not Kind.GAP]
        if not mine and label == _REST[0]:
            continue
        times = [scale.x(e.t_ns) for e in mine]
        y = top + _LANE * len(found)
        if label == _REST[0] and len({e.kind for e in mine}) == 1:
            label = str(mine[0].kind)
        found.append(Mark(label, style, len(times), y, "".join(f"M{x} {y + 2}v10" for x in dict.fromkeys(times))))
    return found


def _caption(events: Iterable[Event], timeline: PathTimeline) -> str:
    kinds = [e.kind for e in events]
    counts = [
        _count(sum(k is Kind.STALL for k in kinds), "stall"),
        *(_count(sum(k in lane for k in kinds), word) for word, (_, _, lane) in zip(_WORDS, _LANES, strict=True)),
    ]
    over = f" in {_time(timeline.window_ns)} of virtual time" if timeline.window_ns is not None else ""
    return ", ".join(counts) + over


_WORDS = ("resume", "kernel event", "notifier call", "invalidation")


def _count(number: int, word: str) -> str:
    return f"{number or 'no'} {word}{'' if number == 1 else 's'}"


def _notes(timeline: PathTimeline) -> Iterable[str]:
    if timeline.window_ns is None:
        yield "no measured window: events of the whole path"
    if timeline.page is None:
        yield "the page is not known: events of all addresses"
    if timeline.lost:
        yield f"{_count(timeline.lost, 'event')} not kept"
    if timeline.elsewhere:
        yield f"{_count(timeline.elsewhere, 'event')} of other addresses left out"


def _listing(events: Sequence[Event]) -> str:
    """Events as lines of text, the middle of many left out."""
    lines = [_line(e) for e in events]
    if len(lines) > _MOST_FIRST + _MOST_LAST + 1:
        left = len(lines) - _MOST_FIRST - _MOST_LAST
        lines = [*lines[:_MOST_FIRST], f"{'':>12}  ... {left} more, in timeline.json", *lines[-_MOST_LAST:]]
    return "\n".join(lines)


def _line(event: Event) -> str:
    where = "" if event.address is None else f"  {event.address:#x}"
    return f"{event.t_ns / 1e6:9.3f} ms  {event.source:6}  {event.text[:80]}{where}"


def _nice(span: int) -> int:
    """At least ``span``, a number whose quarters read well."""
    power = 10 ** (len(str(span)) - 1)
    return int(next(round(n * power) for n in _NICE if n * power >= span))


def _time(t_ns: int) -> str:
    if t_ns == 0:
        return "0"
    for unit, size in (("s", 10**9), ("ms", 10**6), ("\N{MICRO SIGN}s", 1000)):
        if abs(t_ns) >= size:
            return f"{t_ns / size:.4g} {unit}"
    return f"{t_ns} ns"
