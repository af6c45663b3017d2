# SPDX-License-Identifier: GPL-2.0-or-later
"""A git tree full of traps (TREE=, git:RANGE, a kernel's work tree): nothing that it names is started."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.build.cache import Cache
from harness.build.sandbox import Sandbox
from harness.errors import UserError
from harness.sources import git, git_range, mail_archive
from tests.unit import fake_kernel

ATTRIBUTES = "* filter=evil diff=evil merge=evil\n*.c ident export-subst\nmm/ksm.c export-ignore\n"
HOOKS = (
    "post-index-change",
    "pre-commit",
    "fsmonitor-watchman",
    "post-checkout",
    "pre-auto-gc",
    "reference-transaction",
)


def call(where: Path, *argv: str) -> str:
    words = ["git", "-C", str(where), "-c", "user.name=A", "-c", "user.email=a@b.org", *argv]
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return subprocess.run(words, check=True, capture_output=True, text=True, env=env).stdout.strip()


class Trapped:
    """A kernel's git tree, two commits, of which everything that git can be told to start leaves a mark."""

    def __init__(self, root: Path) -> None:
        self.mark = root / "mark"
        self.trap = root / "trap"
        self.trap.write_text(f'#!/bin/sh\necho "$0 $*" >>{self.mark}\ncat\n')
        self.trap.chmod(0o755)
        self.tree = fake_kernel.write(root / "linux")
        call(self.tree, "init", "-q")
        (self.tree / ".gitattributes").write_text(ATTRIBUTES)
        (self.tree / "mm/id.c").write_text("/* $Id$ $Format:%H$ */\n")
        call(self.tree, "add", "-A")
        call(self.tree, "commit", "-qm", "base")
        (self.tree / "mm/memory.c").write_text("int changed;\n")
        call(self.tree, "commit", "-qam", "change")
        self._arm()

    def _arm(self) -> None:
        evil = self.tree / ".git" / "hooks"
        for hook in HOOKS:
            (evil / hook).symlink_to(self.trap)
        keys = ["core.fsmonitor", "core.pager", "core.sshCommand", "core.editor", "core.askPass", "gpg.program"]
        keys += ["diff.external", "diff.evil.command", "diff.evil.textconv", "merge.evil.driver"]
        keys += [f"filter.{name}.{key}" for name in ("evil", "e.v=il") for key in ("clean", "smudge", "process")]
        for key in keys:
            call(self.tree, "config", key, str(self.trap))
        for key, value in (
            ("log.showSignature", "true"),
            ("filter.evil.required", "true"),
            ("core.hooksPath", str(evil)),
        ):
            call(self.tree, "config", key, value)
        self.mark.unlink(missing_ok=True)


@pytest.fixture
def trapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Trapped]:
    made = Trapped(tmp_path)
    for name in (
        "GIT_EXTERNAL_DIFF",
        "GIT_PAGER",
        "GIT_SSH_COMMAND",
        "GIT_ASKPASS",
        "GIT_EDITOR",
        "GIT_PROXY_COMMAND",
    ):
        monkeypatch.setenv(name, str(made.trap))
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    monkeypatch.setenv("GIT_EXEC_PATH", str(tmp_path / "no-git-here"))
    yield made
    assert not made.mark.exists(), made.mark.read_text()


def test_a_commit_is_taken_as_it_is(trapped: Trapped, tmp_path: Path) -> None:
    _, tree = git.export_ref(trapped.tree, "HEAD~1", "x", cache=Cache(tmp_path / "cache"), sandbox=Sandbox())
    assert (tree / "mm/id.c").read_text() == "/* $Id$ $Format:%H$ */\n"
    assert (tree / "mm/ksm.c").read_text() == fake_kernel.FILES["mm/ksm.c"], "left out by an attribute"
    assert (tree / "mm/memory.c").read_text() == fake_kernel.FILES["mm/memory.c"]


def test_a_work_tree_with_changes(trapped: Trapped, tmp_path: Path) -> None:
    (trapped.tree / "mm/memory.c").write_text("int twice;\n")
    (trapped.tree / "mm/added.c").write_text("int added;\n")
    before = trapped.tree / ".git" / "index"
    index = before.read_bytes()
    _, tree = git.export_work_tree(trapped.tree, "x", cache=Cache(tmp_path / "cache"), sandbox=Sandbox())
    assert (tree / "mm/memory.c").read_text() == "int twice;\n" and (tree / "mm/added.c").exists()
    assert before.read_bytes() == index


def test_a_range_of_commits(trapped: Trapped) -> None:
    commits = git_range.read("HEAD~1..", trapped.tree)
    (patch,) = commits.series.patches
    assert "+int changed;" in patch.diff and commits.notes == ()
    assert git.has_commit(trapped.tree, "HEAD") and not git.has_commit(trapped.tree, "v6.1")


@pytest.mark.parametrize("submodule", [False, True])
def test_a_repository_inside_the_tree(trapped: Trapped, tmp_path: Path, submodule: bool) -> None:
    """As a folder that was not made by git may hold one, with a configuration of its own."""
    inner = trapped.tree / "sub"
    inner.mkdir()
    call(inner, "init", "-q")
    (inner / "file").write_text("x\n")
    call(inner, "add", "-A")
    call(inner, "commit", "-qm", "inner")
    for key in ("core.fsmonitor", "filter.inner.clean", "filter.inner.process"):
        call(inner, "config", key, str(trapped.trap))
    (inner / "file").write_text("y\n")  # as long as before: git has to read it
    (inner / ".gitattributes").write_text("* filter=inner\n")
    if submodule:
        commit = call(inner, "rev-parse", "HEAD")
        off = ["core.fsmonitor=", f"core.hooksPath={os.devnull}", "filter.evil.required=false"]
        off += [f"filter.{name}.{key}=" for name in ("evil", "e.v=il") for key in ("clean", "smudge", "process")]
        quiet = [word for setting in off for word in ("-c", setting)]
        call(trapped.tree, *quiet, "update-index", "--add", "--cacheinfo", f"160000,{commit},sub")
        trapped.mark.unlink(missing_ok=True)
    git_range.read("HEAD~1..", trapped.tree)
    git.export_work_tree(trapped.tree, "x", cache=Cache(tmp_path / "cache"), sandbox=Sandbox())


def test_nothing_is_fetched(trapped: Trapped, tmp_path: Path) -> None:
    """A partial clone gets what it lacks by itself, and starts what its configuration names for that."""
    source, clone = tmp_path / "source", tmp_path / "partial"
    fake_kernel.write(source)
    call(source, "init", "-q", "--object-format=sha1")
    call(source, "config", "uploadpack.allowFilter", "true")
    call(source, "add", "-A")
    call(source, "commit", "-qm", "all")
    call(tmp_path, "clone", "-q", "--no-checkout", "--filter=blob:none", f"file://{source}", str(clone))
    call(clone, "config", "remote.origin.uploadpack", str(trapped.trap))
    with pytest.raises(UserError, match="is a partial clone that lacks files, and nothing is fetched"):
        git.export_ref(clone, "HEAD", "x", cache=Cache(tmp_path / "cache"), sandbox=Sandbox())


def test_an_archive_of_mails_that_is_a_repository(trapped: Trapped) -> None:
    assert mail_archive.thread(trapped.tree, "nobody@nowhere") is None
