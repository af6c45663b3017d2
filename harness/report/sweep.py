# SPDX-License-Identifier: GPL-2.0-or-later
"""The matrix of ``faultloop sweep``: rows paths, columns setups, a block a kernel; and why what loops does."""

from __future__ import annotations

import json
import string
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any, TextIO

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness import __version__
from harness.model import Kernel, Outcome, PathResult
from harness.oracle.explain import Explanation, explain
from harness.report.text import STYLE, captured, console_for
from harness.shown import one_line
from harness.swept import Cell, Sweep

SCHEMA = "faultloop/sweep/1"
_WIDTH = 110
_EXPLAINED = (Outcome.LOOP, Outcome.STALE)


def show(sweep: Sweep, stream: TextIO) -> None:
    """Print the matrix, the reasons and the result."""
    _print(sweep, console_for(stream, _WIDTH))


def plain(sweep: Sweep) -> str:
    """The same as text."""
    return captured(show, sweep)


def _print(sweep: Sweep, console: Console) -> None:
    letters = _letters(sweep)
    for kernel in sweep.kernels:
        console.print(Text(f"{kernel.version}  ({kernel.origin})"), soft_wrap=True)
        console.print(_matrix(sweep, kernel, letters))
    console.print(Text("setups   " + ", ".join(f"{letter} {name}" for name, letter in letters.items())))
    for cell in sweep.cells:
        for splat in cell.splats:
            console.print(Text(f"log      {cell.name}: {one_line(splat.title)}"))
        if cell.error:
            console.print(Text(f"no run   {cell.name}: {one_line(cell.error)}"))
    for outcome, line in _why(sweep, letters):
        console.print(Text(f"{outcome:8} ", style=STYLE.get(outcome, "yellow")).append(line, style="default"))
    for line in _unforeseen(sweep, letters):
        console.print(Text("unlike   ", style="yellow").append(line, style="default"))
    if sweep.known:
        console.print(Text(f"known    {sweep.known} of {len(sweep.cells)} guests, from earlier runs"))
    if sweep.folder is not None:
        console.print(Text(f"results  {sweep.folder}"), soft_wrap=True)
    console.print(Text(f"RESULT   {summary(sweep)}"), soft_wrap=True)


def summary(sweep: Sweep) -> str:
    """The result in one sentence."""
    parts = []
    for kernel in sweep.kernels:
        results = [r for cell, r in sweep.results() if cell.kernel.digest == kernel.digest]
        bad = {o: len({r.path for r in results if r.outcome is o}) for o in Outcome if o.bad}
        counts = ", ".join(f"{count} paths {outcome}" for outcome, count in bad.items() if count)
        parts.append(f"{kernel.version}: {counts or ('clean' if results else 'not run')}")
    errors = sum(bool(cell.error) for cell in sweep.cells)
    return "; ".join(parts) + (f"; {errors} of {len(sweep.cells)} guests did not run" if errors else "")


def _letters(sweep: Sweep) -> dict[str, str]:
    """A letter for each setup: names are too long for columns."""
    names = list(dict.fromkeys(cell.setup.name for cell in sweep.cells))
    signs = [*string.ascii_lowercase, *(f"s{n}" for n in range(27, len(names) + 1))]
    return dict(zip(names, signs, strict=False))


def _matrix(sweep: Sweep, kernel: Kernel, letters: dict[str, str]) -> Table:
    """Setups that agree on every path share a column."""
    columns: dict[tuple[str, ...], list[str]] = {}
    for cell in sweep.of(kernel):
        outcomes = tuple(_outcome(cell, w.path) for w in sweep.workloads)
        columns.setdefault(outcomes, []).append(letters[cell.setup.name])
    table = Table(box=SIMPLE, pad_edge=False, collapse_padding=True)
    table.add_column("path", no_wrap=True)
    for names in columns.values():
        table.add_column(" ".join(names))
    for number, workload in enumerate(sweep.workloads):
        table.add_row(workload.path, *(_styled(outcomes[number]) for outcomes in columns))
    return table


def _outcome(cell: Cell, path: str) -> str:
    result = cell.result(path)
    return str(result.outcome) if result else "-"


def _styled(outcome: str) -> Text:
    return Text(outcome, style=STYLE.get(Outcome(outcome), "yellow") if outcome != "-" else "")


def _why(sweep: Sweep, letters: dict[str, str]) -> Iterator[tuple[Outcome, str]]:
    """Every outcome but PASS with its reason: once for all setups of a kernel that have the same."""
    for kernel in sweep.kernels:
        groups: dict[tuple[str, Outcome, Explanation | str], list[tuple[Cell, PathResult]]] = {}
        for cell in sweep.of(kernel):
            for result in cell.record.results if cell.record else ():
                if result.outcome is not Outcome.PASS:
                    why = explain(result) if result.outcome in _EXPLAINED else result.reason
                    groups.setdefault((result.path, result.outcome, why), []).append((cell, result))
        alike: dict[tuple[Outcome, str], list[str]] = {}
        for (path, outcome, why), found in groups.items():
            where = f"on {kernel.version} [{' '.join(letters[cell.setup.name] for cell, _ in found)}]"
            if isinstance(why, str):
                alike.setdefault((outcome, f"{where}: {one_line(why)}"), []).append(path)
            else:
                mended = sweep.mended.get(kernel.digest, {}).get(path, "")
                yield outcome, f"{path} {where}" + _in_words(why, found[0][1], mended)
        for (outcome, rest), paths in alike.items():
            yield outcome, f"{', '.join(paths)} {rest}"


def _unforeseen(sweep: Sweep, letters: dict[str, str]) -> Iterator[str]:
    """What is not as the catalogue expects, once for all setups of a kernel that have the same."""
    for kernel in sweep.kernels:
        groups: dict[tuple[str, Outcome, Outcome], list[str]] = {}
        for cell in sweep.of(kernel):
            for result in cell.unforeseen:
                key = (result.path, result.outcome, cell.foreseen[result.path])
                groups.setdefault(key, []).append(letters[cell.setup.name])
        for (path, outcome, wanted), setups in groups.items():
            yield f"{path} on {kernel.version} [{' '.join(setups)}]: {outcome}, {wanted} was expected"


def _in_words(why: Explanation, first: PathResult, mended: str) -> str:
    """Function, PTE before and after, cached entry, invalidations; numbers are of the first setup."""
    facts = {key: one_line(value) for key, value in first.facts.items()}
    lines = [
        f"ran      {', '.join(why.functions) or 'no function that is probed'}",
        f"PTE      {facts.get('pte_before', '-')} ({why.before}) -> {facts.get('pte_after', '-')} ({why.after})",
        f"cached   {why.cached}; at the end {why.still_cached}; {first.stalls} stalls",
        f"told     {why.tlbi} TLBI commands, notifier called {why.notifier} times for the page",
    ]
    audit = facts.get("audit_operation_first") or facts.get("audit_end_first")
    lines += [f"audit    {audit}"] if audit else []
    lines += [f"reason   {one_line(why.reason)}"] if why.reason else []
    lines += [f"mended   {one_line(mended)}"] if mended else []
    return "".join(f"\n           {line}" for line in lines)


def dump(sweep: Sweep, status: int) -> str:
    """All of it as JSON."""
    found = {
        "schema": SCHEMA,
        "faultloop": __version__,
        "exit_status": status,
        "summary": summary(sweep),
        "seconds": round(sweep.seconds, 1),
        "guests_known": sweep.known,
        "paths": [w.path for w in sweep.workloads],
        "cells": [_cell(cell, sweep.mended.get(cell.kernel.digest, {})) for cell in sweep.cells],
        "results": str(sweep.folder) if sweep.folder else None,
    }
    return json.dumps(found, indent=1, ensure_ascii=True) + "\n"


def _cell(cell: Cell, mended: Mapping[str, str]) -> dict[str, Any]:
    results: Sequence[PathResult] = cell.record.results if cell.record else ()
    return {
        "kernel": {"name": cell.kernel.name, "version": cell.kernel.version, "origin": cell.kernel.origin},
        "image_sha256": cell.built.image_sha256 if cell.built else None,
        "setup": asdict(cell.setup),
        "error": cell.error,
        "mended": dict(mended),
        "log": [splat.title for splat in cell.splats],
        "paths": {
            r.path: {
                "outcome": str(r.outcome),
                "expected": cell.foreseen.get(r.path),
                "reason": r.reason,
                "stalls": r.stalls,
                "tlbi": r.tlbi,
                "notifier_calls": r.notifier_calls,
                "facts": dict(r.facts),
                "why": asdict(explain(r)) if r.outcome in _EXPLAINED else None,
            }
            for r in results
        },
    }
