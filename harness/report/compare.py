# SPDX-License-Identifier: GPL-2.0-or-later
"""Several patches beside each other: rows paths, columns the base and each patch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.model import Change, Comparison, Outcome, PathResult, Run
from harness.report.text import STYLE, add_path, captured, console_for
from harness.shown import one_line

_WIDTH = 200
_COUNTED = (Outcome.PASS, Outcome.LOOP, Outcome.STALE, Outcome.CORRUPT)


def show(runs: Sequence[Run], stream: TextIO) -> None:
    """Print the table; colours only where ``stream`` is a terminal that wants them."""
    _print(runs, console_for(stream, _WIDTH))


def plain(runs: Sequence[Run]) -> str:
    """The same as text."""
    return captured(show, runs)


def changed_lines(run: Run) -> tuple[int, int]:
    """Lines that the series adds and removes."""
    lines = [line for p in run.series.patches for line in p.diff.splitlines()]
    added = sum(line.startswith("+") and not line.startswith("+++ ") for line in lines)
    removed = sum(line.startswith("-") and not line.startswith("--- ") for line in lines)
    return added, removed


def _print(runs: Sequence[Run], console: Console) -> None:
    letters = [chr(ord("A") + number) for number in range(len(runs))]
    table = Table(box=SIMPLE, pad_edge=False, collapse_padding=True)
    for name in ("path", "setup", "base", *letters):
        table.add_column(name, no_wrap=True)
    pairs = [_pairs(run) for run in runs]
    keys = list(dict.fromkeys(key for run in pairs for key in run))
    for path in dict.fromkeys(path for path, _ in keys):
        mine = [key for key in keys if key[0] == path]
        rows = [_row([run.get(key) for run in pairs]) for key in mine]
        add_path(table, path, [setup for _, setup in mine], rows)
    table.add_section()
    table.add_row("verdict", "", "", *(str(run.judgement.verdict) if run.judgement else "" for run in runs))
    table.add_row("lines changed", "", "", *("+{} -{}".format(*changed_lines(run)) for run in runs))
    table.add_row("objects rebuilt", "", "", *(str(run.patched.objects) if run.patched else "" for run in runs))
    table.add_row("kernel notified", "", "", *(_calls(run) for run in runs))
    table.add_row("by whole ASID", "", "", *(_wide(run) for run in runs))
    console.print(table)
    console.print("Each outcome with device stalls / TLBI commands at the SMMU / calls of its driver's notifier.")
    for letter, run in zip(letters, runs, strict=True):
        console.print(Text(f"{letter}  {one_line(run.series.title)}"), soft_wrap=True)
        console.print(Text(f"   {one_line(run.summary)}"), soft_wrap=True)
    console.print(Text(f"kernel {runs[0].kernel.version}  ({runs[0].kernel.origin})"), soft_wrap=True)


def _pairs(run: Run) -> dict[tuple[str, str], Comparison]:
    return {(c.path, c.setup): c for c in (run.judgement.comparisons if run.judgement else ())}


def _row(cells: Sequence[Comparison | None]) -> list[Text | str]:
    known = [c for c in cells if c is not None]
    return [_cell(known[0].base), *(_patched(c) if c else "-" for c in cells)]


def _patched(c: Comparison) -> Text:
    text = _cell(c.patched)
    if c.change is not Change.SAME:
        text.append(f" {c.change}")
    return text


def _cell(result: PathResult) -> Text:
    text = Text(str(result.outcome), style=STYLE.get(result.outcome, "yellow"))
    if result.outcome in _COUNTED:
        text.append(f" {result.stalls}/{result.tlbi}/{result.notifier_calls}")
    return text


def _wide(run: Run) -> str:
    """Invalidations that cost the device all its translations of a process."""
    pairs = run.judgement.comparisons if run.judgement else ()
    before, after = sum(c.base.tlbi_wide for c in pairs), sum(c.patched.tlbi_wide for c in pairs)
    return f"{after} ({after - before:+d})"


def _calls(run: Run) -> str:
    """Calls of the notifier over all paths: what the patch costs, beside the base's."""
    if run.judgement is None:
        return ""
    before = sum(c.base.notifier_calls for c in run.judgement.comparisons)
    after = sum(c.patched.notifier_calls for c in run.judgement.comparisons)
    return f"{after} ({after - before:+d})"
