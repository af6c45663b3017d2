# SPDX-License-Identifier: GPL-2.0-or-later
"""The table of ``faultloop catalogue``: patches, what was expected of each, and what came out."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any, TextIO

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness import __version__
from harness.expected import Applied, Fit, Result, Tried
from harness.report.text import console_for
from harness.shown import one_line

SCHEMA = "faultloop/catalogue/1"
_WIDTH = 150
_GOOD = (Result.AS_EXPECTED, Result.APPLIES)


def show(tried: Sequence[Tried], stream: TextIO) -> None:
    """Print the table, then what is behind each row that is not in order."""
    console = console_for(stream, _WIDTH)
    ran = any(one.verdict is not None for one in tried)
    columns = ("patch", "kernel", "applies", *(("expected", "got") if ran else ()), "", "paths that differ")
    table = Table(box=SIMPLE, pad_edge=False, collapse_padding=True)
    for name in columns:
        table.add_column(name, no_wrap=name != columns[-1])
    for one in tried:
        verdicts = (str(one.row.verdict), str(one.verdict or "-")) if ran else ()
        result = Text(str(one.result), style="green" if one.result in _GOOD else "bold red")
        base, *also = one.applied or [None]
        table.add_row(one.row.name, *_fit(base, one.row.base), *verdicts, result, ", ".join(one.paths))
        for more in also:
            table.add_row("", *_fit(more, ""), *("" for _ in verdicts), "", "")
    console.print(table)
    for one in tried:
        _details(one, console)
    counts = Counter(str(one.result) for one in tried)
    console.print(Text("RESULT   " + ", ".join(f"{count} {result}" for result, count in counts.items())))


def _fit(applied: Applied | None, series: str) -> tuple[str, str]:
    if applied is None:
        return series, "-"
    return f"{applied.kernel.name} ({applied.kernel.version})", str(applied.fit)


def _details(one: Tried, console: Console) -> None:
    lines = [("differs", text) for text in one.differences]
    for applied in one.applied:
        if applied.fit is not Fit.EXACT:
            word = "drift" if applied.fit.drifted else "moved"
            lines.append((word, f"{applied.kernel.name} ({applied.kernel.version}): {applied.note}"))
            lines += [("", line) for line in applied.detail.splitlines()]
    lines += [("", line) for line in one.detail.splitlines()]
    if one.result not in _GOOD and one.folder is not None:
        lines.append(("results", str(one.folder)))
    if one.verdict is not None and one.row.flaw:
        lines.append(("flaw", one.row.flaw))
    if lines:
        console.print(Text(one.row.name))
    for word, text in lines:
        console.print(Text(f"  {word:8} {one_line(text)}"), soft_wrap=True)


def dump(tried: Sequence[Tried], status: int) -> str:
    """All of it as JSON."""
    found = {
        "schema": SCHEMA,
        "faultloop": __version__,
        "exit_status": status,
        "patches": [_document(one) for one in tried],
    }
    return json.dumps(found, indent=1, ensure_ascii=True) + "\n"


def _document(one: Tried) -> dict[str, Any]:
    return {
        "patch": one.row.file,
        "base": one.row.base,
        "result": str(one.result),
        "applies": [
            {
                "kernel": a.kernel.name,
                "version": a.kernel.version,
                "origin": a.kernel.origin,
                "fit": str(a.fit),
                "note": a.note,
                "detail": a.detail,
            }
            for a in one.applied
        ],
        "expected": str(one.row.verdict),
        "got": str(one.verdict) if one.verdict else None,
        "paths": list(one.paths),
        "differences": list(one.differences),
        "detail": one.detail,
        "flaw": one.row.flaw,
        "results": str(one.folder) if one.folder else None,
    }
