# SPDX-License-Identifier: GPL-2.0-or-later
"""Bisections of real kernels, in a history of which it is known what breaks and what mends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from harness.jobs.workshop import Workshop
from tests.vm import planted
from tests.vm.command import ROOT, Called, faultloop
from tests.vm.planted import MINCORE, Tree

PATHS = ("--setup", "cortex-a57", "--workloads", "anon-reuse,shmem-clean")
FEW = ("comment", "break", "harmless-0", "harmless-1", "mend", "harmless-2")
_SECONDS = 1500.0

FIX_UP = f"""\
--- a/{MINCORE}
+++ b/{MINCORE}
@@ -1,4 +1,3 @@
 // SPDX-License-Identifier: GPL-2.0
-#error planted one
 /*
  *	linux/mm/mincore.c
"""


@pytest.fixture(scope="module")
def few(shop: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Tree:
    """Six commits."""
    by_name = {one.name: one for one in planted.HISTORY}
    return planted.plant(shop, tmp_path_factory.mktemp("few") / "tree", tuple(by_name[name] for name in FEW))


@pytest.fixture(scope="module")
def tree(shop: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Tree:
    """All of them."""
    assert len(planted.HISTORY) >= 24
    return planted.plant(shop, tmp_path_factory.mktemp("planted") / "tree")


def words(tree: Tree, good: str, bad: str, *more: str | Path) -> list[str | Path]:
    ends = ["--good", tree.commits[good], "--bad", tree.commits[bad]]
    return ["bisect", "--tree", tree.path, *ends, *PATHS, *more, "--json"]


def bisect(tree: Tree, results: Path, good: str, bad: str, *more: str | Path) -> dict[str, Any]:
    """A bisection that finds something; the tree is as it was."""
    before = tree.state()
    called = faultloop(*words(tree, good, bad, *more), results=results)
    assert called.status == 0, called.stderr
    assert tree.state() == before
    return called.run


def marks(tree: Tree, found: dict[str, Any]) -> dict[str, str]:
    """What each commit was found to be."""
    names = {sha: name for name, sha in tree.commits.items()}
    return {names[step["sha"]]: step["mark"] for step in found["steps"]}


def test_what_broke_it_and_what_mended_it(few: Tree, tmp_path: Path) -> None:
    found = bisect(few, tmp_path, "root", "harmless-1")
    assert found["first"]["sha"] == few.commits["break"]
    assert found["parent"]["sha"] == few.commits["comment"]
    assert found["watched"] == [["anon-reuse", "cortex-a57"]] and found["verdict"] == "REGRESSES"
    assert {p["path"]: (p["parent"], p["commit"]) for p in found["paths"]} == {
        "anon-reuse": ("PASS", "LOOP"),
        "shmem-clean": ("PASS", "PASS"),
    }
    same = [step for step in found["steps"] if step["same_as"]]
    assert same, "a commit that changes nothing that is built was run"
    log = (Path(found["results"]) / "bisect.log").read_text()
    assert f"# first bad commit: [{few.commits['break']}]" in log
    found = bisect(few, tmp_path, "harmless-2", "harmless-0", "--find", "fix")
    assert found["first"]["sha"] == few.commits["mend"] and found["verdict"] == "FIXES"
    assert not list(tmp_path.glob("*/git"))


@pytest.mark.long
def test_ends_between_which_there_is_nothing(few: Tree, tmp_path: Path) -> None:
    called = faultloop(*words(few, "break", "harmless-1"), results=tmp_path)
    assert (called.status, called.run["end"]) == (2, "already there"), called.stderr
    called = faultloop(*words(few, "root", "comment"), results=tmp_path)
    assert (called.status, called.run["end"]) == (2, "not yet introduced"), called.stderr
    called = faultloop(*words(few, "break", "comment"), results=tmp_path)
    assert called.status == 2 and "comes before" in called.stderr and "FIND=fix" in called.stderr


@pytest.mark.long
def test_the_command_of_git_bisect_run(few: Tree, tmp_path: Path) -> None:
    def step(name: str, *more: str) -> Called:
        words = ["bisect-step", "--tree", few.path, "--rev", few.commits[name], *PATHS, *more]
        return faultloop(*words, results=tmp_path)

    assert step("comment").status == 0
    assert step("break").status == 1
    assert step("break", "--find", "fix").status == 0
    assert step("break", "--setup", "no-such").status == 255, "a wrong option is no bad commit"
    assert faultloop("bisect-step", "--no-such-option", results=tmp_path).status == 255


@pytest.mark.long
def test_killed_half_way(tree: Tree, tmp_path: Path) -> None:
    """The commit that broke it, past one that does not build and one that does not boot; by SIGKILL."""
    first = subprocess.Popen(
        [str(ROOT / "faultloop"), *map(str, words(tree, "root", "builds-2", "--fresh"))],
        env={**os.environ, "FAULTLOOP_RESULTS": str(tmp_path)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    until = time.monotonic() + _SECONDS
    while len(known(tmp_path)) < 4 and first.poll() is None and time.monotonic() < until:
        time.sleep(0.2)
    assert first.poll() is None, "it ended before it could be killed"
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    before = known(tmp_path)
    assert len(before) >= 4
    found = faultloop(*words(tree, "root", "builds-2"), results=tmp_path)
    assert found.status == 0 and f"going on: {len(before)} commits are judged already" in found.stderr
    assert found.run["first"]["sha"] == tree.commits["break"]
    assert [step["sha"] for step in found.run["steps"]][: len(before)] == before
    skipped = {name: mark for name, mark in marks(tree, found.run).items() if mark == "skip"}
    assert set(skipped) == {"no-build-1", "panic"}
    said = " ".join(step["reason"] for step in found.run["steps"] if step["mark"] == "skip")
    assert "#error planted one" in said and "does not boot on cortex-a57: Kernel panic" in said
    log = Path(found.run["results"]) / "bisect.log"
    again = bisect(tree, tmp_path / "replayed", "root", "builds-2", "--replay", log)
    assert again["first"]["sha"] == tree.commits["break"]
    assert all(step["reason"].startswith("as ") for step in again["steps"] if not step["end"])


def known(results: Path) -> list[str]:
    """Commits that are judged, by the state on disk."""
    for state in results.glob("bisect-*/bisect-state.json"):
        return [step["sha"] for step in json.loads(state.read_text())["steps"]]
    return []


@pytest.mark.long
def test_what_mended_it_past_a_commit_that_does_not_build(tree: Tree, tmp_path: Path) -> None:
    found = bisect(tree, tmp_path, "flaky", "break", "--find", "fix")
    assert found["first"]["sha"] == tree.commits["mend"]
    assert marks(tree, found)["no-build-2"] == "skip" and found["confidence"]["of"] == 1


@pytest.mark.long
def test_only_commits_that_cannot_be_judged_are_left(shop: Workshop, tmp_path: Path) -> None:
    by_name = {one.name: one for one in planted.HISTORY}
    both = planted.Planted("both", "mm: two at once", (*by_name["break"].edits, *by_name["no-build-1"].edits))
    tree = planted.plant(shop, tmp_path / "tree", (both, by_name["builds-1"]))
    called = faultloop(*words(tree, "root", "builds-1"), results=tmp_path / "results")
    assert called.status == 3, called.stderr
    assert called.run["end"] == "one of these" and called.run["first"] is None
    assert {one["sha"] for one in called.run["suspects"]} == {tree.commits["both"], tree.commits["builds-1"]}
    (skipped,) = (step for step in called.run["steps"] if step["mark"] == "skip")
    assert "#error planted one" in skipped["reason"], "the compiler's line"


@pytest.mark.long
def test_a_boot_that_counts(tree: Tree, tmp_path: Path) -> None:
    found = bisect(tree, tmp_path, "no-build-1", "panic", "--boot-fail", "bad", "--patch", fix_up(tmp_path))
    assert found["first"]["sha"] == tree.commits["panic"]
    assert found["watched"] == [["boot", "cortex-a57"]]
    notes = {note for step in found["steps"] for note in step["notes"]}
    assert len(notes) == 1 and "has the fix-up already" in notes.pop()


def fix_up(folder: Path) -> Path:
    path = folder / "fix-up.patch"
    path.write_text(FIX_UP)
    return path


@pytest.mark.long
def test_a_path_that_fails_at_times(tree: Tree, tmp_path: Path) -> None:
    found = bisect(tree, tmp_path, "mend", "harmless-17", "--repeat", "6")
    assert found["first"]["sha"] == tree.commits["flaky"]
    assert found["watched"] == [["shmem-clean", "cortex-a57"]]
    sure = found["confidence"]
    assert sure["of"] == 6 and 0 < sure["bad"] <= 6 and 0 < sure["all"] <= sure["good"] < 1


@pytest.mark.long
def test_git_drives_it_itself(few: Tree, tmp_path: Path) -> None:
    where = tmp_path / "clone"
    planted.git(tmp_path, "clone", "-q", "--shared", "--no-checkout", str(few.path), str(where))
    planted.git(where, "bisect", "start", "--no-checkout", few.commits["harmless-1"], few.commits["root"])
    line = " ".join(["bisect", "run", str(ROOT / "faultloop"), "bisect-step", *PATHS])
    said = planted.git(where, *line.split())
    assert f"{few.commits['break']} is the first bad commit" in said
