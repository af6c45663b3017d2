# SPDX-License-Identifier: GPL-2.0-or-later
"""Real git, driven beside a repository that must stay as it is."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from harness.errors import UserError
from harness.sought import Find, Mark
from harness.sources.git_bisect import Asked, Bisector, read_log


def call(where: Path, *argv: str) -> str:
    words = ["git", "-C", str(where), "-c", "user.name=A", "-c", "user.email=a@b.org", *argv]
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return subprocess.run(words, check=True, capture_output=True, text=True, env=env).stdout.strip()


class History:
    """``c0`` to ``c7`` in a row, with traps for whoever starts what a repository names."""

    def __init__(self, root: Path) -> None:
        self.tree = root / "tree"
        self.tree.mkdir()
        call(self.tree, "init", "-q", "--initial-branch=main")
        self.shas: list[str] = []
        for number in range(8):
            self.commit(f"c{number}")
        self.mark = root / "mark"
        trap = root / "trap"
        trap.write_text(f"#!/bin/sh\necho $0 >>{self.mark}\n")
        trap.chmod(0o755)
        for hook in ("post-checkout", "reference-transaction", "post-index-change"):
            (self.tree / ".git/hooks" / hook).symlink_to(trap)
        for key in ("core.fsmonitor", "core.pager", "diff.external"):
            call(self.tree, "config", key, str(trap))

    def commit(self, subject: str) -> str:
        (self.tree / "file").write_text(subject)
        call(self.tree, "add", "file")
        call(self.tree, "commit", "-qm", subject)
        self.shas.append(call(self.tree, "rev-parse", "HEAD"))
        return self.shas[-1]

    def snapshot(self) -> dict[str, tuple[int, int]]:
        found = {}
        for file in sorted(self.tree.rglob("*")):
            if file.is_file():
                found[str(file)] = (file.stat().st_mtime_ns, file.stat().st_size)
        return found


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path)


def search(git: Bisector, asked: Asked, bad: list[str], skip: list[str] | None = None) -> tuple[Asked, list[str]]:
    """Answer git's questions; what it ended with, and what it asked for."""
    seen = []
    while asked.next:
        seen.append(asked.next)
        mark = Mark.SKIP if asked.next in (skip or []) else Mark.BAD if asked.next in bad else Mark.GOOD
        asked = git.mark(asked.next, mark)
    return asked, seen


@pytest.mark.parametrize("first", range(1, 8))
def test_the_commit_that_broke_it(history: History, tmp_path: Path, first: int) -> None:
    before = history.snapshot()
    with Bisector(history.tree, tmp_path / "git", Find.BREAK) as git:
        asked, _ = search(git, git.start(history.shas[0], history.shas[7]), history.shas[first:])
        assert asked.first == history.shas[first]
        assert f"# first bad commit: [{history.shas[first]}]" in git.log()
    assert history.snapshot() == before and not history.mark.exists()
    assert not (tmp_path / "git").exists()


def test_the_commit_that_mended_it(history: History, tmp_path: Path) -> None:
    with Bisector(history.tree, tmp_path / "git", Find.FIX) as git:
        start = git.start(good=history.shas[7], bad=history.shas[0])
        asked, _ = search(git, start, bad=history.shas[:5])
        assert asked.first == history.shas[5]
        assert "git bisect fixed" in git.log() and "git bisect broken" in git.log()


def test_only_skipped_commits_are_left(history: History, tmp_path: Path) -> None:
    with Bisector(history.tree, tmp_path / "git", Find.BREAK) as git:
        skip = history.shas[3:5]
        asked, _ = search(git, git.start(history.shas[0], history.shas[7]), history.shas[3:], skip)
        assert set(asked.suspects) == set(history.shas[3:6])


def test_a_good_end_on_a_branch_of_its_own(history: History, tmp_path: Path) -> None:
    call(history.tree, "checkout", "-q", "-b", "side", history.shas[2])
    side = history.commit("side")
    with Bisector(history.tree, tmp_path / "git", Find.BREAK) as git:
        asked = git.start(side, history.shas[7])
        assert asked.merge_base and asked.next == history.shas[2]
        found, _ = search(git, asked, history.shas[4:8])
        assert found.first == history.shas[4]
    with Bisector(history.tree, tmp_path / "git", Find.BREAK) as git:
        git.start(side, history.shas[7])
        assert git.mark(history.shas[2], Mark.BAD).mended_beside == history.shas[2]


def test_it_borrows_all_that_the_tree_has(history: History, tmp_path: Path) -> None:
    with Bisector(history.tree, tmp_path / "git", Find.BREAK) as git:
        assert git.has_tree(call(history.tree, "rev-parse", "HEAD^{tree}"))
        assert not git.has_tree("0" * 40) and not git.has_tree("ab" * 32) and not git.has_tree("--help")
        assert git.commit(history.shas[3]).subject == "c3"
        assert git.commit(history.shas[3]).parents == (history.shas[2],)
        assert git.is_ancestor(history.shas[1], history.shas[2])
        assert not git.is_ancestor(history.shas[2], history.shas[1])


def test_told_again_it_asks_for_the_same(history: History, tmp_path: Path) -> None:
    with Bisector(history.tree, tmp_path / "git", Find.BREAK) as git:
        asked = git.start(history.shas[0], history.shas[7])
        told = [(asked.next, Mark.SKIP)]
        expected = git.mark(*told[0]).next
    with Bisector(history.tree, tmp_path / "git", Find.BREAK) as git:
        git.start(history.shas[0], history.shas[7])
        assert git.mark(*told[0]).next == expected


def test_a_log_is_read_again(history: History, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with Bisector(history.tree, tmp_path / "git", Find.FIX) as git:
        search(git, git.start(good=history.shas[7], bad=history.shas[0]), history.shas[:5], history.shas[3:4])
        log.write_text(git.log())
    found = read_log(log)
    assert found.find is Find.FIX
    assert (history.shas[5], Mark.GOOD) in found.marks and (history.shas[4], Mark.BAD) in found.marks
    assert (history.shas[3], Mark.SKIP) in found.marks
    by_hand = tmp_path / "by-hand"
    call(history.tree, "bisect", "start", history.shas[7], history.shas[0])
    call(history.tree, "bisect", "good", "HEAD")
    by_hand.write_text(call(history.tree, "bisect", "log"))
    assert [mark for _, mark in read_log(by_hand).marks] == [Mark.GOOD]


@pytest.mark.parametrize(
    "text", ["", "git bisect start\ngit bisect good $(rm -rf /)\n", "git bisect good " + "a" * 40]
)
def test_what_is_no_log(tmp_path: Path, text: str) -> None:
    (tmp_path / "log").write_text(text)
    with pytest.raises(UserError, match="log"):
        read_log(tmp_path / "log")
