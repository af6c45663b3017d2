# SPDX-License-Identifier: GPL-2.0-or-later
"""The history as a page: each path on each kernel, and run by run."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.past import Point
from harness.report.history import letter
from harness.report.html import OUTCOMES, render

MOST_RUNS = 40
"""Columns of the table of runs: the latest."""

CHANGED, STEADY = "changed", "steady"


@dataclass(frozen=True, slots=True)
class Run:
    """A run, or a night: a column."""

    name: str
    day: str
    time: str
    kernel: str
    job: str


@dataclass(frozen=True, slots=True)
class Course:
    """One path in one setup: a row."""

    path: str
    setup: str
    state: str
    change: str
    """Kernel, and from what to what, where its last two runs differ."""
    kernels: tuple[Point | None, ...]
    """The latest on each kernel version."""
    runs: tuple[Point | None, ...]

    @property
    def key(self) -> str:
        return f"{self.path} {self.setup}"

    @property
    def outcomes(self) -> str:
        return " ".join(dict.fromkeys(str(p.outcome) for p in (*self.kernels, *self.runs) if p))


def page(points: Sequence[Point]) -> str:
    """The page of ``points``, oldest first. Kernels as they are: what patches made of them is left out."""
    base = [p for p in points if p.variant == "base"]
    versions = sorted({p.version for p in base}, key=_natural)
    columns = {p.run: Run(p.run, p.started[:10], p.started[11:16], p.ref or p.version, p.job) for p in base}
    runs = list(columns.values())[-MOST_RUNS:]
    courses = [_course(key, mine, versions, runs) for key, mine in _by_row(base).items()]
    courses.sort(key=lambda c: c.state != CHANGED)
    changed = sum(c.state == CHANGED for c in courses)
    tally = [(state, count) for state, count in ((CHANGED, changed), (STEADY, len(courses) - changed)) if count]
    return render(
        "history.html.j2",
        courses=courses,
        versions=versions,
        runs=runs,
        left=len(columns) - len(runs),
        paths=len({c.path for c in courses}),
        changed=changed,
        tally=tally,
        outcomes=OUTCOMES,
        known=[str(o) for o in OUTCOMES if any(p.outcome is o for p in base)],
        letter=letter,
    )


def _by_row(points: Sequence[Point]) -> Mapping[tuple[str, str], list[Point]]:
    found: dict[tuple[str, str], list[Point]] = {}
    for point in points:
        found.setdefault((point.path, point.setup), []).append(point)
    return found


def _course(key: tuple[str, str], points: Sequence[Point], versions: Sequence[str], runs: Sequence[Run]) -> Course:
    latest = {p.version: p for p in points}
    by_run = {p.run: p for p in points}
    change = _change(points)
    return Course(
        *key,
        state=CHANGED if change else STEADY,
        change=change,
        kernels=tuple(latest.get(version) for version in versions),
        runs=tuple(by_run.get(run.name) for run in runs),
    )


def _change(points: Sequence[Point]) -> str:
    """What the last run of a kernel says otherwise than the one before; a kernel is what was asked for."""
    by_name: dict[str, list[Point]] = {}
    for point in points:
        by_name.setdefault(point.kernel, []).append(point)
    told = [
        f"{name}: {two[0].outcome} to {two[1].outcome}"
        for name, mine in by_name.items()
        if len(two := mine[-2:]) == 2 and two[0].outcome is not two[1].outcome
    ]
    return "; ".join(told)


def _natural(version: str) -> list[tuple[int, int | str]]:
    """6.12 after 6.1."""
    return [(0, int(part)) if part.isdigit() else (1, part) for part in re.findall(r"\d+|\D+", version)]
