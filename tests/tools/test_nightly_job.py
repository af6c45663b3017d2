# SPDX-License-Identifier: GPL-2.0-or-later
"""One night after another, with guests that are made up: what is entered, bisected, kept, and what is not."""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.bisected import Commit
from harness.build.cache import Cache
from harness.errors import UserError
from harness.jobs import history as jobs_history
from harness.jobs import nightly as job
from harness.jobs.nightly import Budget, NightRequest
from harness.model import Emulator, GuestImage, GuestRecord, Kernel, Series
from harness.nights import Kind, Night, Teeth
from harness.past import Stage
from harness.progress import Progress
from harness.sources import catalogue
from harness.sources.mirror import Tip
from harness.store import history
from harness.store.database import Store
from harness.swept import Cell
from tests.unit import runs

# Read once: YAML is slow
_ROWS, _WORKLOADS = functools.cache(job.load), functools.cache(catalogue.workloads)
PATHS = ("anon-reuse", "shmem-clean")
TEETH = Teeth("7.3-remove-notification", (("anon-reuse", "cortex-a57"),))


class World:
    """The tree, what its guests do, and the calls of a bisection."""

    def __init__(self, root: Path, patch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.tip = Tip(root, "next-20260101", "c1")
        self.outcomes: Sequence[str] = ("PASS", "PASS")
        self.again: dict[tuple[str, str], list[Any]] = {}
        self.stage = Stage.RAN
        self.teeth = TEETH
        self.bisected: list[Any] = []
        self.first: Commit | None = Commit("bad1", "it broke")
        self.ran = 0
        patch.delenv(jobs_history.VARIABLE, raising=False)
        patch.setattr(job.mirror, "newest", lambda *_args, **_more: self.tip)
        patch.setattr(job, "night_tree", self._tree)
        patch.setattr(job.night_guests, "NightGuests", lambda *_args, **_more: self)
        patch.setattr(job, "bisect", self._bisect)
        patch.setattr(job, "load", _ROWS)
        patch.setattr(job.catalogue, "workloads", _WORKLOADS)
        cache = Cache(root / "cache")
        emulator = Emulator(root / "qemu", "e", "10", "")
        image = GuestImage(root / "i", root / "d", root / "k", "", "g")
        progress = Progress(root / "timings.json", quiet=True)
        self.shop: Any = SimpleNamespace(cache=cache, emulator=emulator, guest_image=image, progress=progress)

    @contextlib.contextmanager
    def _tree(self, *_args: Any) -> Iterator[Any]:
        yield SimpleNamespace(
            cells=lambda setups: list(setups), fits=lambda rows: [], unbuilt=SimpleNamespace(version="7.3")
        )

    def sweep(self, setups: Sequence[Any], workloads: Sequence[Any]) -> list[Cell]:
        self.ran += 1
        kernel = Kernel("t", "7.3.0", f"git {'12' * 20}", self.tip.commit, self.root)
        built = replace(runs.built(Series(), self.root), kernel=kernel)
        results = tuple(replace(runs.result(p, o), path=p) for p, o in zip(PATHS, self.outcomes, strict=True))
        cells = []
        for setup in setups:
            record = GuestRecord("base", setup.name, results, "POWEROFF")
            ran = self.stage is Stage.RAN
            error = "" if ran else "it does not"
            cells.append(
                Cell(kernel, setup, built if ran else None, record if ran else None, error, stage=self.stage)
            )
        self.kept = [jobs_history.of_cell(cell) for cell in cells]
        return cells

    def controls(self, *_args: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
        return (), ()

    def bite(self, *_args: Any) -> Teeth:
        return self.teeth

    def _bisect(self, asked: Any, _shop: Any) -> Any:
        self.bisected.append(asked)
        return SimpleNamespace(first=self.first, summary="bad1 broke it" if self.first else "steps are used up")

    def night(self, number: int = 0, *outcomes: str, **more: Any) -> Night:
        if number:
            self.tip = Tip(self.root, f"next-202601{number:02}", f"c{number}")
        self.outcomes = outcomes or self.outcomes
        values = {"tree": str(self.root), "setups": "cortex-a57", "workloads": ",".join(PATHS), **more}
        return job.nightly(NightRequest(results=self.results, **values), self.shop)

    @property
    def results(self) -> Path:
        return self.root / "results"

    @property
    def folders(self) -> list[str]:
        return sorted(p.name.split("-nightly-")[1] for p in self.results.glob("[!.]*-nightly-*"))


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    made = World(tmp_path, monkeypatch)
    made_again = made.again

    def more(*_args: Any) -> Any:
        return made_again

    monkeypatch.setattr(made, "again", more)
    return made


def paths(night: Night, kind: Kind) -> list[str]:
    return [f.path for f in night.of(kind)]


def test_three_nights(world: World) -> None:
    first = world.night(1)
    assert (first.status, first.compared, world.bisected) == (0, 0, [])
    second = world.night(2, "LOOP", "PASS")
    assert (second.status, second.compared, second.last) == (1, 1, "next-20260101")
    [new] = second.of(Kind.NEW)
    assert (new.path, new.since, new.first_bad, new.found) == (PATHS[0], "next-20260101", "bad1", "bad1 broke it")
    [asked] = world.bisected
    assert (asked.good, asked.bad, asked.workloads, asked.setups) == ("c1", "c2", PATHS[0], "cortex-a57")
    assert (asked.max_steps, asked.max_seconds) == (15, 14400.0)
    third = world.night(3, "LOOP", "LOOP")
    assert (paths(third, Kind.NEW), paths(third, Kind.STILL)) == ([PATHS[1]], [PATHS[0]])
    assert world.bisected[1].good == "c2"
    fourth = world.night(4, "PASS", "LOOP")
    assert (fourth.status, paths(fourth, Kind.MENDED), paths(fourth, Kind.STILL)) == (0, [PATHS[0]], [PATHS[1]])
    text = Path(second.folder, "night.txt").read_text()
    assert text.startswith("faultloop: next-20260102: 1 new\n")
    assert json.loads(Path(second.folder, "night.json").read_text())["subject"] == text.splitlines()[0]
    assert Path(second.folder, "kcidb.json").is_file()
    points = jobs_history.course(world.results, PATHS[0], named="next-*")
    assert [str(p.outcome) for p in points] == ["PASS", "LOOP", "LOOP", "PASS"]


def test_a_tag_is_judged_once_unless_it_was_inconclusive(world: World) -> None:
    world.teeth = Teeth(why="x does not apply")
    assert world.night(1).status == 3
    world.teeth = TEETH
    assert world.night(1).status == 0 and world.ran == 2
    again = world.night(1)
    assert again.already and again.status == 0 and world.ran == 2
    assert "nothing newer than next-20260101" in again.summary
    assert world.night(1, fresh=True).already == "" and world.ran == 3
    assert world.night(1, "PASS", "PASS", setups="cortex-a76").already == ""


def test_a_budget_that_did_not_do_has_a_command(world: World) -> None:
    world.night(1)
    world.first = None
    [new] = world.night(2, "LOOP", "PASS", budget=Budget(1)).of(Kind.NEW)
    assert new.found.startswith("steps are used up. To go on: faultloop bisect --tree ")
    assert new.found.endswith("--good c1 --bad c2 --setup cortex-a57 --workloads anon-reuse")
    [new] = world.night(3, "LOOP", "LOOP", budget=Budget(0)).of(Kind.NEW)
    assert (new.found, len(world.bisected)) == ("not bisected: BUDGET=0", 1)


def test_a_bisection_that_fails_does_not_end_the_night(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.night(1)

    def fails(*_args: Any) -> Any:
        raise UserError("git knows no commit 'c1' there")

    monkeypatch.setattr(job, "bisect", fails)
    night = world.night(2, "LOOP", "PASS")
    assert night.status == 1
    assert night.of(Kind.NEW)[0].found == "the bisection failed: git knows no commit 'c1' there"


@pytest.mark.parametrize(
    ("stage", "status", "kind"),
    [
        (Stage.BUILD, 1, Kind.NEW),
        (Stage.DRIVER, 4, Kind.NOT_RUN),
        (Stage.BOOT, 1, Kind.NEW),
        (Stage.HARNESS, 4, None),
    ],
)
def test_a_kernel_that_does_not_run(world: World, stage: Stage, status: int, kind: Kind | None) -> None:
    world.night(1)
    world.stage = stage
    night = world.night(2)
    assert night.status == status
    told = [f for f in night.findings if f.path.startswith("(") and f.kind is not Kind.GOOD]
    assert [f.kind for f in told] == ([kind] if kind else [])
    assert set(paths(night, Kind.NOT_RUN)) >= set(PATHS)
    assert world.bisected == []
    world.stage = Stage.RAN
    assert world.night(3).status == 0


def test_an_interrupted_night_leaves_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.night(1)

    def stopped(*_args: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(job, "bisect", stopped)
        world.night(2, "LOOP", "PASS")
    assert world.folders == ["next-20260101"]
    assert not list(world.results.glob(".partial-*"))
    assert len(history.nights(Store(world.results / "history.sqlite"), tree=str(world.root), branch="")) == 1
    assert world.night(2).status == 1


def test_old_folders_go_but_not_those_of_an_open_failure(world: World) -> None:
    for number in range(1, 4):
        world.night(number, keep=2)
    assert world.folders == ["next-20260102", "next-20260103"]
    for number in range(4, 8):
        night = world.night(number, "LOOP", "PASS", keep=2)
    assert world.folders == ["next-20260103", "next-20260104", "next-20260106", "next-20260107"]
    assert len(night.removed) == 1 and "next-20260105" in night.removed[0]
    (world.results / "mine").mkdir()
    world.night(8, "PASS", "PASS", keep=1, keep_bytes=0)
    assert world.folders == ["next-20260108"]
    assert (world.results / "mine").is_dir()


def test_a_branch_and_another_tree_have_nights_of_their_own(world: World) -> None:
    world.night(1)
    assert world.night(2, "LOOP", "PASS", branch="master").compared == 0
    assert world.night(3, "LOOP", "PASS", tree="https://example.org/x.git").compared == 0
    assert world.night(4, "LOOP", "PASS").compared == 1
