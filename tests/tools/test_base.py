# SPDX-License-Identifier: GPL-2.0-or-later
"""Which kernel a patch is tried on, and what is told of the choice."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from harness.build.cache import Cache
from harness.errors import InfrastructureError, PatchError, UserError
from harness.jobs import base
from harness.jobs.workshop import Workshop
from harness.model import Patch, Series
from harness.progress import Progress
from harness.sources import archive
from harness.sources.debian import DebianPackage, DebianRoot
from harness.sources.patch_input import Given
from tests.tools.test_patch_input import git
from tests.unit import fake_kernel

LINES = [f"line {n}\n" for n in range(40)]


def patch_of(line: int, at: int, hint: str = "", path: str = "mm/memory.c") -> Series:
    """A patch that changes ``line N`` and says that it stands at line ``at``."""
    old = LINES[line - 3 : line + 4]
    body = "".join(f" {text}" if text != LINES[line] else f"-{text}+new\n" for text in old)
    diff = f"diff --git a/{path} b/{path}\n--- a/{path}\n+++ b/{path}\n@@ -{at},7 +{at},7 @@\n{body}"
    return Series((Patch("x", diff, source="x.mbox:1", base_hint=hint, files=(path,), hunks=(4,)),), "x")


class NoNetwork(DebianRoot):
    def resolve(self, package: str, suites: Sequence[str], arch: str | None = None) -> DebianPackage:
        raise InfrastructureError("no network")


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    """A workshop without network, with 6.1 (40 lines) and 6.12 (two lines more above them) in its cache."""
    monkeypatch.setenv("FAULTLOOP_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv(base.TREES, raising=False)
    shop = Workshop(Progress(quiet=True))
    shop.__dict__["debian"] = NoNetwork(shop.cache)
    add(shop.cache, tmp_path, "6.1", "6.1.7", LINES)
    add(shop.cache, tmp_path, "6.1", "6.1.6", [])
    add(shop.cache, tmp_path, "6.12", "6.12.3", ["new\n", "new\n", *LINES[:30], "changed\n", *LINES[31:]])
    return shop


def kernel_tree(folder: Path, version: str, lines: Sequence[str]) -> Path:
    tree = fake_kernel.write(folder)
    major, minor, sub = version.split(".")
    makefile = (tree / "Makefile").read_text().replace("VERSION = 6", f"VERSION = {major}", 1)
    makefile = makefile.replace("PATCHLEVEL = 1", f"PATCHLEVEL = {minor}").replace(
        "SUBLEVEL = 7", f"SUBLEVEL = {sub}"
    )
    (tree / "Makefile").write_text(makefile)
    (tree / "mm/memory.c").write_text("".join(lines))
    return tree


def add(cache: Cache, tmp_path: Path, name: str, version: str, lines: Sequence[str]) -> None:
    def fill(folder: Path) -> None:
        shutil.move(kernel_tree(tmp_path / f"made-{version}", version, lines), folder / archive.TREE)

    archive.make(cache, f"test-{version}", archive.Label(name, f"test {version}", version), fill)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A git tree of 6.2.0, tagged, with line 20 changed in the next commit."""
    made = kernel_tree(tmp_path / "linux", "6.2.0", LINES)
    git(made, "init", "-q", "-b", "main")
    git(made, "add", "-A")
    git(made, "commit", "-q", "-m", "Linux 6.2")
    git(made, "tag", "v6.2")
    (made / "mm/memory.c").write_text("".join([*LINES[:20], "other\n", *LINES[21:]]))
    git(made, "commit", "-q", "-am", "other")
    return made


def test_the_default_is_tried_first(shop: Workshop) -> None:
    found = base.choose(patch_of(10, 8), shop)
    assert (found.kernel.version, found.why) == ("6.1.7", "6.1 is the default; every hunk fits at its line")


def test_else_the_first_series_that_it_applies_to_and_how_far_hunks_moved(shop: Workshop) -> None:
    add(shop.cache, shop.cache.root, "6.1", "6.1.8", [*LINES[:5], "gone\n", *LINES[12:]])
    found = base.choose(patch_of(10, 8), shop)
    assert found.kernel.version == "6.12.3"
    assert found.why == (
        "it does not apply to 6.1 (6.1.8); 6.12 is the first that it applies to; "
        "no fuzz, 1 hunk moved by up to 2 lines"
    )


@pytest.mark.parametrize(
    ("hint", "ref"),
    [
        ("mm-unstable", "remotes/akpm/mm-unstable"),
        ("linux-next", "heads/linux-next"),
        ("6.2.y", "remotes/stable/linux-6.2.y"),
    ],
)
def test_a_branch_that_the_mail_names(shop: Workshop, tree: Path, hint: str, ref: str) -> None:
    git(tree, "update-ref", f"refs/{ref}", "v6.2")
    found = base.choose(patch_of(20, 18, hint), shop, trees=[tree])
    assert found.kernel.version == "6.2.0"
    assert f"the mail says that it is based on {hint}, and {tree} has the branch {ref}; every hunk" in found.why


def test_a_branch_on_which_the_patch_does_not_apply_is_passed(shop: Workshop, tree: Path) -> None:
    git(tree, "update-ref", "refs/heads/mm-stable", "HEAD")
    found = base.choose(patch_of(20, 18, "mm-stable"), shop, trees=[tree])
    assert found.kernel.version == "6.1.7"
    assert "has the branch heads/mm-stable, but that does not do: " in found.why


def test_nowhere_tells_of_each(shop: Workshop) -> None:
    broken = patch_of(30, 28)
    diff = broken.patches[0].diff.replace("line 27", "line x").replace("line 33", "line y")
    broken = replace(broken, patches=(replace(broken.patches[0], diff=diff),))
    with pytest.raises(PatchError) as caught:
        base.choose(broken, shop)
    assert "it applies to no kernel at hand (not tried, as not in the cache: BASE=newest). Way out: " in str(
        caught.value
    )
    assert "6.1 (6.1.7): 0 of 1 hunks apply\n6.12 (6.12.3): 0 of 1 hunks apply\n" in caught.value.detail


def test_what_is_asked_for_overrides(shop: Workshop, tree: Path) -> None:
    hinted = patch_of(10, 8, hint=git(tree, "rev-parse", "HEAD"))
    found = base.choose(hinted, shop, asked="6.12", trees=[tree])
    assert found.kernel.version == "6.12.3"
    assert found.why == "as asked; no fuzz, 1 hunk moved by up to 2 lines"
    with pytest.raises(PatchError, match=r"does not apply.*; it applies to BASE=6\.1$"):
        base.choose(patch_of(30, 28), shop, asked="6.12")


def test_base_commit_if_a_tree_has_it(shop: Workshop, tree: Path) -> None:
    commit = git(tree, "rev-parse", "v6.2")
    found = base.choose(patch_of(20, 18, hint=commit), shop, trees=[shop.cache.root, tree])
    assert (found.kernel.version, found.kernel.name) == ("6.2.0", f"{tree}@{commit}")
    assert found.why == f"the mail's base-commit {commit[:12]}, which {tree} has; every hunk fits at its line"


def test_base_commit_that_nobody_has(shop: Workshop, tree: Path) -> None:
    found = base.choose(patch_of(10, 8, hint="12" * 20), shop, trees=[tree])
    assert found.kernel.name == "6.1"
    assert found.why.startswith(f"the mail names {'12' * 20}, which no tree at hand has; 6.1 is the default; ")


def test_base_commit_on_which_it_does_not_apply(shop: Workshop, tree: Path) -> None:
    commit = git(tree, "rev-parse", "HEAD")
    found = base.choose(patch_of(20, 18, hint=commit), shop, trees=[tree])
    assert found.kernel.name == "6.1"
    assert (
        f"the mail's base-commit {commit[:12]}, which {tree} has, but that does not do: hunk 1 of 1" in found.why
    )


@pytest.mark.parametrize(
    ("hint", "name", "words"),
    [
        ("v6.2", "{tree}@v6.2", "the mail says that it is based on v6.2, and {tree} has v6.2; "),
        ("6.12.y", "6.12", "the mail says that it is based on 6.12.y, and 6.12 (6.12.3) is of that series; "),
        (
            "v6.12-rc3",
            "6.12",
            "the mail says that it is based on v6.12-rc3, and 6.12 (6.12.3) is of that series; ",
        ),
        ("v6.1.100", "6.1", "the mail says that it is based on v6.1.100, and 6.1 (6.1.7) is of that series; "),
        ("v5.4", "6.1", "the mail names v5.4, which no tree at hand has; 6.1 is the default; "),
        ("linux-next", "6.1", "the mail names linux-next, which no tree at hand has; 6.1 is the default; "),
        ("next-20230522", "6.1", "the mail names next-20230522, which no tree at hand has; "),
    ],
)
def test_a_base_in_words(hint: str, name: str, words: str, shop: Workshop, tree: Path) -> None:
    found = base.choose(patch_of(10, 8, hint=hint), shop, trees=[tree])
    assert found.kernel.name == name.format(tree=tree)
    assert found.why.startswith(words.format(tree=tree)), found.why


def test_a_tree_that_is_no_kernel_is_passed_over(shop: Workshop, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "-q")
    git(other, "commit", "-q", "--allow-empty", "-m", "x")
    git(other, "tag", "v6.2")
    found = base.choose(patch_of(10, 8, hint="v6.2"), shop, trees=[other])
    assert found.kernel.name == "6.1" and "but that does not do: " in found.why


def test_commits_of_a_tree_stand_on_the_one_below(shop: Workshop, tree: Path) -> None:
    given = shop.patches(["git:HEAD"], version=None, tree=str(tree / "mm"))
    found = base.base_of(given, shop, asked="", tree=str(tree))
    assert found.kernel.version == "6.2.0" and found.kernel.name.startswith(f"{tree}@")
    assert found.why == "the commit below the patches; every hunk fits at its line"


def test_notes_of_patch_and_tree_are_told(shop: Workshop, tree: Path) -> None:
    series = patch_of(10, 8)
    series = replace(series, patches=(replace(series.patches[0], notes=("base64 decoded",)),))
    found = base.base_of(Given(series, "", ("not committed",)), shop, asked="6.1", tree="")
    assert found.notes == ("not committed", "base64 decoded")


def test_known_trees(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(base.TREES, f"{tmp_path}/nowhere:{tree}:{tmp_path}")
    monkeypatch.chdir(tree / "mm")
    assert base.known_trees() == [tree]
    monkeypatch.chdir(tmp_path)
    assert base.known_trees(str(tree)) == [tree]
    monkeypatch.delenv(base.TREES)
    assert base.known_trees() == []


def test_an_unknown_base_is_the_users(shop: Workshop) -> None:
    with pytest.raises(UserError, match=r"unknown kernel '6\.7'"):
        base.choose(patch_of(10, 8), shop, asked="6.7")
