# SPDX-License-Identifier: GPL-2.0-or-later
"""How often a commit is run, and what becomes of a run that ends badly; guests say what they are told."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from harness.bisected import Commit, Step
from harness.errors import BuildError, InfrastructureError
from harness.jobs.bisect_commit import Judge
from harness.jobs.bisect_state import State
from harness.model import GuestRecord, Outcome, PathResult, Setup, Splat, Workload
from harness.sought import Mark

KEY = ("a", "a57")
PANIC = Splat("panic", "Kernel panic - not syncing: planted", "trace", 1)


def record(word: str) -> GuestRecord:
    """A guest of one path; in small letters: it did not boot."""
    result = PathResult("a", "a57", Outcome(word.upper()))
    if word.islower():
        return GuestRecord("x", "a57", (result,), "PANIC", boot_splats=(PANIC,), booted=False)
    return GuestRecord("x", "a57", (result,), "POWEROFF")


class Desk:
    """A judge whose kernels are made up."""

    def __init__(self, *, repeat: int = 1, boot_fail: Mark = Mark.SKIP, state: State | None = None) -> None:
        self.script: list[str | Exception] = []
        self.again: list[bool] = []
        self.images: dict[str, str] = {}
        self.saved: list[State] = []
        self.judge = Judge(
            bench=cast(Any, SimpleNamespace(make=self._make, base=SimpleNamespace(name="6.1", version="6.1.1"))),
            guests=cast(Any, SimpleNamespace(run=self._run)),
            workloads=(Workload("a", "A", "what"), Workload("b", "A", "what")),
            setups=(Setup("a57", "cortex-a57"),),
            repeat=repeat,
            boot_fail=boot_fail,
            state=state or State({}, {}, watched=(KEY,)),
            save=self._save,
        )

    def _save(self, state: State) -> None:
        self.saved.append(state)
        self.judge.state = state

    def _make(self, commit: Commit) -> object:
        if commit.sha.startswith("e"):
            raise BuildError("Linux 6.1: cannot build kernel", detail="mm/x.c:1:2: error: planted\nmore\n")
        image = self.images.get(commit.sha, commit.sha)
        return SimpleNamespace(built=SimpleNamespace(objects=3), image=image, notes=())

    def _run(self, *_: object, again: bool) -> list[GuestRecord]:
        self.again.append(again)
        said = self.script.pop(0)
        if isinstance(said, Exception):
            raise said
        return [record(said)]

    def told(self, *script: str | Exception, sha: str = "a" * 40) -> Step:
        self.script, self.again = list(script), []
        step = self.judge.commit(Commit(sha, "subject"))
        assert not self.script, "a guest was not run"
        return step


def test_one_run_that_does_wrong_ends_it() -> None:
    assert Desk(repeat=4).told("PASS", "LOOP").mark is Mark.BAD
    assert Desk(repeat=3).told("PASS", "PASS", "PASS").mark is Mark.GOOD


def test_only_the_first_run_may_come_from_the_cache() -> None:
    desk = Desk(repeat=3)
    desk.told("PASS", "PASS", "PASS")
    assert desk.again == [False, True, True]


@pytest.mark.parametrize("word", ["HANG", "ERROR"])
def test_what_a_starved_host_looks_like_is_seen_twice(word: str) -> None:
    assert Desk().told(word, "PASS").mark is Mark.GOOD
    assert Desk().told("HANG", "HANG").mark is Mark.BAD
    assert Desk().told("ERROR", "ERROR").mark is Mark.SKIP


def test_what_does_not_boot() -> None:
    step = Desk().told("splat")
    assert (
        step.mark is Mark.SKIP and "does not boot on a57: Kernel panic" in step.reason and step.detail == "trace"
    )
    assert Desk(boot_fail=Mark.BAD).told("splat").mark is Mark.BAD


def test_what_does_not_build() -> None:
    step = Desk().told(sha="e" * 40)
    assert step.mark is Mark.SKIP and step.reason == "does not build: mm/x.c:1:2: error: planted"
    assert "more" in step.detail and step.image == ""


def test_the_same_image_is_not_run_again() -> None:
    desk = Desk()
    desk.told("LOOP", sha="1" * 40)
    desk.images["2" * 40] = "1" * 40
    step = desk.told(sha="2" * 40)
    assert step.mark is Mark.BAD and step.same_as == "1" * 40
    desk.images["3" * 40] = "1" * 40
    assert desk.told(sha="3" * 40).same_as == "1" * 40


def test_the_same_image_that_says_nothing_is_run_again() -> None:
    desk = Desk()
    desk.told("INVALID", sha="1" * 40)
    desk.images["2" * 40] = "1" * 40
    assert desk.told("PASS", sha="2" * 40).mark is Mark.GOOD


def test_trouble_of_the_host_decides_nothing_and_loses_no_run() -> None:
    desk = Desk(repeat=3)
    with pytest.raises(InfrastructureError):
        desk.told("PASS", InfrastructureError("disk full"))
    assert desk.judge.state.steps == ()
    went_on = Desk(repeat=3, state=desk.saved[-1])
    assert went_on.told("PASS", "PASS").mark is Mark.GOOD
    assert went_on.again == [True, True]


def test_only_what_decides_is_run() -> None:
    judge = Desk().judge
    workloads, setups = judge.chosen((KEY,))
    assert [w.path for w in workloads] == ["a"] and [s.name for s in setups] == ["a57"]
    assert len(judge.chosen(())[0]) == 2
    assert [w.path for w in judge.chosen((("boot", "a57"),))[0]] == ["a"]
