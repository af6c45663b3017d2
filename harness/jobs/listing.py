# SPDX-License-Identifier: GPL-2.0-or-later
"""``faultloop workloads``: which paths there are."""

from __future__ import annotations

from typing import TextIO

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from harness import layout
from harness.sources import catalogue


def workloads(stream: TextIO) -> None:
    """Print the catalogue of paths."""
    table = Table(box=SIMPLE, pad_edge=False)
    for column in ("path", "family", "what", "kernel functions"):
        table.add_column(column)
    for row in catalogue.workloads(layout.project().guest_tests / "workloads" / "catalogue.yaml"):
        table.add_row(row.path, row.family, row.what, ", ".join(row.functions))
    Console(file=stream, highlight=False, width=None if stream.isatty() else 120).print(table)
