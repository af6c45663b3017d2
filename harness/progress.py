# SPDX-License-Identifier: GPL-2.0-or-later
"""Tell the user which step runs, for how long, how far it is, and how long the last one like it took.

On a terminal one live line with a bar; elsewhere (or with ``NO_COLOR`` or ``TERM=dumb``) a plain line when a step
starts, one a minute while it lasts, and one when it ends. How long steps take, and how many objects a build
compiles, is remembered in the cache folder; it is shown, never judged by.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from harness.shown import one_line
from harness.shown import printable as printable

if TYPE_CHECKING:
    from harness.live import Line

_SAY_EVERY = 60.0
"""Seconds between plain lines of a step that lasts."""
_COUNTED = "objects of "
"""In the memory, before a step's kind: how many there were."""


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
        memory = self._recall()
        expected, total = memory.get(kind), int(memory.get(_COUNTED + kind, 0))
        live = None if self._plain or self._quiet else self._live()
        step = Step(name, expected, total, live, self.say if self._plain else None)
        if self._plain:
            self.say(f"{name} ..." + (f" (last time {_span(expected)})" if expected else ""))
        try:
            yield step
        finally:
            step.stop()
        if step.worked:
            self._remember(kind, step, total)
            self.say(f"{name}: {_span(step.seconds)}" + (f", {step.note}" if step.note else ""))
        elif step.note:
            self.say(f"{name}: {step.note}")

    def _live(self) -> Line:
        from harness.live import Line

        return Line(self._stream)

    def _recall(self) -> dict[str, float]:
        if self._memory is None:
            return {}
        with suppress(OSError, ValueError):
            data = json.loads(self._memory.read_text(encoding="utf-8"))
            if isinstance(data, dict):
                return {k: float(v) for k, v in data.items() if isinstance(v, int | float)}
        return {}

    def _remember(self, kind: str, step: Step, total: int) -> None:
        """A build that compiled little of it (a new driver, say) says nothing of the next whole one."""
        if self._memory is None or 2 * step.done < total:
            return
        new_facts: dict[str, float] = {kind: round(step.seconds, 1)}
        if step.done and not step.exact:
            new_facts[_COUNTED + kind] = step.done
        new = self._memory.with_suffix(f".{os.getpid()}.tmp")
        with suppress(OSError):
            self._memory.parent.mkdir(parents=True, exist_ok=True)
            new.write_text(json.dumps(self._recall() | new_facts, indent=1), encoding="utf-8")
            new.replace(self._memory)


class Step:
    """A step that runs. ``note`` is told when it ends; ``worked`` is False if all came from the cache."""

    def __init__(
        self, name: str, expected: float | None, total: int, live: Line | None, say: Callable[[str], None] | None
    ) -> None:
        self.note = ""
        self.worked = True
        self.done = 0
        """Things that are done: objects, guests."""
        self.exact = False
        """How many there will be is known, not guessed from the last time."""
        self._total = total
        self._noun = "objects"
        self._name = name
        self._expected = expected
        self._text = ""
        self._live = live
        self._say = say
        self._started = self._said = time.monotonic()
        self.seconds = 0.0
        if live is not None:
            live.start(lambda: (self._name, self._far(), self.told(), self._text))

    def count(self, done: int, total: int = 0, noun: str = "objects") -> None:
        """How many are done, and of how many if that is known; shown from now on."""
        self.done, self._noun = done, noun
        if total:
            self._total, self.exact = total, True

    def counter(self, total: int, noun: str) -> Callable[[str], None]:
        """To be called with the name of each that is done."""

        def on_done(text: str) -> None:
            self.count(self.done + 1, total, noun)
            self.update(text)

        return on_done

    def update(self, text: str) -> None:
        """What it is doing right now."""
        self._text = one_line(text)
        now = time.monotonic()
        if self._say is not None and now - self._said >= _SAY_EVERY:
            self._said = now
            self._say(f"{self._name}: {self.told()}")

    def told(self) -> str:
        """``2 min 5 s of about 9 min 1 s, 300 of about 960 objects``."""
        parts = [
            _span(time.monotonic() - self._started)
            + (f" of about {_span(self._expected)}" if self._expected else "")
        ]
        if self.done:
            of = (
                ""
                if not self._total or self.done > self._total
                else f" of {'' if self.exact else 'about '}{self._total}"
            )
            parts.append(f"{self.done}{of} {self._noun}")
        return ", ".join(parts)

    def _far(self) -> float | None:
        """How far it is, 0 to 1, by count if there is one, else by time; None when neither is known."""
        if self.done and self._total:
            return min(1.0, self.done / self._total)
        return min(1.0, (time.monotonic() - self._started) / self._expected) if self._expected else None

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
