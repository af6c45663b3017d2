# SPDX-License-Identifier: GPL-2.0-or-later
"""What a bisection found, against its parent: every chosen path, not only those that decided."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from harness.bisected import Bisection, Commit
from harness.errors import UserError
from harness.jobs.bisect_commit import Judge
from harness.model import GuestRecord, Outcome, PathResult
from harness.oracle import bisection as rules
from harness.oracle import verdict
from harness.sought import Find
from harness.sources.git_bisect import Bisector

ALL = "all"
"""Name of the run with every chosen path."""


def explain(done: Bisection, first: Commit, git_side: Bisector, judge: Judge) -> Bisection:
    """``done`` with the commit, its parent and the verdict on it. A parent that cannot be run is noted."""
    parent = git_side.commit(first.parents[0]) if first.parents else None
    done = replace(done, first=first, parent=parent)
    notes: list[str] = []
    if len(first.parents) > 1:
        notes.append(
            f"{first.short} is a merge: the table is against its first parent; the others were good as well"
        )
    if parent is None:
        return replace(done, notes=(*done.notes, f"{first.short} has no parent to compare it with"))
    try:
        before, after = _records(parent, judge), _records(first, judge)
    except UserError as error:
        notes.append(f"no table: {error.message}")
        return replace(done, notes=(*done.notes, *notes))
    unmended = [w.path for w in judge.workloads if w.unmended]
    judgement = verdict.judge(before, after, unmended=unmended)
    changed = {(c.path, c.setup) for c in judgement.comparisons if c.base.outcome.bad != c.patched.outcome.bad}
    others = [key for key in done.watched if key not in changed and key[0] not in (rules.BOOT, rules.LOG)]
    names = rules.names([key for key in others if key[0] not in {path for path, _ in changed}])
    if names and done.find is Find.BREAK:
        notes.append(f"not broken by this commit, but by a later one: {names}; bisect with WORKLOADS= for that")
    elif names:
        notes.append(f"mended before this commit: {names}; bisect with WORKLOADS= for that")
    return replace(done, judgement=judgement, notes=(*done.notes, *notes))


def _records(commit: Commit, judge: Judge) -> list[GuestRecord]:
    """Of each path the worst that a run of the commit showed: one that fails at times may pass in the last."""
    step = judge.state.step(commit.sha)
    runs = [str(number) for number in range(len(step.runs))] if step is not None else []
    who = replace(commit, sha=step.same_as) if step is not None and step.same_as else commit
    seen = [record for run in runs for record in judge.guests.kept(who, run)]
    whole = judge.guests.kept(commit, ALL)
    if not _has_all(seen, judge) and not _has_all(whole, judge):
        made = judge.make(commit)
        whole = judge.guests.run(commit, made.built, judge.workloads, judge.setups, ALL, again=False)
    return [_worst([r for r in (*whole, *seen) if r.setup == setup.name]) for setup in judge.setups]


def _has_all(records: Sequence[GuestRecord], judge: Judge) -> bool:
    have = {(result.path, record.setup) for record in records for result in record.results}
    return all((w.path, s.name) in have for w in judge.workloads for s in judge.setups)


def _worst(records: Sequence[GuestRecord]) -> GuestRecord:
    """One record of several of a setup."""
    found: dict[str, PathResult] = {}
    for result in (result for record in records for result in record.results):
        known = found.get(result.path)
        if known is None or _rank(result.outcome) > _rank(known.outcome):
            found[result.path] = result
    return replace(records[0], results=tuple(found.values()))


def _rank(outcome: Outcome) -> int:
    return 2 if outcome.bad else 0 if outcome.undecided else 1
