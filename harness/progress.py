# SPDX-License-Identifier: GPL-2.0-or-later
"""Tell the user which step runs, for how long, and how long the last one like it took.

On a terminal one live line; elsewhere (or with ``NO_COLOR`` or ``TERM=dumb``) a plain line when a step starts
and one when it ends. How long steps take is remembered in the cache folder; it is shown, never judged by.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from harness.shown import one_line
from harness.shown import printable as printable

if TYPE_CHECKING:
    from rich.status import Status

_SHOW_EVERY = 0.2
"""Seconds between redrawings of the live line."""


class Progress:
    """Steps of one run, told on ``stream``."""

    def __init__(self, memory: Path | None = None, *, stream: TextIO = sys.stderr, quiet: bool = False) -> None:
        self._memory = memory
        self._stream = stream
        self._quiet = quiet
        plain = not stream.isatty() or "NO_COLOR" in os.environ or os.environ.get("TERM", "dumb") == "dumb"
        self._plain = plain

    def say(self, text: str) -> None:
        """One line for the user, kept on screen."""
        if not self._quiet:
            print(one_line(text), file=self._stream, flush=True)

    @contextmanager
    def step(self, name: str, *, like: str = "") -> Iterator[Step]:
        """A step of the run; ``like`` names its kind for the memory of how long such steps take."""
        kind = like or name
        expected = self._recall().get(kind)
        step = Step(name, expected, self._live() if not self._plain and not self._quiet else None)
        if self._plain:
            self.say(f"{name} ..." + (f" (last time {_span(expected)})" if expected else ""))
        try:
            yield step
        finally:
            step.stop()
        if step.worked:
            self._remember(kind, step.seconds)
            self.say(f"{name}: {_span(step.seconds)}" + (f", {step.note}" if step.note else ""))
        elif step.note:
            self.say(f"{name}: {step.note}")

    def _live(self) -> Status:
        from rich.console import Console

        return Console(file=self._stream).status("")

    def _recall(self) -> dict[str, float]:
        if self._memory is None:
            return {}
        with suppress(OSError, ValueError):
            data = json.loads(self._memory.read_text(encoding="utf-8"))
            if isinstance(data, dict):
                return {k: float(v) for k, v in data.items() if isinstance(v, int | float)}
        return {}

    def _remember(self, kind: str, seconds: float) -> None:
        if self._memory is None:
            return
        table = self._recall() | {kind: round(seconds, 1)}
        new = self._memory.with_suffix(f".{os.getpid()}.tmp")
        with suppress(OSError):
            self._memory.parent.mkdir(parents=True, exist_ok=True)
            new.write_text(json.dumps(table, indent=1), encoding="utf-8")
            new.replace(self._memory)


class Step:
    """A step that runs. ``note`` is told when it ends; ``worked`` is False if all came from the cache."""

    def __init__(self, name: str, expected: float | None, live: Status | None) -> None:
        self.note = ""
        self.worked = True
        self._name = name
        self._expected = expected
        self._live = live
        self._started = time.monotonic()
        self._shown = 0.0
        self.seconds = 0.0
        if live is not None:
            live.start()
            self.update("")

    def update(self, text: str) -> None:
        """What it is doing right now; shown on the live line, some times a second at most."""
        now = time.monotonic()
        if self._live is None or now - self._shown < _SHOW_EVERY:
            return
        self._shown = now
        from rich.text import Text

        expected = f" of about {_span(self._expected)}" if self._expected else ""
        line = f"{self._name}: {_span(now - self._started)}{expected}  {text}"
        self._live.update(Text(one_line(line)[:200]))

    def stop(self) -> None:
        self.seconds = time.monotonic() - self._started
        if self._live is not None:
            self._live.stop()


def _span(seconds: float | None) -> str:
    if seconds is None:
        return "?"
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{int(seconds // 60)} min {int(seconds % 60)} s"
