# SPDX-License-Identifier: GPL-2.0-or-later
"""The newest tag of a tree, from a local repository and over git, with the history that a bisection needs."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from harness.build.cache import Cache
from harness.errors import InfrastructureError, UserError
from harness.sources import git, mirror


@pytest.mark.parametrize(
    ("names", "newest"),
    [
        ([], ""),
        (["v6.1", "next-1", "next-20260101x", "xnext-20260101"], ""),
        (["next-20251231", "next-20260102", "next-20260101"], "next-20260102"),
        (["next-20260102-2", "next-20260102-10", "next-20260102"], "next-20260102-10"),
    ],
)
def test_newest_tag(names: list[str], newest: str) -> None:
    assert mirror.newest_tag(names) == newest


class Repository:
    """A tree whose nights are merges on a line of their own, each above the commits of that day."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.call("init", "--quiet", "--initial-branch=master")

    def call(self, *argv: str, day: int = 0) -> str:
        date = (datetime.now(UTC) - timedelta(days=day)).strftime("%Y-%m-%dT%H:%M:%S")
        who = {f"GIT_{w}_{k}": v for w in ("AUTHOR", "COMMITTER") for k, v in (("NAME", "n"), ("EMAIL", "e@x"))}
        dates = {"GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date}
        env = {**git.environment(), **who, **dates}
        return subprocess.run(
            ["git", "-C", str(self.folder), *argv], env=env, check=True, capture_output=True, text=True
        ).stdout.strip()

    def commit(self, day: int) -> str:
        (self.folder / "file").write_text(f"{day}\n")
        self.call("add", "file")
        self.call("commit", "--quiet", "-m", f"day {day}", day=day)
        return self.call("rev-parse", "HEAD")


@pytest.fixture
def tree(tmp_path: Path) -> Repository:
    made = Repository(tmp_path / "tree")
    for day in (500, 300, 20, 10):
        made.commit(day)
    made.call("tag", "next-20260101")
    return made


def newest(
    tree: Repository, root: Path, *, url: bool = True, branch: str = "", also: list[str] | None = None
) -> mirror.Tip:
    name = f"file://{tree.folder}" if url else str(tree.folder)
    return mirror.newest(name, branch, cache=Cache(root / "cache"), also=also or [], say=lambda line: None)


def test_a_local_repository_is_read_where_it_is(tree: Repository, tmp_path: Path) -> None:
    tip = newest(tree, tmp_path, url=False)
    assert tip == mirror.Tip(tree.folder, "next-20260101", tree.call("rev-parse", "HEAD"))
    head = tree.commit(5)
    assert newest(tree, tmp_path, url=False, branch="master").ref == f"master@{head[:12]}"
    assert not (tmp_path / "cache").exists()


def test_a_mirror_holds_the_last_days_and_what_a_night_adds(tree: Repository, tmp_path: Path) -> None:
    first = newest(tree, tmp_path)
    assert first.ref == "next-20260101"
    assert git.call(first.repository, ["rev-list", "--count", first.commit]).strip() == "2"
    for day in (4, 3):
        tree.commit(day)
    tree.call("tag", "-a", "-m", "night", "next-20260102")
    # A topic that forked off long ago must not bring all history along.
    tree.call("checkout", "--quiet", "-b", "topic", "HEAD~4")
    tree.call("commit", "--quiet", "--allow-empty", "-m", "topic", day=2)
    tree.call("checkout", "--quiet", "master")
    tree.call("merge", "--quiet", "--no-ff", "-m", "merge", "topic", day=1)
    tree.call("tag", "next-20260103")
    tip = newest(tree, tmp_path, also=["next-20260101", "next-20260102", "next-19990101"])
    assert (tip.ref, tip.commit) == ("next-20260103", tree.call("rev-parse", "HEAD"))
    between = git.call(tip.repository, ["rev-list", f"{first.commit}..{tip.commit}"]).split()
    assert len(between) == 4
    assert git.call(tip.repository, ["show", f"{tip.commit}:file"]) == "3\n"
    assert git.call(tip.repository, ["tag", "--list"]).split() == [
        "next-20260101",
        "next-20260102",
        "next-20260103",
    ]
    assert git.call(tip.repository, ["rev-list", "--count", "--all"]).strip() == "6"


def test_a_tree_that_is_all_older_is_taken_whole(tmp_path: Path) -> None:
    old = Repository(tmp_path / "tree")
    for day in (500, 300):
        old.commit(day)
    old.call("tag", "next-20200101")
    tip = newest(old, tmp_path)
    assert git.call(tip.repository, ["rev-list", "--count", tip.commit]).strip() == "2"


def test_what_a_killed_fetch_left_is_swept(tree: Repository, tmp_path: Path) -> None:
    folder = newest(tree, tmp_path).repository
    (folder / "objects/pack").mkdir(exist_ok=True)
    left = [folder / "objects/pack/tmp_pack_x", folder / "shallow.lock", folder / "refs/tags/next-20260102.lock"]
    for path in left:
        path.write_text("")
    tree.commit(1)
    tree.call("tag", "next-20260102")
    assert newest(tree, tmp_path).ref == "next-20260102"
    assert not any(path.exists() for path in left)


def test_a_branch_moves(tree: Repository, tmp_path: Path) -> None:
    one = newest(tree, tmp_path, branch="master")
    tree.commit(2)
    tree.call("commit", "--amend", "--quiet", "-m", "forced")
    two = newest(tree, tmp_path, branch="master")
    assert one.commit != two.commit == tree.call("rev-parse", "HEAD")


@pytest.mark.parametrize(
    ("name", "branch", "message"),
    [
        ("TREE/nowhere", "", "neither a git repository nor a URL"),
        ("ext::sh -c id", "", "neither a git repository nor a URL"),
        ("--upload-pack=id", "", "neither a git repository nor a URL"),
        ("TREE", "--exec=id", "no name of a branch"),
        ("TREE", "nope", "git knows no commit 'nope'"),
        ("file://TREE", "nope", "no branch 'nope' there"),
    ],
)
def test_what_is_no_tree(tree: Repository, tmp_path: Path, name: str, branch: str, message: str) -> None:
    named = name.replace("TREE", str(tree.folder))
    with pytest.raises(UserError, match=message):
        mirror.newest(named, branch, cache=Cache(tmp_path / "cache"), say=lambda line: None)


@pytest.mark.parametrize("url", [True, False])
def test_a_tree_without_nights_says_so(tmp_path: Path, url: bool) -> None:
    empty = Repository(tmp_path / "tree")
    empty.commit(1)
    with pytest.raises(UserError, match="no tag next-YYYYMMDD there; name a branch: BRANCH=master"):
        newest(empty, tmp_path, url=url)


def test_a_host_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InfrastructureError, match="git ls-remote failed"):
        mirror.newest("http://127.0.0.1:9/x.git", "", cache=Cache(tmp_path), say=lambda line: None)
