# SPDX-License-Identifier: GPL-2.0-or-later
"""What came of a bundle: path by path, whether it did again what was recorded."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TextIO

from rich.box import SIMPLE
from rich.table import Table
from rich.text import Text

from harness.model import CONTROLS, Outcome
from harness.report.text import STYLE, console_for

SCHEMA = "faultloop/reproduced/1"
_WIDTH = 116
_FOLD_FROM = 24


@dataclass(frozen=True, slots=True)
class Again:
    """One path of one guest."""

    path: str
    setup: str
    variant: str
    recorded: Outcome
    now: Outcome
    reason: str = ""
    """Of an outcome that differs."""

    @property
    def same(self) -> bool:
        return self.recorded is self.now


@dataclass(frozen=True, slots=True)
class Found:
    """A bundle's run, had again."""

    summary: str
    """The recorded one's."""
    emulator: str
    """Whose was run."""
    recorded_status: int
    paths: tuple[Again, ...]


def show(found: Found, stream: TextIO) -> None:
    """A row for each path, those that are the same only counted where there are many."""
    console = console_for(stream, _WIDTH)
    rows = [a for a in found.paths if not a.same or len(found.paths) < _FOLD_FROM]
    table = Table(box=SIMPLE, pad_edge=False)
    for name in ("path", "setup", "kernel", "recorded", "now", ""):
        table.add_column(name, overflow="fold")
    for a in rows:
        kernel = f"base, {CONTROLS[a.variant]}" if a.variant in CONTROLS else a.variant
        said = "same outcome" if a.same else "DIFFERS"
        table.add_row(a.path, a.setup, kernel, _outcome(a.recorded), _outcome(a.now), said)
    if rows:
        console.print(table)
    for a in rows:
        if a.reason:
            console.print(Text(f"why      {a.path} on {a.setup}, {a.variant}: {a.reason[:300]}"), soft_wrap=True)
    same = sum(a.same for a in found.paths)
    console.print(Text(f"emulator {found.emulator}"))
    console.print(Text(f"recorded {found.summary}"), soft_wrap=True)
    head = Text("RESULT   ")
    head.append(
        "same" if same == len(found.paths) else "differs", "bold green" if same == len(found.paths) else "bold red"
    )
    head.append(f": {same} of {len(found.paths)} outcomes are as recorded")
    console.print(head)


def dump(found: Found, status: int) -> str:
    """The same for programs."""
    rows = [{**asdict(a), "same": a.same} for a in found.paths]
    told = {"schema": SCHEMA, "exit_status": int(status), **asdict(found), "paths": rows}
    return json.dumps(told, indent=1) + "\n"


def _outcome(outcome: Outcome) -> Text:
    return Text(str(outcome), style=STYLE.get(outcome, "yellow"))
