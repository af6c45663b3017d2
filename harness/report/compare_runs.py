# SPDX-License-Identifier: GPL-2.0-or-later
"""Two runs beside each other: what was run, and what came of it that is not the same."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, TextIO

from rich.box import SIMPLE
from rich.table import Table
from rich.text import Text

from harness.model import Outcome
from harness.report.html import OUTCOMES, render
from harness.report.schema import Result, RunFile
from harness.report.text import STYLE, console_for
from harness.shown import few, one_line

SCHEMA = "faultloop/compare-runs/1"
_WIDTH = 116
_COUNTS = ("stalls", "tlbi", "notifier_calls", "tlbi_wide")
_MOST = 12
"""Paths whose counts differ, in the text; all of them are in the page and in JSON."""


class Kind(StrEnum):
    """How the results of a path on one kernel in one setup differ."""

    WORSE = "worse"
    BETTER = "better"
    OTHER = "other"
    """Another outcome, neither of which says more: LOOP and STALE, PASS and SKIP."""
    GONE = "only in A"
    NEW = "only in B"
    COUNTS = "counts"
    """The same outcome, with other counts."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One path on one kernel in one setup."""

    kind: Kind
    path: str
    setup: str
    variant: str
    a: Result | None
    b: Result | None
    counts: Mapping[str, tuple[int, int]]
    """Counts of the measured window that differ."""
    counters: Mapping[str, tuple[int, int]]
    """The SMMU's own counters, over the whole workload, that differ."""

    @property
    def key(self) -> str:
        return f"{self.path} {self.setup} {self.variant}"


@dataclass(frozen=True, slots=True)
class RunsCompared:
    """All of it."""

    names: tuple[str, str]
    a: RunFile
    b: RunFile
    facts: tuple[tuple[str, str, str], ...]
    """What was run: name, in A, in B."""
    differences: tuple[Difference, ...]
    """Outcomes first, the worst on top."""
    same: int
    """Results that agree in all."""

    @property
    def outcomes(self) -> tuple[Difference, ...]:
        return tuple(d for d in self.differences if d.kind is not Kind.COUNTS)

    @property
    def counted(self) -> tuple[Difference, ...]:
        return tuple(d for d in self.differences if d.kind is Kind.COUNTS)


def compare(a: RunFile, b: RunFile, names: tuple[str, str]) -> RunsCompared:
    """B against A."""
    before, after = _results(a), _results(b)
    found: list[Difference] = []
    same = 0
    for key in dict.fromkeys([*before, *after]):
        difference = _difference(key, before.get(key), after.get(key))
        if difference is None:
            same += 1
        else:
            found.append(difference)
    order = list(Kind)
    return RunsCompared(
        names, a, b, tuple(_facts(a, b)), tuple(sorted(found, key=lambda d: order.index(d.kind))), same
    )


def summary(found: RunsCompared) -> str:
    """The result in one sentence."""
    counts = [(kind, sum(d.kind is kind for d in found.differences)) for kind in Kind]
    told = [f"{count} {kind}" for kind, count in counts if count and kind is not Kind.COUNTS]
    outcomes = ", ".join(told) if told else "no outcome differs"
    counted = f"; {len(found.counted)} more with other counts" if found.counted else ""
    return f"{outcomes}{counted}; {found.same} the same"


def show(found: RunsCompared, stream: TextIO) -> None:
    """Print it; colours only where ``stream`` is a terminal that wants them."""
    console = console_for(stream, _WIDTH)
    for letter, name in zip("AB", found.names, strict=True):
        console.print(Text(f"{letter:8} {one_line(name)}"), soft_wrap=True)
    for what, a, b in found.facts:
        if a != b:
            console.print(Text(f"{what:8} A {one_line(a) or '-'}"), soft_wrap=True)
            console.print(Text(f"{'':8} B {one_line(b) or '-'}"), soft_wrap=True)
    both = [d for d in found.outcomes if d.a and d.b]
    if both:
        table = Table(box=SIMPLE, pad_edge=False, collapse_padding=True)
        for name in ("path", "setup", "kernel", "A", "B", ""):
            table.add_column(name, no_wrap=name not in ("path", "setup"), overflow="fold")
        for d in both:
            names = (Text(one_line(word)) for word in (d.path, d.setup, d.variant))
            table.add_row(*names, _cell(d.a), _cell(d.b), str(d.kind))
        console.print(table)
    for kind in (Kind.GONE, Kind.NEW):
        lacking = list(dict.fromkeys(one_line(d.path) for d in found.outcomes if d.kind is kind))
        if lacking:
            console.print(Text(f"{kind}: {few(lacking)}"), soft_wrap=True)
    for d in found.counted[:_MOST]:
        told = ", ".join(f"{name} {a} to {b}" for name, (a, b) in d.counts.items())
        console.print(Text(f"counts   {one_line(d.key)}: {told}"), soft_wrap=True)
    if len(found.counted) > _MOST:
        console.print(Text(f"counts   ... and {len(found.counted) - _MOST} more (--json, --html)"))
    console.print(Text(f"RESULT   {summary(found)}"), soft_wrap=True)


def dump(found: RunsCompared) -> str:
    """All of it as JSON."""
    runs = {
        letter: {"name": name, "verdict": run.verdict, "summary": run.summary, "started": run.started}
        for letter, name, run in zip("ab", found.names, (found.a, found.b), strict=True)
    }
    told: dict[str, Any] = {
        "schema": SCHEMA,
        **runs,
        "summary": summary(found),
        "facts": [{"name": n, "a": a, "b": b, "same": a == b} for n, a, b in found.facts],
        "same": found.same,
        "differences": [_plain(d) for d in found.differences],
    }
    return json.dumps(told, indent=1, ensure_ascii=True) + "\n"


def page(found: RunsCompared) -> str:
    """The same as a page."""
    kinds = dict.fromkeys(d.kind for d in found.differences)
    tally = [(str(kind), sum(d.kind is kind for d in found.differences)) for kind in kinds]
    results = [r for d in found.differences for r in (d.a, d.b) if r]
    known = [str(o) for o in OUTCOMES if any(r.outcome is o for r in results)]
    return render(
        "compare.html.j2",
        found=found,
        summary=summary(found),
        tally=tally,
        outcomes=OUTCOMES,
        known=known,
        letters=list(zip("AB", found.names, (found.a, found.b), strict=True)),
    )


def _results(run: RunFile) -> dict[tuple[str, str, str], Result]:
    return {(row.path, row.setup, name): r for row in run.paths for name, r in row.results().items()}


def _difference(key: tuple[str, str, str], a: Result | None, b: Result | None) -> Difference | None:
    if a is None or b is None:
        return Difference(Kind.GONE if b is None else Kind.NEW, *key, a, b, {}, {})
    counts = {n: (getattr(a, n), getattr(b, n)) for n in _COUNTS if getattr(a, n) != getattr(b, n)}
    names = dict.fromkeys([*a.counters, *b.counters])
    pairs = {n: (a.counters.get(n, 0), b.counters.get(n, 0)) for n in names}
    counters = {n: pair for n, pair in pairs.items() if pair[0] != pair[1]}
    if a.outcome is b.outcome and not counts:
        return None
    return Difference(_kind(a.outcome, b.outcome), *key, a, b, counts, counters)


def _kind(a: Outcome, b: Outcome) -> Kind:
    if a is b:
        return Kind.COUNTS
    if b.bad and a is Outcome.PASS:
        return Kind.WORSE
    if a.bad and b is Outcome.PASS:
        return Kind.BETTER
    return Kind.OTHER


def _facts(a: RunFile, b: RunFile) -> Iterable[tuple[str, str, str]]:
    def of(run: RunFile) -> dict[str, str]:
        patched = run.builds.patched
        return {
            "verdict": f"{run.verdict or run.job}: {run.summary}",
            "patch": "; ".join(f"{p.subject} {p.sha256[:12]}" for p in run.patch.patches) if run.patch else "",
            "kernel": f"{run.kernel.version}, {run.kernel.origin}",
            "base": run.builds.base.image_sha256,
            "patched": patched.image_sha256 if patched else "",
            "emulator": f"{run.emulator.version}, {run.emulator.origin}, {run.emulator.key[:12]}",
            "guest": "; ".join([*run.guest.packages, run.guest.key[:12]]),
            "setups": ", ".join(run.setups),
            "version": f"faultloop {run.faultloop}",
            "started": run.started,
        }

    mine, theirs = of(a), of(b)
    return ((name, mine[name], theirs[name]) for name in mine)


def _cell(result: Result | None) -> Text:
    if result is None:
        return Text("-")
    counts = f" {result.stalls}/{result.tlbi}/{result.notifier_calls}" if result.facts else ""
    return Text(str(result.outcome), style=STYLE.get(result.outcome, "yellow")).append(counts, style="default")


def _plain(d: Difference) -> dict[str, Any]:
    told = {name: value for name, value in asdict(d).items() if name not in ("a", "b")}
    sides = {"a": d.a, "b": d.b}
    return told | {
        name: {"outcome": r.outcome, "reason": r.reason, **{c: getattr(r, c) for c in _COUNTS}} if r else None
        for name, r in sides.items()
    }
