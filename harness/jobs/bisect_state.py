# SPDX-License-Identifier: GPL-2.0-or-later
"""What a bisection knows so far, on disk: ``bisect-state.json``, whole or as it was before.

It is all that counts after a kill. Git's own state is made anew from it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from harness.bisected import Key, Step
from harness.model import Outcome
from harness.sought import Mark

FILE = "bisect-state.json"
LOG = "bisect.log"
SCHEMA = "faultloop/bisect-state/1"

Run = tuple[tuple[str, str, Outcome], ...]
"""Outcomes of one run of a commit: path, setup, outcome."""


@dataclass(frozen=True, slots=True)
class State:
    """See the module's text."""

    asked: Mapping[str, str]
    """What was asked for: another question has a folder of its own."""
    environment: Mapping[str, str]
    """Emulator and guest: what was found with others does not count."""
    steps: tuple[Step, ...] = ()
    """Commits that are judged, in order."""
    marks: tuple[tuple[str, Mark], ...] = ()
    """What git was told, in order."""
    runs: Mapping[str, tuple[Run, ...]] = field(default_factory=dict)
    """Runs by commit, also of one that is not judged yet."""
    watched: tuple[Key, ...] = ()
    seconds: float = 0.0
    """Of all calls so far."""
    schema: str = SCHEMA

    def step(self, sha: str) -> Step | None:
        """What is known of a commit."""
        return next((step for step in self.steps if step.sha == sha), None)

    def with_step(self, step: Step) -> State:
        return replace(self, steps=(*(s for s in self.steps if s.sha != step.sha), step))

    def with_run(self, sha: str, run: Run) -> State:
        return replace(self, runs={**self.runs, sha: (*self.runs.get(sha, ()), run)})


_FORM = TypeAdapter(State)


def load(folder: Path, asked: Mapping[str, str], environment: Mapping[str, str]) -> tuple[State, str]:
    """What is known; and, when what was found cannot count any more, why."""
    new = State(asked=dict(asked), environment=dict(environment))
    try:
        state = _FORM.validate_json((folder / FILE).read_bytes())
    except FileNotFoundError:
        return new, ""
    except ValidationError:
        return new, f"{folder / FILE}: of another version, or damaged"
    if state.schema != SCHEMA or dict(state.asked) != dict(asked):
        return new, f"{folder / FILE}: of another version"
    changed = [key for key, value in environment.items() if state.environment.get(key) != value]
    if changed:
        return new, f"what was found before was found with another {' and '.join(changed)}"
    return state, ""


def save(folder: Path, state: State) -> None:
    """Put ``state`` in the place of what was there."""
    write(folder / FILE, _FORM.dump_json(state, indent=1))


def write(path: Path, content: bytes) -> None:
    """A file that appears whole, also over a loss of power."""
    new = path.with_name(f".{path.name}.{os.getpid()}")
    with new.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
