# SPDX-License-Identifier: GPL-2.0-or-later
"""A series patch by patch: which step is bad, and how that is told."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from harness.errors import BuildError
from harness.jobs import each as job
from harness.jobs.base import Base
from harness.jobs.test_patch import Request
from harness.model import Checks, Patch, Run, Series, Step
from harness.report import document, steps
from harness.sources.patch_input import Given
from tests.unit import runs

SERIES = Series(tuple(Patch(f"mm: step {n}", f"diff {n}") for n in (1, 2, 3)), title="mm: steps")


def run(folder: Path, *patched: str, warnings: tuple[str, ...] = ()) -> Run:
    return replace(runs.run(folder, ["LOOP", "LOOP", "PASS"], list(patched)), checks=Checks(warnings=warnings))


class Shop:
    """Gives the series; says nothing."""

    progress = property(lambda self: self)

    def patches(self, *_: object, **__: object) -> Given:
        return Given(SERIES)

    def say(self, _: str) -> None:
        pass


@pytest.fixture
def walk(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[list[Step], Run, Path]]:
    """``each()`` where the steps' runs are given; an exception is raised in its place."""

    def walk(*results: Run | BuildError) -> tuple[list[Step], Run, Path]:
        asked: list[tuple[str, int]] = []

        def run_series(request: Request, _shop: object, given: Given) -> tuple[Run, Path]:
            asked.append((request.kernel, len(given.series.patches)))
            result = results[len(asked) - 1]
            if isinstance(result, BuildError):
                raise result
            return result, Path("results")

        monkeypatch.setattr(job, "run_series", run_series)
        monkeypatch.setattr(job, "base_of", lambda *_, **__: Base(runs.KERNEL))
        found = job.each(Request(), Shop())  # type: ignore[arg-type]
        assert asked == [("6.1", 1), ("6.1", 2), ("6.1", 3)]
        return found

    return walk


def test_a_series_that_a_bisection_can_stand_on(walk: Callable[..., object], tmp_path: Path) -> None:
    found, whole, _ = walk(  # type: ignore[misc]
        run(tmp_path, "LOOP", "LOOP", "PASS"),
        run(tmp_path, "PASS", "LOOP", "PASS"),
        run(tmp_path, "PASS", "PASS", "PASS"),
    )
    assert [step.faults for step in found] == [(), (), ()]
    assert whole.judgement.verdict == "FIXES"
    assert "all 3 patches build" in steps.plain(found)


def test_a_build_break_in_mid_series_is_named_and_the_whole_judged(
    walk: Callable[..., object], tmp_path: Path
) -> None:
    broken = BuildError("mm/memory.c does not compile", detail="mm/memory.c:3: error: no")
    found, whole, _ = walk(run(tmp_path, "LOOP", "LOOP", "PASS"), broken, run(tmp_path, "PASS", "PASS", "PASS"))  # type: ignore[misc]
    assert [bool(step.faults) for step in found] == [False, True, False]
    text = steps.plain(found)
    assert "first bad: patch 2, does not build: mm/memory.c does not compile" in text
    assert "mm/memory.c:3: error: no" in text
    told = json.loads(document.dump_steps(whole, found))
    assert [step["verdict"] for step in told["steps"]] == ["NO-EFFECT", None, "FIXES"]
    assert told["verdict"] == "FIXES"


def test_a_whole_that_does_not_build_is_an_error(walk: Callable[..., object], tmp_path: Path) -> None:
    with pytest.raises(BuildError):
        walk(run(tmp_path, "LOOP", "LOOP", "PASS"), run(tmp_path, "LOOP", "LOOP", "PASS"), BuildError("no"))


def test_what_an_earlier_patch_mended_may_not_break_again(walk: Callable[..., object], tmp_path: Path) -> None:
    found, whole, _ = walk(  # type: ignore[misc]
        run(tmp_path, "PASS", "LOOP", "PASS"),
        run(tmp_path, "LOOP", "PASS", "PASS"),
        run(tmp_path, "PASS", "PASS", "PASS"),
    )
    assert whole.judgement.verdict == "FIXES"
    assert found[1].faults == ("worse than one patch before: a on cortex-a57: PASS -> LOOP",)
    assert found[2].faults == ()


def test_a_first_patch_that_is_worse_than_the_base(walk: Callable[..., object], tmp_path: Path) -> None:
    later = run(tmp_path, "PASS", "PASS", "LOOP")
    found, _, _ = walk(later, later, later)  # type: ignore[misc]
    assert found[0].faults[0].startswith("worse: c worse than on the base")
    assert found[1].faults == ()


def test_a_warning_counts_where_it_is_new(walk: Callable[..., object], tmp_path: Path) -> None:
    quiet = run(tmp_path, "PASS", "PASS", "PASS")
    loud = run(tmp_path, "PASS", "PASS", "PASS", warnings=("mm/x.c:1:1: warning: unused",))
    found, _, _ = walk(quiet, loud, loud)  # type: ignore[misc]
    assert [step.faults for step in found] == [(), ("warns: mm/x.c:1:1: warning: unused",), ()]


def test_a_step_that_says_nothing_is_no_good_step(walk: Callable[..., object], tmp_path: Path) -> None:
    good = run(tmp_path, "PASS", "PASS", "PASS")
    found, _, _ = walk(good, run(tmp_path, "PASS", "INVALID", "PASS"), good)  # type: ignore[misc]
    assert found[1].faults == ("undecided: b on cortex-a57: INVALID",)
