# SPDX-License-Identifier: GPL-2.0-or-later
"""The rules of a bisection: what decides, and what a commit is."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from harness.bisected import Confidence, End, Key
from harness.model import GuestRecord, Outcome, PathResult, Splat
from harness.oracle import bisection as rules
from harness.report.bisect import wanted
from harness.sought import Find, Mark


def run(**outcomes: str) -> Mapping[Key, Outcome]:
    """One run, on one setup."""
    return {(path, "a57"): Outcome(outcome) for path, outcome in outcomes.items()}


def keys(*paths: str) -> tuple[Key, ...]:
    return tuple((path, "a57") for path in paths)


GOOD, LOOP = run(a="PASS", b="PASS", c="LOOP"), run(a="LOOP", b="PASS", c="LOOP")


def test_what_differs_between_the_ends_decides() -> None:
    assert rules.watched([GOOD], [LOOP]) == keys("a")
    assert rules.watched([GOOD, LOOP], [LOOP]) == ()
    assert rules.watched([run(a="SKIP")], [run(a="LOOP")]) == ()
    assert rules.watched([run(b="PASS")], [run(a="LOOP")]) == ()
    assert rules.watched([run(a="PASS")] * 3, [run(a="PASS"), run(a="STALE")]) == keys("a")


@pytest.mark.parametrize("word", ["LOOP", "STALE", "CORRUPT", "SPLAT", "HANG"])
def test_one_run_that_does_wrong_is_enough(word: str) -> None:
    assert rules.decide([run(a="PASS"), run(a=word), run(a="INVALID")], keys("a")).mark is Mark.BAD


@pytest.mark.parametrize("word", ["INVALID", "ERROR"])
def test_what_says_nothing_does_not_decide(word: str) -> None:
    assert rules.decide([run(a="PASS"), run(a=word)], keys("a")).mark is Mark.SKIP
    assert rules.decide([run(a="PASS", b=word)], keys("a", "b")).mark is Mark.SKIP
    assert rules.decide([run(a="LOOP", b=word)], keys("a", "b")).mark is Mark.BAD
    assert rules.decide([run(b="PASS")], keys("a", "b")).mark is Mark.SKIP, "a path that was not run"


def test_skip_alone_does_not_decide() -> None:
    assert rules.decide([run(a="SKIP")], keys("a")).mark is Mark.SKIP
    assert rules.decide([run(a="SKIP", b="PASS")], keys("a", "b")).mark is Mark.GOOD
    assert rules.decide([run(a="SKIP", b="LOOP")], keys("a", "b")).mark is Mark.BAD
    assert rules.decide([run(a="PASS"), run(a="SKIP")], keys("a")).mark is Mark.SKIP
    assert rules.decide([], keys("a")).mark is Mark.SKIP


def test_what_does_wrong_at_both_ends_is_not_looked_at() -> None:
    assert rules.decide([GOOD], keys("a")).mark is Mark.GOOD
    assert rules.judged_alone([GOOD]).mark is Mark.BAD


def test_a_boot_that_fails_is_bad_where_it_counts() -> None:
    dead = GuestRecord("x", "a57", (PathResult("a", "a57", Outcome.SPLAT),), "PANIC", booted=False)
    assert rules.outcomes([dead], boot_counts=False) == {}
    counted = rules.outcomes([dead], boot_counts=True)
    assert rules.decide([counted], keys("a")).mark is Mark.BAD
    lives = GuestRecord("x", "a57", (PathResult("a", "a57", Outcome.PASS),), "POWEROFF")
    assert rules.decide([rules.outcomes([lives], boot_counts=True)], keys("a")).mark is Mark.GOOD
    assert rules.watched([rules.outcomes([lives], boot_counts=True)], [counted]) == keys("boot")


def test_what_the_kernel_says_outside_of_paths_is_a_path() -> None:
    splat = Splat("warning", "WARNING: x", "x", 1)
    loud = GuestRecord("x", "a57", (PathResult("a", "a57", Outcome.PASS),), "POWEROFF", boot_splats=(splat,))
    quiet = GuestRecord("x", "a57", (PathResult("a", "a57", Outcome.PASS),), "POWEROFF")
    runs = [rules.outcomes([one], boot_counts=False) for one in (quiet, loud)]
    assert rules.watched(runs[:1], runs[1:]) == keys("kernel-log")


@pytest.mark.parametrize(
    ("find", "good", "bad", "end", "words"),
    [
        (Find.BREAK, "LOOP", "LOOP", End.ALREADY_THERE, "GOOD already does wrong"),
        (Find.BREAK, "PASS", "PASS", End.NOT_YET_INTRODUCED, "not yet introduced there"),
        (Find.BREAK, "LOOP", "PASS", End.ALREADY_FIXED, "FIND=fix"),
        (Find.FIX, "LOOP", "LOOP", End.NOT_FIXED, "not mended there yet"),
        (Find.FIX, "PASS", "PASS", End.ALREADY_FIXED, "already fixed there"),
        (Find.FIX, "LOOP", "PASS", End.NOT_YET_INTRODUCED, "without FIND=fix"),
        (Find.BREAK, "INVALID", "LOOP", End.ENDS_UNDECIDED, "a INVALID"),
        (Find.BREAK, "SKIP", "LOOP", End.ENDS_UNDECIDED, "a SKIP"),
        (Find.BREAK, "PASS", "ERROR", End.ENDS_UNDECIDED, "a ERROR"),
    ],
)
def test_ends_between_which_there_is_nothing(find: Find, good: str, bad: str, end: End, words: str) -> None:
    found = rules.ends(find, [run(a=good)], [run(a=bad)])
    assert found is not None and found[0] is end and words in found[1]


def test_ends_between_which_there_is_something() -> None:
    for find in Find:
        assert rules.ends(find, [GOOD], [LOOP]) is None


def test_confidence() -> None:
    found = Confidence(bad=8, of=10, repeat=3, goods=4)
    assert found.rate == 0.75
    assert found.good == pytest.approx(1 - 0.25**3)
    assert found.all == pytest.approx((1 - 0.25**3) ** 4)
    need = wanted(found)
    assert need == 5
    assert Confidence(8, 10, need, 4).all >= 0.99 > Confidence(8, 10, need - 1, 4).all
