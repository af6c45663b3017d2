# SPDX-License-Identifier: GPL-2.0-or-later
"""A path over time: a table, a line of letters for each setup, and in a terminal a plot."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TextIO

from rich.box import SIMPLE
from rich.table import Table
from rich.text import Text

from harness.model import Outcome
from harness.past import Point
from harness.report.text import STYLE, console_for
from harness.shown import one_line

SCHEMA = "faultloop/history/1"
_WIDTH = 116
_MOST = 40
"""Points shown in the table: the latest."""
_RANK = (
    *(o for o in Outcome if not o.bad and o is not Outcome.PASS),
    Outcome.PASS,
    *(o for o in Outcome if o.bad),
)
"""From bottom to top of the plot: what is bad is high up."""
LETTERS = {Outcome.SKIP: "-", Outcome.INVALID: "?", Outcome.ERROR: "!", Outcome.STALE: "T"}
"""Others have their first letter."""
_MARKERS = "xo+*#@"
_HEIGHT = 14

Line = tuple[str, str, str]
"""Path, setup and variant: what is one course."""


def show(points: Sequence[Point], stream: TextIO, *, count: str = "", plot: bool = False) -> None:
    """Print the course of one path or more; ``plot`` only where ``stream`` is a terminal that wants it."""
    console = console_for(stream, _WIDTH)
    console.print(_table(points, count))
    if len(points) > _MOST:
        console.print(Text(f"shown    the latest {_MOST} of {len(points)} (all of them: --json)"))
    for name, letters in strips(points).items():
        console.print(Text(f"course   {letters[-80:]}  {name}"), soft_wrap=True)
    used = {letter(p.outcome): p.outcome for p in points}
    console.print(Text(f"letters  {', '.join(f'{key} {used[key]}' for key in sorted(used))}"))
    if plot:
        stream.write(drawn(points, count=count, width=min(console.width, _WIDTH)))


def dump(points: Sequence[Point]) -> str:
    """All of it as JSON."""
    found = {"schema": SCHEMA, "points": [{**asdict(p), "outcome": str(p.outcome)} for p in points]}
    return json.dumps(found, indent=1, ensure_ascii=True) + "\n"


def letter(outcome: Outcome) -> str:
    """One letter for an outcome."""
    return LETTERS.get(outcome, str(outcome)[0])


def lines(points: Sequence[Point]) -> dict[Line, list[Point]]:
    """The points of each course, in their order."""
    found: dict[Line, list[Point]] = {}
    for point in points:
        found.setdefault((point.path, point.setup, point.variant), []).append(point)
    return found


def strips(points: Sequence[Point]) -> dict[str, str]:
    """Name of each course -> a letter a run, oldest first."""
    courses = lines(points)
    return {_name(line, courses): "".join(letter(p.outcome) for p in found) for line, found in courses.items()}


def drawn(points: Sequence[Point], *, count: str, width: int) -> str:
    """The plot, without colours: runs to the right, outcomes (or the counter) upwards."""
    import plotext

    courses = lines(points)
    order = {name: number for number, name in enumerate(dict.fromkeys(p.run for p in points), 1)}
    seen = [outcome for outcome in _RANK if any(p.outcome is outcome for p in points)]
    figure = plotext.figure
    figure.clear()
    figure.plot_size(width, _HEIGHT)
    legend = []
    for number, (line, found) in enumerate(courses.items()):
        marker = _MARKERS[number % len(_MARKERS)]
        heights = [(p.counted or 0) if count else seen.index(p.outcome) for p in found]
        figure.draw(figure.signal([order[p.run] for p in found], heights, marker=marker))
        legend.append(f"{marker} {_name(line, courses)}")
    if not count:
        figure.ruler("y").ticks(list(range(len(seen))), [str(outcome) for outcome in seen])
        figure.ruler("y").lim(-0.5, len(seen) - 0.5)
    names = {order[p.run]: _when(p) for p in points}
    step = max(1, -(-len(names) // 6))
    figure.ruler("x").ticks(list(names)[::step], list(names.values())[::step])
    return f"{figure.build().string(colorless=True)}\n{'   '.join(legend)}\n"


def _table(points: Sequence[Point], count: str) -> Table:
    table = Table(box=SIMPLE, pad_edge=False, show_edge=False)
    # What is the same in all rows is left out: a terminal is narrow.
    told = [name for name in ("variant", "path") if len({getattr(p, name) for p in points}) > 1]
    heads = ["when", "kernel", "setup", *told, "outcome", "stalls", "TLBI", "calls"]
    for head in [*heads, *([one_line(count)] if count else [])]:
        number = head in ("stalls", "TLBI", "calls") or head == count
        table.add_column(head, justify="right" if number else "left", no_wrap=True)
    for p in points[-_MOST:]:
        kernel = p.ref or (p.version if p.kernel in p.version else f"{p.version} {p.kernel}")
        cells = [p.started[:16].replace("T", " "), kernel, p.setup, *(str(getattr(p, name)) for name in told)]
        numbers = [p.stalls, p.tlbi, p.notifier_calls, *([p.counted or 0] if count else [])]
        table.add_row(
            *(Text(one_line(cell)[:40]) for cell in cells),
            Text(str(p.outcome), style=STYLE.get(p.outcome, "")),
            *(str(number) for number in numbers),
        )
    return table


def _when(point: Point) -> str:
    return one_line(point.ref) or point.started[:10]


def _name(line: Line, courses: dict[Line, list[Point]]) -> str:
    """What of a course tells it from the others."""
    path, setup, variant = (one_line(word) for word in line)
    words = [path] if len({key[0] for key in courses}) > 1 else []
    words += [setup, *([variant] if len({key[2] for key in courses}) > 1 else [])]
    return " ".join(words)
