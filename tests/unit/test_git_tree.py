# SPDX-License-Identifier: GPL-2.0-or-later
"""A commit as the files by which it differs from a tree on disk."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from harness.build.cache import Cache
from harness.errors import PatchError
from harness.sources import git, git_tree
from tests.tools.test_git_bisect import call


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    where = tmp_path / "tree"
    (where / "mm").mkdir(parents=True)
    (where / "mm/a.c").write_bytes(b"a\r\n\0\xff\n")
    (where / "mm/empty").write_text("")
    (where / "run.sh").write_text("#!/bin/sh\n")
    (where / "run.sh").chmod(0o755)
    (where / "link").symlink_to("mm/a.c")
    call(where, "init", "-q")
    call(where, "add", "-A")
    call(where, "commit", "-qm", "one")
    return where


def reader(where: Path) -> git_tree.Read:
    def read(argv: Sequence[str], feed: bytes) -> bytes:
        return git.read_bytes(where, argv, feed=feed)

    return read


def test_a_folder_is_listed_as_git_lists_it(tree: Path, tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    assert git_tree.of_folder(tree, "key", cache, "sha1") == git_tree.of_commit(reader(tree), "HEAD")
    (tree / "mm/a.c").unlink()
    assert "mm/a.c" in git_tree.of_folder(tree, "key", cache, "sha1"), "read once"


def test_what_differs_is_laid_out(tree: Path, tmp_path: Path) -> None:
    old = git_tree.of_commit(reader(tree), "HEAD")
    (tree / "mm/a.c").write_bytes(b"\0changed")
    (tree / "mm/empty").unlink()
    (tree / "new.sh").write_text("x\n")
    (tree / "new.sh").chmod(0o755)
    (tree / "link").unlink()
    (tree / "link").symlink_to("run.sh")
    call(tree, "add", "-A")
    call(tree, "commit", "-qm", "two")
    new = git_tree.of_commit(reader(tree), "HEAD")
    changed, gone = git_tree.differing(old, new)
    assert (changed, gone) == (["link", "mm/a.c", "new.sh"], ["mm/empty"])
    out = tmp_path / "out"
    git_tree.write(reader(tree), new, changed, out)
    assert (out / "mm/a.c").read_bytes() == b"\0changed"
    assert (out / "link").readlink() == Path("run.sh")
    assert (out / "new.sh").stat().st_mode & 0o777 == 0o755 and (out / "mm/a.c").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize(("name", "target"), [("link2", "../../etc/passwd"), ("link2", "/etc/passwd")])
def test_a_link_that_leaves_the_tree(tree: Path, tmp_path: Path, name: str, target: str) -> None:
    (tree / name).symlink_to(target)
    call(tree, "add", "-A")
    call(tree, "commit", "-qm", "out")
    listing = git_tree.of_commit(reader(tree), "HEAD")
    with pytest.raises(PatchError, match="points outside"):
        git_tree.write(reader(tree), listing, [name], tmp_path / "out")
