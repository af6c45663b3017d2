# SPDX-License-Identifier: GPL-2.0-or-later
"""Find what a kernel complained of on its console: each report whole, with its kind and title. Pure.

A report ends at its end marker (``---[ end trace``), else where the text no longer looks like a trace. When two
CPUs report at once their lines mix; each report then holds its own lines and the other's in between. A report
may be cut short by the end of the log or by the next boot.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from harness.errors import InfrastructureError
from harness.model import Splat
from harness.oracle.splat_patterns import BACKTRACE, BODY, CUT_HERE, NEW_BOOT, PRELUDE, RULES, Rule

ALLOWED = Path(__file__).with_name("allowed_splats.yaml")

_MAX_LINES = 600
"""Of one report; a whole task dump is longer and less telling."""
_STRAY = 4
"""Lines of others that may stand in a row inside a report that has no end marker."""
_LOOK_BACK = 6
"""Lines between ``cut here`` and the headline: a WARN()'s own message, a page dump."""

_ESCAPES = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-_])")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_STAMP = re.compile(r"(?:^|.*?[^\w])(?:<\d+>)?\[ *\d{1,9}\.\d{6}\](?:\[ *[TC]\d+\])? ?")


@dataclass(frozen=True, slots=True)
class Allowed:
    """A complaint that is known to be harmless, and why."""

    pattern: re.Pattern[str]
    reason: str


@dataclass(slots=True)
class _Open:
    """A report whose end has not been seen."""

    rule: Rule
    start: int
    headline: int
    completed: set[str] = field(default_factory=set)
    last: int = 0
    """Last line that surely belongs to it."""
    traced: bool = False
    """Its backtrace has begun, which is what most reports end with."""
    stray: int = 0


def find(lines: Iterable[str], allowed: Sequence[Allowed] | None = None) -> list[Splat]:
    """Every report in a console log, in order, less those that ``allowed`` (default: the project's list) names."""
    raw = list(lines)
    text = [clean(line) for line in raw]
    known = read_allowed() if allowed is None else allowed
    found = [_splat(text, report) for report in _reports(text)]
    return [s for s in found if not any(entry.pattern.search(s.text) for entry in known)]


def clean(line: str) -> str:
    """A console line without time stamp, caller id, level, escape sequences, CR, or the prompt before it."""
    plain = _CONTROL.sub("", _ESCAPES.sub("", line.expandtabs(8).rstrip("\r\n")))
    stamp = _STAMP.match(plain)
    return (plain[stamp.end() :] if stamp else plain).rstrip()


def read_allowed(path: Path = ALLOWED) -> tuple[Allowed, ...]:
    """The allow-list; InfrastructureError where it is malformed or an entry gives no reason."""
    data = yaml.safe_load(path.read_text(encoding="utf-8"))
    entries = []
    for number, entry in enumerate(data["allowed"] or [], 1):
        if set(entry) != {"pattern", "reason"} or not str(entry["reason"]).strip():
            raise InfrastructureError(f"{path}: entry {number} needs `pattern` and `reason`, and nothing else")
        try:
            entries.append(Allowed(re.compile(entry["pattern"]), str(entry["reason"])))
        except re.error as error:
            raise InfrastructureError(f"{path}: entry {number}: {error}") from None
    return tuple(entries)


def _reports(text: Sequence[str]) -> list[_Open]:
    opened: list[_Open] = []
    closed: list[_Open] = []
    for number, line in enumerate(text):
        if NEW_BOOT.search(line):
            closed += opened
            opened = []
            continue
        rule = next((r for r in RULES if r.pattern.search(line)), None)
        if rule is not None and not _completes(opened, rule, number):
            over = [report for report in opened if _gives_way(report)]
            closed += over
            opened = [report for report in opened if report not in over]
            start = _start(text, number, over)
            for report in over:
                report.last = min(report.last, start - 1)
            opened.append(_Open(rule, start, number, last=number))
        else:
            _extend(opened, line, number)
        done = [report for report in opened if _over(report, line, number)]
        closed += done
        opened = [report for report in opened if report not in done]
    return sorted([*closed, *opened], key=lambda report: (report.start, report.headline))


def _gives_way(report: _Open) -> bool:
    """Without an end marker it ends where the next begins; a long one of lockdep only after its backtrace."""
    return report.rule.end is None and (report.traced or report.rule.kind != "lockdep")


def _completes(opened: Sequence[_Open], rule: Rule, number: int) -> bool:
    """Whether the line belongs to a report that is open: the oldest that does not have one like it."""
    again = rule.kind in rule.completes
    for report in opened:
        if report.rule.kind in rule.completes and (again or rule.kind not in report.completed):
            report.completed.add(rule.kind)
            report.last, report.stray = number, 0
            if rule.end is not None:
                # A page dump, say, is the first part of a BUG: it ends as that does.
                report.rule = Rule(report.rule.kind, report.rule.pattern, rule.end, report.rule.completes)
            return True
    return False


def _start(text: Sequence[str], number: int, before: Sequence[_Open]) -> int:
    """First line of the report whose headline is ``number``: rulers above it, or its ``cut here``."""
    floor = max((report.headline + 1 for report in before), default=0)
    for above in range(number - 1, max(floor, number - _LOOK_BACK) - 1, -1):
        if CUT_HERE.search(text[above]):
            return above
    start = number
    while start > floor and PRELUDE.search(text[start - 1]):
        start -= 1
    return start


def _extend(opened: Sequence[_Open], line: str, number: int) -> None:
    for report in opened:
        report.traced = report.traced or BACKTRACE.search(line) is not None
        if report.stray > _STRAY:
            # Its text is over; only its end marker, if that still comes, says otherwise.
            continue
        if BODY.search(line):
            report.last, report.stray = number, 0
        else:
            report.stray += 1
    ending = next((r for r in opened if r.rule.end is not None and r.rule.end.search(line)), None)
    if ending is not None and number > ending.headline:
        ending.last = number
        ending.stray = -1


def _over(report: _Open, line: str, number: int) -> bool:
    """It has met its end marker (told by stray < 0), run into strange text, or grown too long."""
    if report.rule.end is not None:
        return report.stray < 0 or number - report.start >= _MAX_LINES
    return report.stray > _STRAY or number - report.start >= _MAX_LINES


def _splat(text: Sequence[str], report: _Open) -> Splat:
    last = report.last
    while last > report.headline and (not text[last] or CUT_HERE.search(text[last])):
        last -= 1
    body = "\n".join(text[report.start : last + 1])
    return Splat(kind=report.rule.kind, title=text[report.headline].strip(), text=body, line=report.start + 1)
