# SPDX-License-Identifier: GPL-2.0-or-later
"""The table of ``faultloop coverage``: functions that raise an entry, and which workloads had them do it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TextIO

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness import __version__
from harness.coverage import Coverage, Row, State
from harness.report.text import captured, console_for
from harness.shown import printable

SCHEMA = "faultloop/coverage/1"
_WIDTH = 150
_MOST = 4
_STYLE = {State.COVERED: "green", State.EXCUSED: "yellow", State.MISSING: "bold red"}


def show(coverage: Coverage, stream: TextIO) -> None:
    """Print the table and the result."""
    _print(coverage, console_for(stream, _WIDTH))


def plain(coverage: Coverage) -> str:
    """The same as text."""
    return captured(show, coverage)


def summary(coverage: Coverage) -> str:
    """The result in one sentence."""
    counts = {state: sum(row.state is state for row in coverage.rows) for state in State}
    text = f"{counts[State.COVERED]} covered, {counts[State.EXCUSED]} not run for a reason"
    if counts[State.MISSING]:
        text += f", {counts[State.MISSING]} NOT COVERED: {', '.join(_name(row) for row in coverage.missing)}"
    return text + (f"; {len(coverage.faults)} doubts" if coverage.faults else "")


def _print(coverage: Coverage, console: Console) -> None:
    table = Table(box=SIMPLE, pad_edge=False, collapse_padding=True)
    for name in ("function", "source", "", "workloads, or the reason"):
        table.add_column(name, no_wrap=name in ("function", ""), overflow="fold")
    for state in State:
        for row in coverage.rows:
            if row.state is state:
                text = _by(row) if row.hits else _why(row)
                place = f"{row.upgrader.file}:{row.upgrader.line}"
                table.add_row(_name(row), place, Text(str(state), style=_STYLE[state]), printable(text))
    console.print(table)
    for fault in coverage.faults:
        console.print(Text(f"doubt    {printable(fault)}"), soft_wrap=True)
    console.print(Text(f"kernel   {coverage.kernel.version}  ({coverage.kernel.origin})"), soft_wrap=True)
    console.print(Text(f"setups   {', '.join(s.name for s in coverage.setups)}"))
    if coverage.folder is not None:
        console.print(Text(f"results  {coverage.folder}"), soft_wrap=True)
    console.print(Text(f"RESULT   {summary(coverage)}"), soft_wrap=True)


def _name(row: Row) -> str:
    return row.upgrader.name + (f" ({row.part})" if row.part else "")


def _by(row: Row) -> str:
    """Workloads that raised it in place come first; one that only replaced the page says so."""
    paths: dict[str, bool] = {}
    for hit in row.hits:
        paths[hit.path] = paths.get(hit.path, False) or hit.same_frame
    ordered = sorted(paths, key=lambda path: not paths[path])
    shown = [path if paths[path] else f"{path} (another page)" for path in ordered[:_MOST]]
    more = len(ordered) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def _why(row: Row) -> str:
    if not row.ran:
        return row.why
    more = ", ..." if len(row.ran) > _MOST else ""
    return f"{row.why} (it ran in {', '.join(row.ran[:_MOST])}{more}, with the page not cached read-only)"


def dump(coverage: Coverage, status: int) -> str:
    """All of it as JSON."""
    found = {
        "schema": SCHEMA,
        "faultloop": __version__,
        "exit_status": status,
        "summary": summary(coverage),
        "kernel": {
            "name": coverage.kernel.name,
            "version": coverage.kernel.version,
            "origin": coverage.kernel.origin,
            "image_sha256": coverage.built.image_sha256,
        },
        "setups": [asdict(setup) for setup in coverage.setups],
        "functions": [_document(row) for row in coverage.rows],
        "doubts": list(coverage.faults),
        "results": str(coverage.folder) if coverage.folder else None,
    }
    return json.dumps(found, indent=1, ensure_ascii=True) + "\n"


def _document(row: Row) -> dict[str, object]:
    hits: Sequence[dict[str, object]] = [
        {"path": h.path, "setup": h.setup, "outcome": str(h.outcome), "in_place": h.same_frame} for h in row.hits
    ]
    return {
        "function": row.upgrader.name,
        "part": row.part,
        "file": row.upgrader.file,
        "line": row.upgrader.line,
        "kind": str(row.upgrader.kind),
        "calls": [{"callee": c.callee, "line": c.line} for c in row.upgrader.calls],
        "state": str(row.state),
        "workloads": hits,
        "why": row.why,
        "ran_in": list(row.ran),
    }
