# SPDX-License-Identifier: GPL-2.0-or-later
"""The rules of a bisection: which paths decide, what a commit is by its outcomes, and how sure that is. Pure.

What decides is what differs between the ends: paths that pass at GOOD and do wrong at BAD. A path that does
wrong at both is not what is looked for. A commit is bad when one of the deciding paths does wrong in one of its
runs: that is counted, and no clean run takes it back. It is good when they pass in all runs. SKIP alone says
nothing (the kernel lacks the path), INVALID and ERROR never do.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from harness.bisected import Commit, End, Key
from harness.model import GuestRecord, Outcome
from harness.shown import few
from harness.sought import Find, Mark

Outcomes = Mapping[Key, Outcome]
"""Of one run of a commit: a guest in each setup."""

BOOT = "boot"
"""Path of our own: whether the kernel comes up, where that counts."""
LOG = "kernel-log"
"""Path of our own: what the kernel complains of outside of any workload."""


@dataclass(frozen=True, slots=True)
class Said:
    """What a commit is, and why."""

    mark: Mark
    reason: str


def outcomes(records: Iterable[GuestRecord], *, boot_counts: bool) -> dict[Key, Outcome]:
    """What the guests of one run did; with ``boot_counts`` also whether they came up."""
    found: dict[Key, Outcome] = {}
    for record in records:
        if boot_counts:
            found[BOOT, record.setup] = Outcome.PASS if record.booted else Outcome.SPLAT
        if record.booted:
            found[LOG, record.setup] = Outcome.SPLAT if record.boot_splats else Outcome.PASS
            found |= {(result.path, record.setup): result.outcome for result in record.results}
    return found


def watched(good: Sequence[Outcomes], bad: Sequence[Outcomes]) -> tuple[Key, ...]:
    """What passes in all runs of the good end and does wrong in one of the bad end, in the order of the latter."""
    return tuple(key for key in wrong(bad) if good and all(run.get(key) is Outcome.PASS for run in good))


def wrong(runs: Sequence[Outcomes]) -> list[Key]:
    """What does wrong in one of the runs."""
    return [key for key in dict.fromkeys(k for run in runs for k in run) if any(_bad(run, key) for run in runs)]


def decide(runs: Sequence[Outcomes], keys: Sequence[Key]) -> Said:
    """What a commit is by its runs; while runs are wanting, only BAD is final.

    A boot that fails, where that counts, is bad whatever else decides.
    """
    dead = [key for run in runs for key in run if key[0] == BOOT]
    bad = [key for key in dict.fromkeys([*keys, *dead]) if any(_bad(run, key) for run in runs)]
    if bad:
        return Said(Mark.BAD, _told(runs, bad))
    mute = [key for key in keys if any(_mute(run, key) for run in runs)]
    if mute:
        return Said(Mark.SKIP, f"says nothing: {_told(runs, mute)}")
    paths = [key for key in keys if key[0] not in (BOOT, LOG)] or keys
    if runs and all(any(run.get(key) is Outcome.PASS for key in paths) for run in runs):
        return Said(Mark.GOOD, f"passes: {names(keys)}")
    return Said(Mark.SKIP, f"this kernel has none of these paths (SKIP): {names(keys)}")


def judged_alone(runs: Sequence[Outcomes]) -> Said:
    """The same without ends to compare with: all that was run decides."""
    return decide(runs, list(dict.fromkeys(key for run in runs for key in run)))


def rate(runs: Sequence[Outcomes], keys: Sequence[Key]) -> tuple[int, int]:
    """In how many of the runs one of ``keys`` does wrong."""
    return sum(any(_bad(run, key) for key in keys) for run in runs), len(runs)


def ends(find: Find, good: Sequence[Outcomes], bad: Sequence[Outcomes]) -> tuple[End, str] | None:
    """Why a bisection between these ends cannot be; None when it can."""
    if watched(good, bad):
        return None
    at_good, at_bad = wrong(good), wrong(bad)
    both = [key for key in at_bad if key in at_good]
    only_good = [key for key in at_good if any(run.get(key) is Outcome.PASS for run in bad) and key not in at_bad]
    if both:
        told = _told(good, both)
        if find is Find.BREAK:
            return End.ALREADY_THERE, f"GOOD already does wrong, as BAD does: {told}; it came in before GOOD"
        return End.NOT_FIXED, f"GOOD, the newer end, still does wrong: {told}; it is not mended there yet"
    if only_good:
        told = _told(good, only_good)
        if find is Find.BREAK:
            return End.ALREADY_FIXED, (
                f"BAD does not do wrong, and GOOD does: {told}; it was mended between them. The commit that did: "
                "FIND=fix, with GOOD and BAD the other way round"
            )
        return End.NOT_YET_INTRODUCED, (
            f"BAD, the older end, does not do wrong, and GOOD does: {told}; it came in between them. The "
            "commit that brought it: without FIND=fix, with GOOD and BAD the other way round"
        )
    if at_bad:
        return End.ENDS_UNDECIDED, f"GOOD says nothing of what is wrong at BAD ({_told(bad, at_bad)}): " + _silent(
            good, at_bad
        )
    passed = [key for key in _keys(bad) if all(run.get(key) is Outcome.PASS for run in bad)]
    if not [key for key in passed if key[0] not in (BOOT, LOG)]:
        return End.ENDS_UNDECIDED, "BAD says nothing: " + _silent(bad, _keys(bad))
    runs = f"in {len(bad)} runs" if len(bad) > 1 else "in its one run (a path that fails at times: REPEAT=10)"
    if find is Find.BREAK:
        return End.NOT_YET_INTRODUCED, (
            f"BAD does nothing wrong {runs}: not yet introduced there, or introduced and mended since GOOD"
        )
    return (
        End.ALREADY_FIXED,
        f"BAD, the older end, does nothing wrong {runs}: already fixed there, or never broken",
    )


def merge_base(find: Find, base: Commit, good: Commit) -> tuple[End, str]:
    """What it means that the merge base is as the newer end is already."""
    if find is Find.BREAK:
        return End.ALREADY_FIXED, (
            f"the merge base {base} does wrong already: {good.short} is good because it was mended since, on a "
            "branch that BAD does not have; nothing that BAD has brought it in. The commit that mended it: "
            f"FIND=fix BAD={base.short} GOOD={good.short}"
        )
    return End.NOT_YET_INTRODUCED, (
        f"the merge base {base} is good, so it came in on BAD's own branch, and none of GOOD's commits mended it. "
        f"The commit that broke it: without FIND=fix, GOOD={base.short}"
    )


def names(keys: Sequence[Key]) -> str:
    """Paths once each."""
    return few(list(dict.fromkeys(path for path, _ in keys)))


def _silent(runs: Sequence[Outcomes], keys: Sequence[Key]) -> str:
    return _told(runs, [key for key in keys if any(run.get(key) is not Outcome.PASS for run in runs)])


def _told(runs: Sequence[Outcomes], keys: Sequence[Key]) -> str:
    """Each path with the outcome that counts; how often, where runs differ."""
    found: dict[str, None] = {}
    for key in keys:
        seen: list[Outcome | None] = [run.get(key) for run in runs]
        wrong_ones: list[Outcome | None] = [one for one in seen if one is not None and one.bad]
        said = wrong_ones or [one for one in seen if one is not Outcome.PASS] or seen
        word = str(said[0] or "not run") if said else "not run"
        often = f" in {len(said)} of {len(seen)} runs" if len(said) < len(seen) else ""
        found[f"{key[0]} {word}{often}"] = None
    return few(list(found))


def _keys(runs: Sequence[Outcomes]) -> list[Key]:
    return list(dict.fromkeys(key for run in runs for key in run))


def _bad(run: Outcomes, key: Key) -> bool:
    return key in run and run[key].bad


def _mute(run: Outcomes, key: Key) -> bool:
    """INVALID, ERROR, or not run at all; SKIP says that the kernel lacks the path."""
    return key not in run or (run[key].undecided and run[key] is not Outcome.SKIP)
