# SPDX-License-Identifier: GPL-2.0-or-later
"""The table a user sees: rows paths, columns base and patched, on a terminal or as plain text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from io import StringIO
from pathlib import Path
from typing import TextIO, TypeVar

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.model import Change, Comparison, Outcome, PathResult, Run, Verdict
from harness.shown import few, one_line

_Result = TypeVar("_Result", PathResult, Comparison)
_Found = TypeVar("_Found")

STYLE = {
    Outcome.PASS: "green",
    Outcome.LOOP: "red",
    Outcome.STALE: "red",
    Outcome.CORRUPT: "bold red",
    Outcome.SPLAT: "bold red",
    Outcome.HANG: "bold red",
}
_VERDICT_STYLE = {
    Verdict.FIXES: "bold green",
    Verdict.BASE_UNAFFECTED: "bold yellow",
    Verdict.INCONCLUSIVE: "bold yellow",
}

_WIDTH = 116
_FOLD_FROM = 24
"""Paths from which on those that are as they should be are only counted."""
_WIDTHS = {"stalls": 6, "TLBI": 4, "calls": 5, "base": 7, "patched": 7, "outcome": 7, "": 10}
_MOST_REASONS = 12
_MOST = 4
"""Compiler warnings, and findings of checkpatch, that are shown."""


def show(run: Run, stream: TextIO, *, folder: Path | None = None) -> None:
    """Print the result of ``run``; colours only where ``stream`` is a terminal that wants them."""
    _print(run, console_for(stream, _WIDTH), folder)


def plain(run: Run) -> str:
    """The same as text, 100 columns."""
    return captured(show, run)


def captured(show: Callable[[_Found, TextIO], None], found: _Found) -> str:
    """What a report's ``show`` prints of ``found`` where there is no terminal."""
    stream = StringIO()
    show(found, stream)
    return stream.getvalue()


def console_for(stream: TextIO, width: int) -> Console:
    """A console on ``stream``: with the terminal's own colours and width, or plain and ``width`` columns wide."""
    if stream.isatty():
        return Console(file=stream, highlight=False)
    return Console(file=stream, highlight=False, width=width, color_system=None)


def _print(run: Run, console: Console, folder: Path | None) -> None:
    if run.judgement is None:
        table, folded = _single(run)
        said, dearer = "pass", ""
    else:
        table, folded = pairs(run.judgement.comparisons)
        said, dearer = "pass on both", _dearer(run.judgement.comparisons)
    if table.row_count:
        console.print(table)
    if folded:
        console.print(
            Text(f"passed   {folded} {'more ' if table.row_count else ''}paths {said} (all of them: results.ktap)")
        )
    if dearer and folded:
        console.print(Text(f"dearer   {dearer}"), soft_wrap=True)
    for line in _few(_reasons(run), _MOST_REASONS):
        console.print(Text(f"why      {line[:300]}"), soft_wrap=True)
    if run.series.patches:
        console.print(Text(f"patch    {one_line(run.series.title)}"))
        for patch in run.series.patches if len(run.series.patches) > 1 else ():
            console.print(Text(f"         {one_line(patch.subject)}"))
    console.print(Text(f"kernel   {run.kernel.version}  ({one_line(run.kernel.origin)})"), soft_wrap=True)
    if run.base_why:
        console.print(Text(f"base     {one_line(run.base_why)}"), soft_wrap=True)
    if len(run.setups) > 1:
        console.print(Text(f"setups   {', '.join(s.name for s in run.setups)}"))
    if run.patched is not None:
        console.print(Text(f"rebuilt  {run.patched.objects} objects of {run.base.objects}"))
    for name, lines in (("warnings", run.checks.warnings), ("style", run.checks.checkpatch)):
        for line in _few(lines):
            console.print(Text(f"{name:8} {one_line(line)}"), soft_wrap=True)
    for line in _mended(run):
        console.print(Text(f"mended   {one_line(line)}"), soft_wrap=True)
    for record in run.records:
        for splat in record.boot_splats:
            console.print(Text(f"log      {record.variant} on {record.setup}: {one_line(splat.title)}"))
    for note in run.notes + (run.judgement.notes if run.judgement else ()):
        console.print(Text(f"note     {one_line(note)}"))
    if folder is not None:
        console.print(Text(f"results  {folder}"), soft_wrap=True)
    head = Text("VERDICT  " if run.judgement else "RESULT   ")
    if run.judgement:
        verdict = run.judgement.verdict
        head.append(str(verdict), style=_VERDICT_STYLE.get(verdict, "bold red"))
        head.append(f": {one_line(run.summary)}")
    else:
        head.append(one_line(run.summary))
    console.print(head, soft_wrap=not console.is_terminal)


def _mended(run: Run) -> list[str]:
    """What is known to mend the paths that loop, once for all that have the same; a verdict speaks for itself."""
    by: dict[str, list[str]] = {}
    for path, known in run.mended.items():
        by.setdefault(known, []).append(path)
    return [] if run.judgement else [f"{', '.join(paths)}: {known}" for known, paths in by.items()]


def _few(lines: Sequence[str], most: int = _MOST) -> list[str]:
    more = len(lines) - most
    return [*lines[:most], *([f"... and {more} more, in run.json"] if more > 0 else [])]


def pairs(comparisons: Sequence[Comparison]) -> tuple[Table, int]:
    """A row for each path, setups that agree in every number share it; and how many were left out."""
    table = _table("path", "setup", "base", "stalls", "TLBI", "calls", "patched", "stalls", "TLBI", "calls", "")
    folded = 0
    paths = _by_path(comparisons)
    for path, mine in paths.items():
        if len(paths) >= _FOLD_FROM and all(_nothing_to_tell(c) for c in mine):
            folded += any(c.base.outcome is Outcome.PASS for c in mine)
            continue
        rows = [
            (*_cells(c.base), *_cells(c.patched), "" if c.change is Change.SAME else str(c.change)) for c in mine
        ]
        add_path(table, path, [c.setup for c in mine], rows)
    return table, folded


def _nothing_to_tell(pair: Comparison) -> bool:
    """Passed, or skipped (which has a line of its own), with the patch as without."""
    return pair.base.outcome is pair.patched.outcome and pair.base.outcome in (Outcome.PASS, Outcome.SKIP)


def _dearer(comparisons: Sequence[Comparison]) -> str:
    """Which of the paths that pass on both now send more invalidations, and how many in all."""
    more = [
        (c.path, c.patched.tlbi - c.base.tlbi)
        for c in comparisons
        if c.base.outcome is Outcome.PASS and c.patched.outcome is Outcome.PASS and c.patched.tlbi > c.base.tlbi
    ]
    if not more:
        return ""
    names = few(list(dict.fromkeys(path for path, _ in more)))
    return f"{names}: {sum(count for _, count in more)} TLBI more than on the base"


def _single(run: Run) -> tuple[Table, int]:
    table = _table("path", "setup", "outcome", "stalls", "TLBI", "calls")
    paths = _by_path([r for record in run.records if record.variant == "base" for r in record.results])
    folded = 0
    for path, mine in paths.items():
        if len(paths) >= _FOLD_FROM and all(r.outcome in (Outcome.PASS, Outcome.SKIP) for r in mine):
            folded += any(r.outcome is Outcome.PASS for r in mine)
            continue
        add_path(table, path, [r.setup for r in mine], [_cells(r) for r in mine])
    return table, folded


def _by_path(results: Sequence[_Result]) -> dict[str, list[_Result]]:
    paths: dict[str, list[_Result]] = {}
    for result in results:
        paths.setdefault(result.path, []).append(result)
    return paths


def add_path(table: Table, path: str, setups: Sequence[str], rows: Sequence[Sequence[Text | str]]) -> None:
    """The rows of one path, one for each setup; setups that agree in every cell share one."""
    if len(setups) > 1 and all([str(c) for c in row] == [str(c) for c in rows[0]] for row in rows):
        table.add_row(path, "all", *rows[0])
        return
    for number, (setup, row) in enumerate(zip(setups, rows, strict=True)):
        table.add_row("" if number else path, setup, *row)


def _table(*columns: str) -> Table:
    table = Table(box=SIMPLE, pad_edge=False, collapse_padding=True)
    for name in columns:
        number = name in ("stalls", "TLBI", "calls")
        # What a narrow terminal shortens is the name, never an outcome or a count.
        table.add_column(
            name,
            justify="right" if number else "left",
            no_wrap=name not in ("path", "setup"),
            overflow="fold",
            min_width=_WIDTHS.get(name, 1),
        )
    return table


def _cells(result: PathResult) -> tuple[Text, str, str, str]:
    outcome = Text(str(result.outcome), style=STYLE.get(result.outcome, "yellow"))
    if result.outcome in (Outcome.SKIP, Outcome.HANG, Outcome.SPLAT, Outcome.ERROR) and not result.facts:
        return outcome, "-", "-", "-"
    return outcome, str(result.stalls), str(result.tlbi), str(result.notifier_calls)


def _reasons(run: Run) -> list[str]:
    """A line for each outcome that the table alone does not explain; paths skipped for one reason share it."""
    lines = []
    skipped: dict[str, dict[str, None]] = {}
    for record in run.records:
        if record.variant not in ("base", "patched"):
            continue
        for r in record.results:
            if r.outcome is Outcome.SKIP:
                skipped.setdefault(one_line(r.reason), {})[r.path] = None
            elif r.outcome not in (Outcome.PASS, Outcome.LOOP):
                lines.append(f"{r.path} on {r.setup}, {record.variant} {r.outcome}: {one_line(r.reason)}")
    return lines + [f"{few(list(paths))} SKIP: {reason}" for reason, paths in skipped.items()]
