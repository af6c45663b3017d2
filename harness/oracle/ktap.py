# SPDX-License-Identifier: GPL-2.0-or-later
"""Read KTAP (Linux Documentation/dev-tools/ktap.rst) and judge a workload by it. Pure: lines in, dataclasses out.

The parser forgives what the format allows (garbage before the version line, kernel messages in between, time
stamps, no plan) and keeps note of what it does not (numbers out of order, points after a bail-out). The judge
forgives nothing: whatever is cut short or out of order is ERROR, unless a worse finding stands in what there is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from harness.model import Outcome

_VERSION = re.compile(r"(?:KTAP version 1|TAP version 1[34])$")
_PLAN = re.compile(r"1\.\.(\d{1,9})(?:\s*#\s*(\S+)\s*(.*))?$")
_POINT = re.compile(r"(not ok|ok)\s+(\d{1,9})(?:\s+|$)(?:-\s+)?([^#]*)(?:#\s*(.*))?$")
_BAIL = re.compile(r"Bail out!\s*(.*)$")
_FACT = re.compile(r"([a-z][a-zA-Z0-9_.]*)\s+(\S+)$")
_STAMP = re.compile(r"\[\s*\d+\.\d{6}\](?:\[\s*[TC]\d+\])?\s")
_DIRECTIVES = frozenset({"SKIP", "TODO", "XFAIL", "TIMEOUT", "ERROR"})
_MAX_DEPTH = 32


@dataclass(frozen=True, slots=True)
class Point:
    """One test case result line."""

    number: int
    ok: bool
    name: str
    """Its description."""
    line: int
    """Line of the input, from 1."""
    directive: str = ""
    """``SKIP``, ``TODO``, ``XFAIL``, ``TIMEOUT``, ``ERROR`` or nothing."""
    note: str = ""
    """What follows the directive, or the ``#`` when there is none."""
    diagnostics: tuple[str, ...] = ()
    """The ``#`` lines before it, without the ``#``."""
    sub: Ktap | None = None
    """Results of its subtests."""


@dataclass(frozen=True, slots=True)
class Ktap:
    """One set of results, under one version line."""

    version: str = ""
    """The version line; empty if there was none, that is no KTAP at all."""
    plan: int | None = None
    skip: str | None = None
    """Reason of ``1..0 # SKIP reason``; None when the plan skips nothing."""
    points: tuple[Point, ...] = ()
    diagnostics: tuple[str, ...] = ()
    """The ``#`` lines that no point followed."""
    unfinished: tuple[Ktap, ...] = ()
    """Subtests whose parent's own result line never came: a crash in the middle."""
    bail: str | None = None
    """Reason of ``Bail out!``."""
    problems: tuple[str, ...] = ()
    """What breaks the format, with the line."""
    unknown: tuple[str, ...] = ()
    """Lines that are not KTAP: kernel messages and other output, before and in between."""


class Judgement(NamedTuple):
    """What a workload's KTAP says about the kernel."""

    outcome: Outcome
    reason: str
    """One line; empty for PASS."""
    facts: Mapping[str, str]
    """``# KEY VALUE`` lines; the last one of a key."""


@dataclass(slots=True)
class _Open:
    """A set of results being read."""

    indent: int
    version: str
    plan: int | None = None
    skip: str | None = None
    points: list[Point] = field(default_factory=list)
    pending: list[str] = field(default_factory=list)
    sub: Ktap | None = None
    orphans: list[Ktap] = field(default_factory=list)
    bail: str | None = None
    problems: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    def adopt(self, sub: Ktap) -> None:
        """Keep a set of subtests until its parent's result line comes."""
        if self.sub is not None:
            self.orphans.append(self.sub)
        self.sub = sub

    def close(self) -> Ktap:
        return Ktap(
            version=self.version,
            plan=self.plan,
            skip=self.skip,
            points=tuple(self.points),
            diagnostics=tuple(self.pending),
            unfinished=(*self.orphans, self.sub) if self.sub else tuple(self.orphans),
            bail=self.bail,
            problems=tuple(self.problems),
            unknown=tuple(self.unknown),
        )


class _Parser:
    """The sets of results that are open, outermost first."""

    def __init__(self) -> None:
        self.open: list[_Open] = []
        self.done: list[Ktap] = []
        self.before: list[str] = []

    def feed(self, number: int, text: str) -> None:
        """Take one line, without line end."""
        stripped = text.lstrip(" ")
        indent = len(text) - len(stripped)
        if _VERSION.match(stripped):
            self._start(number, indent, stripped)
        elif not self.open:
            self.before.append(text)
        elif match := _BAIL.match(stripped):
            self._bail(match.group(1).strip())
        elif match := _PLAN.match(stripped):
            self._plan(number, indent, match)
        elif match := _POINT.match(stripped):
            self._point(number, indent, match)
        elif stripped.startswith("#"):
            self._diagnostic(indent, stripped[1:].strip())
        elif stripped:
            self.open[-1].unknown.append(text)

    def finish(self) -> tuple[Ktap, ...]:
        self._close_to(-1)
        if not self.done and self.before:
            return (Ktap(unknown=tuple(self.before)),)
        return tuple(self.done)

    def _close_to(self, indent: int) -> None:
        """Close the sets that are indented deeper than ``indent``; each belongs to the one around it."""
        while self.open and self.open[-1].indent > indent:
            closed = self.open.pop().close()
            if self.open:
                self.open[-1].adopt(closed)
            else:
                self.done.append(closed)

    def _start(self, number: int, indent: int, version: str) -> None:
        self._close_to(indent)
        if self.open and self.open[-1].indent == indent:
            self._close_to(indent - 1)
        started = _Open(indent, version)
        if len(self.open) >= _MAX_DEPTH:
            self.open[-1].problems.append(f"line {number}: nested deeper than {_MAX_DEPTH}")
            return
        if not self.open:
            started.unknown, self.before = self.before, []
        self.open.append(started)

    def _level(self, indent: int) -> _Open | None:
        """The open set that a line with ``indent`` belongs to."""
        if not any(level.indent == indent for level in self.open):
            return None
        self._close_to(indent)
        return self.open[-1]

    def _plan(self, number: int, indent: int, match: re.Match[str]) -> None:
        level = self._level(indent)
        if level is None:
            self.open[-1].problems.append(f"line {number}: a plan at no level that is open")
            return
        if level.plan is not None:
            level.problems.append(f"line {number}: a second plan")
            return
        level.plan = int(match.group(1))
        if level.plan == 0:
            level.skip = (match.group(3) or "").strip() if (match.group(2) or "").upper() == "SKIP" else None

    def _point(self, number: int, indent: int, match: re.Match[str]) -> None:
        level = self._level(indent)
        if level is None:
            self.open[-1].problems.append(f"line {number}: a result at no level that is open")
            return
        directive, note = _directive((match.group(4) or "").strip())
        point = Point(
            number=int(match.group(2)),
            ok=match.group(1) == "ok",
            name=match.group(3).strip(),
            line=number,
            directive=directive,
            note=note,
            diagnostics=tuple(level.pending),
            sub=level.sub,
        )
        if point.number != len(level.points) + 1:
            level.problems.append(f"line {number}: result {point.number} where {len(level.points) + 1} was due")
        if level.bail is not None:
            level.problems.append(f"line {number}: a result after `Bail out!`")
        level.points.append(point)
        level.pending, level.sub = [], None

    def _diagnostic(self, indent: int, text: str) -> None:
        """It belongs to the deepest set that its indentation reaches, and closes none."""
        fitting = [level for level in self.open if level.indent <= indent]
        (fitting[-1] if fitting else self.open[0]).pending.append(text)

    def _bail(self, reason: str) -> None:
        for level in self.open:
            level.bail = reason


def _directive(text: str) -> tuple[str, str]:
    word, _, rest = text.partition(" ")
    if word.rstrip(":").upper() in _DIRECTIVES:
        return word.rstrip(":").upper(), rest.strip()
    return "", text


def _clean(lines: Iterable[str]) -> Iterator[tuple[int, str]]:
    """Lines without line end and time stamp. A stamp within a line is a kernel message that broke into it."""
    for number, line in enumerate(lines, 1):
        text = line.rstrip("\r\n")
        stamp = _STAMP.search(text)
        if stamp is None:
            yield number, text.rstrip()
        elif not text[: stamp.start()].strip():
            yield number, text[stamp.end() :].rstrip()
        else:
            yield number, text[: stamp.start()].rstrip()
            yield number, text[stamp.start() :].rstrip()


def documents(lines: Iterable[str]) -> tuple[Ktap, ...]:
    """Every set of results in ``lines`` that stands at the outermost level, in order (a console may hold many)."""
    parser = _Parser()
    for number, text in _clean(lines):
        parser.feed(number, text)
    return parser.finish()


def parse(lines: Iterable[str]) -> Ktap:
    """The one set of results in ``lines``. Should there be more, all points are kept, and a problem says so."""
    found = documents(lines)
    if len(found) <= 1:
        return found[0] if found else Ktap()
    plans = [one.plan for one in found if one.plan is not None]
    return replace(
        found[0],
        plan=sum(plans) if len(plans) == len(found) else None,
        points=tuple(point for one in found for point in one.points),
        diagnostics=tuple(text for one in found for text in one.diagnostics),
        unfinished=tuple(sub for one in found for sub in one.unfinished),
        problems=(
            f"{len(found)} sets of results where one was due",
            *(problem for one in found for problem in one.problems),
        ),
        unknown=tuple(text for one in found for text in one.unknown),
    )


_KIND = re.compile(r"(precondition|progress|stale|data|harness)\s*:\s*(.*)")
_FAILED = {
    "precondition": Outcome.INVALID,
    "progress": Outcome.LOOP,
    "stale": Outcome.STALE,
    "data": Outcome.CORRUPT,
    "harness": Outcome.ERROR,
}
_PRECEDENCE = (Outcome.CORRUPT, Outcome.STALE, Outcome.LOOP, Outcome.ERROR, Outcome.INVALID, Outcome.SKIP)
_Finding = tuple[Outcome, str]


def judge(ktap: Ktap) -> Judgement:
    """Outcome of the workload that wrote ``ktap``.

    A point says by its first word what it is about (``precondition: TEXT``, ``progress:``, ``stale:``, ``data:``,
    ``harness:``). Of several findings the worst for the kernel counts: CORRUPT, STALE, LOOP, then ERROR, INVALID,
    SKIP. PASS is what is left when every planned point is there and ok, a precondition was proven, and the
    stalls of the measured window were counted: a workload that cannot show that has proven nothing.
    """
    facts = _facts(ktap)
    findings = [*_format_findings(ktap), *_point_findings(ktap)]
    if not findings:
        findings = list(_unproven(ktap, facts))
    for outcome in _PRECEDENCE:
        reasons = [reason for found, reason in findings if found is outcome]
        if reasons:
            more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
            return Judgement(outcome, reasons[0] + more, facts)
    return Judgement(Outcome.PASS, "", facts)


def _points(ktap: Ktap) -> Iterator[Point]:
    """Every point, subtests before their parent."""
    for point in ktap.points:
        if point.sub is not None:
            yield from _points(point.sub)
        yield point
    for sub in ktap.unfinished:
        yield from _points(sub)


def _facts(ktap: Ktap) -> dict[str, str]:
    lines = [text for point in _points(ktap) for text in point.diagnostics]
    lines += [text for one in _levels(ktap) for text in one.diagnostics]
    return {match.group(1): match.group(2) for text in lines if (match := _FACT.match(text))}


def _levels(ktap: Ktap) -> Iterator[Ktap]:
    """``ktap`` and every set of subtests in it."""
    yield ktap
    for sub in (*(point.sub for point in ktap.points), *ktap.unfinished):
        if sub is not None:
            yield from _levels(sub)


def _format_findings(ktap: Ktap) -> Iterator[_Finding]:
    """What is wrong with the output as such; and plans that skip everything."""
    for one in _levels(ktap):
        if not one.version:
            yield Outcome.ERROR, "no KTAP in the output"
        elif one.bail is not None:
            yield Outcome.ERROR, f"bailed out: {one.bail}"
        elif one.plan is None:
            yield Outcome.ERROR, f"output cut short: no plan ({len(one.points)} points)"
        elif len(one.points) < one.plan:
            yield Outcome.ERROR, f"output cut short: {len(one.points)} of {one.plan} points"
        elif len(one.points) > one.plan:
            yield Outcome.ERROR, f"{len(one.points)} points where {one.plan} were planned"
        elif one.skip is not None:
            yield Outcome.SKIP, one.skip or "no reason given"
        elif not one.points:
            yield Outcome.ERROR, "output cut short: no points at all"
        for sub in one.unfinished:
            yield (
                Outcome.ERROR,
                f"output cut short: subtests without their parent's result ({len(sub.points)} points)",
            )
        for problem in one.problems:
            yield Outcome.ERROR, f"malformed KTAP: {problem}"


def _point_findings(ktap: Ktap) -> Iterator[_Finding]:
    for point in _points(ktap):
        kind = _KIND.match(point.name)
        if kind is None:
            if point.sub is None or (not point.ok and all(inner.ok for inner in _points(point.sub))):
                yield (
                    Outcome.ERROR,
                    f"a point of no known kind: {'ok' if point.ok else 'not ok'} {point.number} {point.name}",
                )
            continue
        text = point.name + (f" ({point.note})" if point.note else "")
        if point.directive == "SKIP":
            yield (Outcome.INVALID if kind.group(1) == "precondition" else Outcome.SKIP), f"{text}: skipped"
        elif point.directive in {"TIMEOUT", "ERROR"}:
            yield Outcome.ERROR, f"{text}: {point.directive}"
        elif not point.ok:
            yield _FAILED[kind.group(1)], text


def _unproven(ktap: Ktap, facts: Mapping[str, str]) -> Iterator[_Finding]:
    """Why a workload without any finding is still no pass."""
    kinds = {match.group(1) for point in _points(ktap) if (match := _KIND.match(point.name))}
    if "precondition" not in kinds:
        yield Outcome.INVALID, "no precondition was checked"
    if not facts.get("stalls", "").isdecimal():
        yield Outcome.INVALID, "the stalls of the measured window were not counted (no fact `stalls`)"
