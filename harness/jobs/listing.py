# SPDX-License-Identifier: GPL-2.0-or-later
"""``faultloop workloads``: which paths there are."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TextIO

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from harness import layout
from harness.sources import catalogue


def workloads(stream: TextIO, *, as_json: bool = False) -> None:
    """Print the catalogue of paths, as a table or for programs."""
    rows = catalogue.workloads(layout.project().workloads)
    if as_json:
        told = {"schema": "faultloop/workloads/1", "workloads": [asdict(row) for row in rows]}
        print(json.dumps(told, indent=1), file=stream)
        return
    table = Table(box=SIMPLE, pad_edge=False)
    for column in ("path", "family", "what", "kernel functions"):
        table.add_column(column)
    for row in rows:
        table.add_row(row.path, row.family, row.what, ", ".join(row.functions))
    Console(file=stream, highlight=False, width=None if stream.isatty() else 120).print(table)
