# SPDX-License-Identifier: GPL-2.0-or-later
"""Tonight against the nights before: what is new, mended, still failing, flaky, not run. Pure."""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from harness.errors import ExitStatus
from harness.model import Outcome
from harness.nights import DRIVER, LOG, Finding, Key, Kind, Past, Seen

WINDOW = 10
"""Nights that are looked at for what comes and goes."""
CHANGES = 3
"""Changes between good and bad among them that make a path flaky."""
_NUMBER = re.compile(r"0x[0-9a-f]+|\d+")


@dataclass(frozen=True, slots=True)
class _Judged:
    """What a path was on an earlier night that decided it."""

    seen: Seen
    ref: str
    commit: str

    @property
    def bad(self) -> bool:
        return self.seen.outcome.bad


def compare(
    asked: Iterable[Key],
    now: Mapping[Key, Seen],
    past: Sequence[Past],
    *,
    again: Mapping[Key, Sequence[Outcome]],
    unmended: Collection[str] = (),
    why_not: Mapping[str, str] | None = None,
) -> tuple[Finding, ...]:
    """A finding for each key of ``asked`` and of ``now``.

    ``past``: earlier nights, the latest first. ``again``: what more guests of tonight said of what failed.
    ``unmended``: paths that fail on every kernel so far. ``why_not``: setup -> why nothing ran on it.
    """
    keys = list(dict.fromkeys([*asked, *now]))
    return tuple(_one(key, now.get(key), past, again.get(key, ()), unmended, why_not or {}) for key in keys)


def _one(
    key: Key,
    seen: Seen | None,
    past: Sequence[Past],
    again: Sequence[Outcome],
    unmended: Collection[str],
    why_not: Mapping[str, str],
) -> Finding:
    path, setup = key
    before = _before(key, past)
    last = before[0] if before else None
    was = last.seen.outcome if last else None

    def finding(kind: Kind, reason: str = "", since: _Judged | None = None) -> Finding:
        return Finding(
            path,
            setup,
            kind,
            seen.outcome if seen else None,
            reason,
            was,
            since.ref if since else "",
            since.commit if since else "",
            path in unmended,
        )

    if seen is None:
        return finding(Kind.NOT_RUN, why_not.get(setup, "no record of it"))
    if seen.outcome.undecided:
        unneeded = seen.outcome is Outcome.SKIP and last is None
        return finding(Kind.NOT_NEEDED if unneeded else Kind.NOT_RUN, f"{seen.outcome}: {seen.reason}")
    others = [outcome for outcome in again if not outcome.undecided]
    if seen.outcome.bad and not all(outcome.bad for outcome in others):
        times = sum(outcome.bad for outcome in others) + 1
        return finding(Kind.FLAKY, f"fails on {times} of {len(others) + 1} guests of this kernel: {seen.reason}")
    changes = _changes([seen.outcome.bad, *(one.bad for one in before[: WINDOW - 1])])
    if changes >= CHANGES:
        return finding(Kind.FLAKY, f"{changes} changes between good and bad in {WINDOW} nights: {seen.reason}")
    first = _first_bad(before)
    if not seen.outcome.bad:
        return finding(Kind.MENDED, "", first) if last and last.bad else finding(Kind.GOOD)
    if last is None:
        return finding(Kind.STILL if path in unmended else Kind.NEW, seen.reason)
    if not last.bad or (path == LOG and _more(seen.reason, last.seen.reason)):
        return finding(Kind.NEW, seen.reason, last)
    return finding(Kind.STILL, seen.reason, first)


def _before(key: Key, past: Sequence[Past]) -> list[_Judged]:
    """What earlier nights decided, the latest first; what one of them called flaky says nothing."""
    return [
        _Judged(night.seen[key], night.ref, night.commit)
        for night in past
        if key in night.seen and not night.seen[key].outcome.undecided and key not in night.flaky
    ]


def _first_bad(before: Sequence[_Judged]) -> _Judged | None:
    """The night from which on it has been bad."""
    found = None
    for one in before:
        if not one.bad:
            break
        found = one
    return found


def _changes(bads: Sequence[bool]) -> int:
    return sum(a != b for a, b in itertools.pairwise(bads))


def _more(now: str, before: str) -> bool:
    """Whether the log complains of something that it did not complain of before; numbers do not count."""
    return bool(set(_NUMBER.sub("N", now).split("; ")) - set(_NUMBER.sub("N", before).split("; ")))


def status(findings: Sequence[Finding], *, faults: Sequence[str], harness: bool) -> ExitStatus:
    """Of a night: 1 new failures, 4 the harness, 3 undecided, 0 clean or nothing but known failures.

    ``faults``: controls or teeth that do not hold. ``harness``: trouble of ours kept a guest from running.
    """
    kinds = {finding.kind for finding in findings}
    if Kind.NEW in kinds:
        return ExitStatus.NOT_FIXED
    if harness or any(f.path == DRIVER and f.kind is Kind.NOT_RUN for f in findings):
        return ExitStatus.INFRASTRUCTURE
    if faults or kinds & {Kind.NOT_RUN, Kind.FLAKY}:
        return ExitStatus.UNDECIDED
    return ExitStatus.FIXES


def open_since(past: Sequence[Past]) -> frozenset[str]:
    """Runs that an open failure refers to: the night on which it was seen first, and the last good one before."""
    kept: set[str] = set()
    for key in {key for night in past for key in night.seen}:
        nights = [n for n in past if key in n.seen and not n.seen[key].outcome.undecided]
        if not nights or not nights[0].seen[key].outcome.bad:
            continue
        for number, night in enumerate(nights):
            if not night.seen[key].outcome.bad:
                kept |= {night.run, nights[number - 1].run}
                break
        else:
            kept.add(nights[-1].run)
    return frozenset(kept)
