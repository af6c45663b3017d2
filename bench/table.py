# SPDX-License-Identifier: GPL-2.0-or-later
"""The two tables of a bench: what was found, and what it was at the last time on this machine. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench.frame import ENOUGH, Found, Kind, LeftOut

_HEAD = ("measure", "what", "ours", "bare", "ratio", "reach", "met?", "rounds", "spread", "load")
_THEN = ("measure", "ours", "then", "change", "ratio", "then", "of", "commit")
_LEFT = 2
"""Columns that are text."""
_UNITS = {"s": ("s", 2), "guests/min": ("/min", 1), "MiB": ("MiB", 0)}


def shown(value: float | None, unit: str) -> str:
    """A figure with its unit."""
    if value is None:
        return "-"
    name, digits = _UNITS.get(unit, (unit, 2))
    if unit == "s" and value < 1:
        return f"{value * 1000:.0f} ms"
    return f"{value:.{digits}f} {name}"


def found_table(found: Sequence[Found], left: Sequence[LeftOut]) -> str:
    """All measures of this run."""
    rows = [
        (
            one.name,
            one.row.what,
            shown(one.median, one.row.unit),
            shown(one.bare_median, one.row.unit),
            f"{one.ratio:.2f}" if one.ratio is not None else "-",
            _reach(one),
            _met(one),
            str(one.rounds),
            f"{one.spread:.0%}",
            f"{one.load:.1f}",
        )
        for one in found
    ]
    lines = _lines(_HEAD, rows)
    lines += [f"note     {one.measure}: {note}" for one in found for note in one.notes]
    lines += [f"{'failed ' if one.failed else 'left out'} {one.measure}: {one.why}" for one in left]
    return "\n".join(lines)


def then_table(found: Sequence[Found], earlier: Mapping[str, Mapping[str, object]]) -> str:
    """Against the newest earlier line of each measure; empty when there is none."""
    rows = []
    for one in found:
        then = earlier.get(one.name)
        median = then.get("ours_median") if then else None
        if then is None or not isinstance(median, int | float) or not median:
            continue
        ratio = then.get("ratio")
        rows.append(
            (
                one.name,
                shown(one.median, one.row.unit),
                shown(median, one.row.unit),
                f"{one.median / median - 1:+.0%}",
                f"{one.ratio:.2f}" if one.ratio is not None else "-",
                f"{ratio:.2f}" if isinstance(ratio, int | float) else "-",
                str(then.get("date", ""))[:10],
                str(then.get("commit", ""))[:12],
            )
        )
    return "\n".join(_lines(_THEN, rows)) if rows else ""


def _reach(one: Found) -> str:
    if one.row.reach is None:
        return "-"
    if one.row.kind is Kind.RATIO:
        return f"<= {one.row.reach:.2f}"
    return f"<= {shown(one.row.reach, one.row.unit)}"


def _met(one: Found) -> str:
    if one.row.reach is None:
        return "-"
    if one.rounds < ENOUGH:
        return f"not judged: {one.rounds} of {ENOUGH} rounds"
    return {True: "yes", False: "NO", None: "not judged: no ratio"}[one.met]


def _lines(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    table = []
    for row in (head, *rows):
        cells = [
            cell.ljust(width) if column < _LEFT else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        table.append("  ".join(cells).rstrip())
    return [table[0], "─" * len(table[0]), *table[1:]]
