# SPDX-License-Identifier: GPL-2.0-or-later
"""What a run's folder holds beside ``run.json``, as the page shows it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from harness.model import Splat
from harness.report.document import Ktaps
from harness.timeline import Clock, PathTimeline, Timeline

_MARK = re.compile(r"faultloop: (begin|end) ([a-z0-9-]+)\s*$")
_AROUND = 2
_MOST_LINES, _MOST_COLUMNS = 60, 300


@dataclass(frozen=True, slots=True)
class Boot:
    """The console of one boot of a guest."""

    log: str
    """Path of the log in the run's folder."""
    lines: Sequence[str]


@dataclass(frozen=True, slots=True)
class Evidence:
    """By variant and setup, all of it as far as there is any."""

    ktaps: Ktaps = field(default_factory=dict)
    timelines: Mapping[tuple[str, str], Timeline] = field(default_factory=dict)
    boots: Mapping[tuple[str, str], Sequence[Boot]] = field(default_factory=dict)

    def timeline(self, variant: str, setup: str, path: str) -> PathTimeline | None:
        found = self.timelines.get((variant, setup))
        return found.paths.get(path) if found else None

    def clock(self, variant: str, setup: str) -> Clock | None:
        found = self.timelines.get((variant, setup))
        return found.clock if found else None

    def excerpt(self, variant: str, setup: str, path: str, splats: Sequence[Splat]) -> tuple[str, str]:
        """The log's path, and what it holds of ``path``; both empty when there is nothing to show."""
        boots = self.boots.get((variant, setup), ())
        for boot in boots:
            lines = between(boot.lines, path)
            if lines:
                return boot.log, cut(lines)
        for boot in boots:
            lines = [line for splat in splats for line in around(boot.lines, splat)]
            if lines:
                return boot.log, cut(lines)
        return (boots[0].log if boots else ""), ""


def between(lines: Sequence[str], path: str) -> list[str]:
    """What the console shows while ``path`` ran, with the marks that the guest sets; empty where it set none."""
    found: list[str] = []
    inside = False
    for line in lines:
        mark = _MARK.search(line)
        if mark and mark[2] == path and mark[1] == "begin":
            inside = True
        if inside:
            found.append(line)
        if mark and inside and mark[1] == "end":
            break
    return found


def around(lines: Sequence[str], splat: Splat) -> list[str]:
    """A splat in its log with the lines around it; nothing when the log is another one."""
    first = splat.line - 1
    if not 0 <= first < len(lines) or splat.title not in lines[first]:
        return []
    last = first + splat.text.count("\n") + 1
    return list(lines[max(0, first - _AROUND) : last + _AROUND])


def cut(lines: Sequence[str]) -> str:
    """No more lines, and no longer ones, than anybody reads on a page."""
    more = len(lines) - _MOST_LINES
    kept = [line[:_MOST_COLUMNS] for line in lines[:_MOST_LINES]]
    return "\n".join([*kept, *([f"... {more} more lines"] if more > 0 else [])])
