# SPDX-License-Identifier: GPL-2.0-or-later
"""The one line of a terminal that moves while a step runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TextIO

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

State = tuple[str, float | None, str, str]
"""What runs; how far, 0 to 1, or None where only that it goes on is known; the same in words; what it does now."""

_BAR = 16


class Line:
    """Spinner, what runs, a bar, how far it is, and what it does right now; gone without a trace when it stops."""

    def __init__(self, stream: TextIO) -> None:
        self._spinner = Spinner("dots", style="cyan")
        self._console = Console(file=stream)
        self._live: Live | None = None

    def start(self, state: Callable[[], State]) -> None:
        """Show what ``state`` says, some times a second."""
        self._live = Live(
            console=self._console, transient=True, refresh_per_second=5, get_renderable=lambda: self._row(*state())
        )
        self._live.start()

    def stop(self) -> None:
        if self._live is not None:
            self._live.stop()

    def _row(self, name: str, far: float | None, told: str, text: str) -> Table:
        row = Table.grid(padding=(0, 1))
        for _ in range(4):
            row.add_column(no_wrap=True)
        row.add_column(no_wrap=True, overflow="ellipsis")
        known = far is not None
        bar = ProgressBar(total=1.0 if known else None, completed=far or 0.0, width=_BAR, pulse=not known)
        row.add_row(self._spinner, Text(name, style="bold"), bar, Text(told), Text(text, style="dim"))
        return row
