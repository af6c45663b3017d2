# SPDX-License-Identifier: GPL-2.0-or-later
"""Kernel trees out of git: a commit, or the work tree with what is not committed; the repository is only read."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from harness.build.cache import Cache
from harness.build.sandbox import Sandbox
from harness.errors import UserError
from harness.sources import archive, git
from tests.unit import fake_kernel

_IDENTITY = ["-c", "user.name=a", "-c", "user.email=a@b"]


def _git(tree: Path, *argv: str) -> str:
    done = subprocess.run(["git", "-C", str(tree), *_IDENTITY, *argv], check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    made = fake_kernel.write(tmp_path / "linux")
    (made / ".gitignore").write_text("*.o\n/.config\n")
    _git(made, "init", "-q", "-b", "main")
    _git(made, "add", "-A")
    _git(made, "commit", "-q", "-m", "one")
    _git(made, "tag", "-a", "v6.1.7", "-m", "x")
    return made


def _objects(tree: Path) -> list[str]:
    return sorted(str(path) for path in (tree / ".git").rglob("*") if path.is_file())


def test_commit_tag_and_branch_are_the_same_tree(tree: Path, cache: Cache) -> None:
    commit = _git(tree, "rev-parse", "HEAD")
    found = {
        git.export_ref(tree, ref, ref, cache=cache, sandbox=Sandbox())[1] for ref in (commit, "v6.1.7", "main")
    }
    assert len(found) == 1
    label, exported = git.export_ref(tree, "main", "x", cache=cache, sandbox=Sandbox())
    assert label.digest == _git(tree, "rev-parse", "HEAD^{tree}")
    assert label.origin == f"git {commit} (v6.1.7)"
    assert (exported / "mm/memory.c").read_text() == fake_kernel.FILES["mm/memory.c"]


def test_an_old_commit(tree: Path, cache: Cache) -> None:
    (tree / "mm/memory.c").write_text("int two;\n")
    _git(tree, "commit", "-q", "-a", "-m", "two")
    old = git.export_ref(tree, "HEAD~1", "x", cache=cache, sandbox=Sandbox())[1]
    new = git.export_ref(tree, "HEAD", "x", cache=cache, sandbox=Sandbox())[1]
    assert (old / "mm/memory.c").read_text() != (new / "mm/memory.c").read_text() == "int two;\n"


def test_clean_work_tree_is_its_commit(tree: Path, cache: Cache) -> None:
    label, found = git.export_work_tree(tree, "x", cache=cache, sandbox=Sandbox())
    assert found == git.export_ref(tree, "HEAD", "x", cache=cache, sandbox=Sandbox())[1]
    assert "uncommitted" not in label.origin


def test_work_tree_with_changes(tree: Path, cache: Cache) -> None:
    (tree / "mm/memory.c").write_text("int changed;\n")
    (tree / "mm/ksm.c").unlink()
    (tree / "mm/new.c").write_text("int fresh;\n")
    (tree / "mm/staged.c").write_text("int staged;\n")
    _git(tree, "add", "mm/staged.c")
    (tree / "mm/old.o").write_text("an object")
    (tree / ".config").write_text("CONFIG_A=y\n")
    before, status = _objects(tree), _git(tree, "status", "--porcelain")
    label, found = git.export_work_tree(tree, "x", cache=cache, sandbox=Sandbox())
    assert label.origin.endswith(" + uncommitted changes")
    assert (found / "mm/memory.c").read_text() == "int changed;\n"
    assert sorted(path.name for path in (found / "mm").iterdir()) == [
        "hugetlb.c",
        "memory.c",
        "new.c",
        "staged.c",
    ]
    assert not (found / ".config").exists() and not (found / ".git").exists()
    assert _objects(tree) == before and _git(tree, "status", "--porcelain") == status


def test_unknown_ref(tree: Path, cache: Cache) -> None:
    with pytest.raises(UserError, match=r"git knows no commit 'v9\.9' there"):
        git.export_ref(tree, "v9.9", "x", cache=cache, sandbox=Sandbox())


@pytest.mark.parametrize("ref", ["--output=/tmp/x", "-x", "main^{tree}"])
def test_a_ref_is_never_an_option(tree: Path, cache: Cache, ref: str) -> None:
    with pytest.raises(UserError):
        git.export_ref(tree, ref, "x", cache=cache, sandbox=Sandbox())


def test_not_a_kernel(tree: Path, cache: Cache) -> None:
    (tree / "Makefile").unlink()
    _git(tree, "commit", "-q", "-a", "-m", "gone")
    with pytest.raises(UserError, match="not a Linux source tree"):
        git.export_ref(tree, "HEAD", "x", cache=cache, sandbox=Sandbox())
    assert cache.entries(archive.ROOM) == []


def test_repository_without_a_commit(tmp_path: Path, cache: Cache) -> None:
    _git(tmp_path, "init", "-q", "fresh")
    with pytest.raises(UserError, match="no commit 'HEAD'"):
        git.export_work_tree(tmp_path / "fresh", "x", cache=cache, sandbox=Sandbox())


def test_kinds_of_repositories(tree: Path, tmp_path: Path, cache: Cache) -> None:
    _git(tmp_path, "clone", "-q", "--bare", str(tree), "bare.git")
    assert git.is_repository(tmp_path / "bare.git") and not git.has_work_tree(tmp_path / "bare.git")
    assert git.has_work_tree(tree) and not git.is_repository(tmp_path)
    label, _ = git.export_ref(tmp_path / "bare.git", "main", "x", cache=cache, sandbox=Sandbox())
    assert label.digest == _git(tree, "rev-parse", "HEAD^{tree}")


def test_linked_work_tree(tree: Path, tmp_path: Path, cache: Cache) -> None:
    _git(tree, "worktree", "add", "-q", str(tmp_path / "second"), "-b", "side")
    (tmp_path / "second/mm/memory.c").write_text("int side;\n")
    _, found = git.export_work_tree(tmp_path / "second", "x", cache=cache, sandbox=Sandbox())
    assert (found / "mm/memory.c").read_text() == "int side;\n"
