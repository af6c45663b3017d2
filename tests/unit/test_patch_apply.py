# SPDX-License-Identifier: GPL-2.0-or-later
"""Applying a series with git: exactly, in isolation, and with an error that says what stands in its way."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from harness.build.sandbox import Sandbox
from harness.errors import InfrastructureError, PatchError
from harness.model import Patch, Series
from harness.sources import patch, patch_apply, patch_git

ROOT = Path(__file__).resolve().parents[2]
MAILS = ROOT / "tests" / "data" / "mails"
BASE = MAILS / "base"
FIX = MAILS / "mails" / "format-patch.patch"

NO_LINE_FEED = "\\ No newline at end of file\n"
HEADER = "diff --git a/{0} b/{0}\n--- a/{0}\n+++ b/{0}\n"


def tree_of(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def series_of(*diffs: str) -> Series:
    return Series(tuple(Patch(f"patch {n}", diff, source=f"x.mbox:{n}") for n, diff in enumerate(diffs, 1)))


def numbered(first: int, last: int) -> str:
    return "".join(f"line {n}\n" for n in range(first, last + 1))


CHANGE_50 = (
    HEADER.format("f")
    + "@@ -47,7 +47,7 @@\n"
    + "".join(f"{'-' if n == 50 else ' '}line {n}\n" + ("+new 50\n" if n == 50 else "") for n in range(47, 54))
)


def test_offsets_are_taken_and_told(tmp_path: Path) -> None:
    tree = tree_of(tmp_path / "tree", {"f": "first\nsecond\n" + numbered(1, 100)})
    changes = patch_apply.apply(tree, series_of(CHANGE_50), tmp_path / "scratch")
    assert changes["f"] == ("first\nsecond\n" + numbered(1, 49) + "new 50\n" + numbered(51, 100)).encode()
    assert changes.offsets == (patch_apply.Offset(patch=1, path="f", hunk=1, lines=2, places=1),)
    assert changes.notes == ()
    assert (tmp_path / "scratch" / "f").read_bytes() == changes["f"]


def test_a_hunk_that_fits_twice_is_told(tmp_path: Path) -> None:
    tree = tree_of(tmp_path / "tree", {"f": "one\n" + numbered(47, 53) + numbered(1, 60)})
    changes = patch_apply.check(tree, series_of(CHANGE_50))
    assert changes.offsets == (patch_apply.Offset(1, "f", 1, 8, 2),)
    assert changes.notes == ("f: hunk 1 fits at 2 places; taken: line 55, 8 lines from where the patch has it",)


@pytest.mark.parametrize("wrong", [47, 48, 49, 51, 52, 53])
def test_no_fuzz_whatever_context_line_differs(wrong: int, tmp_path: Path) -> None:
    tree = tree_of(tmp_path / "tree", {"f": numbered(1, 100).replace(f"line {wrong}\n", "other\n")})
    with pytest.raises(PatchError) as caught:
        patch_apply.check(tree, series_of(CHANGE_50))
    assert "hunk 1 of 1 of f: the nearest place is line 47" in caught.value.message
    assert f"line {wrong} differs (0 of 1 hunks apply)" in caught.value.message
    assert f"{wrong:7d} | line {wrong}\n" in caught.value.detail + "\n"
    assert f"{wrong:7d} | other\n" in caught.value.detail + "\n"


def test_the_error_names_patch_hunk_and_line_of_the_users_file(tmp_path: Path) -> None:
    series = patch.read(MAILS / "mails" / "series.mbox")
    tree = tree_of(tmp_path, {name: (BASE / name).read_text() for name in ("include/linux/demo.h", "mm/demo.c")})
    broken = (tree / "mm/demo.c").read_text().replace("table->entry |= DEMO_WRITE;", "set_entry(table);")
    (tree / "mm/demo.c").write_text(broken)
    with pytest.raises(PatchError) as caught:
        patch_apply.check(tree, series)
    path = MAILS / "mails" / "series.mbox"
    number = (
        path.read_text()
        .splitlines()
        .index("@@ -36,8 +37,12 @@ int demo_upgrade(struct demo_table *table, unsigned long address)")
        + 1
    )
    assert caught.value.message.startswith(f"{path}:{number}: patch 2 of 2, 'mm/demo: Send it' does not apply: ")
    assert "hunk 2 of 2 of mm/demo.c" in caught.value.message
    assert "(1 of 2 hunks apply)" in caught.value.message
    assert "set_entry(table);" in caught.value.detail


def test_a_patch_that_the_tree_has_already() -> None:
    series = patch.read(FIX)
    with pytest.raises(PatchError, match="is in the tree already"):
        patch_apply.check(MAILS / "after" / "fix", series)


def test_a_patch_made_the_wrong_way_round() -> None:
    done = subprocess.run(
        ["git", "diff", "--no-index", "--src-prefix=a/", "--dst-prefix=b/", "after/fix/mm", "base/mm"],
        cwd=MAILS, capture_output=True, check=False,
    )  # fmt: skip
    diff = done.stdout.decode().replace("after/fix/", "").replace("base/", "")
    with pytest.raises(PatchError, match="wrong way round"):
        patch_apply.check(BASE, series_of(diff))


def test_one_hunk_that_the_tree_has_already() -> None:
    tree_c = (MAILS / "after" / "fix" / "mm" / "demo.c").read_text()
    with pytest.raises(PatchError) as caught:
        patch_apply.check(MAILS / "after" / "fix-c", patch.read(FIX))
    assert "hunk 1 of 2 of mm/demo.c: the tree has its result already, at line 20" in caught.value.message
    assert tree_c.splitlines()[19] == ""


def test_missing_and_present_files(tmp_path: Path) -> None:
    tree = tree_of(tmp_path, {"there": "x\n"})
    with pytest.raises(PatchError, match=r"it changes gone\.c, which the tree does not have"):
        patch_apply.check(tree, series_of(HEADER.format("gone.c") + "@@ -1 +1 @@\n-a\n+b\n"))
    new = "diff --git a/there b/there\nnew file mode 100644\n--- /dev/null\n+++ b/there\n@@ -0,0 +1 @@\n+y\n"
    with pytest.raises(PatchError, match="it creates there, which the tree has"):
        patch_apply.check(tree, series_of(new))


def test_hunks_without_context_are_refused(tmp_path: Path) -> None:
    tree = tree_of(tmp_path, {"f": numbered(1, 9)})
    for hunk in ("@@ -5 +5 @@\n-line 5\n+new\n", "@@ -5,0 +6 @@\n+new\n", "@@ -1,0 +2 @@\n+new\n"):
        with pytest.raises(PatchError, match=r"x\.mbox:1:4: a hunk without lines of context"):
            patch_apply.check(tree, series_of(HEADER.format("f") + hunk))
    whole = f"@@ -1,9 +1 @@\n{''.join(f'-line {n}' + chr(10) for n in range(1, 10))}+new\n"
    assert patch_apply.check(tree, series_of(HEADER.format("f") + whole))["f"] == b"new\n"
    (tree / "f").write_text(numbered(1, 10))
    with pytest.raises(PatchError):
        patch_apply.check(tree, series_of(HEADER.format("f") + whole))


def test_changed_blanks_are_named(tmp_path: Path) -> None:
    tree = tree_of(tmp_path, {"f": "a\n\tb  c\nd\n"})
    with pytest.raises(PatchError, match="only blanks differ, first at line"):
        patch_apply.check(tree, series_of(HEADER.format("f") + "@@ -1,3 +1,3 @@\n a\n \tb c\n-d\n+e\n"))


def test_later_patches_build_on_earlier_ones(tmp_path: Path) -> None:
    tree = tree_of(tmp_path, {"f": "a\n"})
    first = "diff --git a/n b/n\nnew file mode 100644\n--- /dev/null\n+++ b/n\n@@ -0,0 +1 @@\n+one\n"
    second = HEADER.format("n") + "@@ -1 +1 @@\n-one\n+two\n"
    third = "diff --git a/f b/f\ndeleted file mode 100644\n--- a/f\n+++ /dev/null\n@@ -1 +0,0 @@\n-a\n"
    assert dict(patch_apply.check(tree, series_of(first, second, third))) == {"n": b"two\n", "f": None}


def test_what_comes_out_as_it_was_is_no_change(tmp_path: Path) -> None:
    tree = tree_of(tmp_path, {"f": "a\n"})
    there = HEADER.format("f") + "@@ -1 +1 @@\n-a\n+b\n"
    back = HEADER.format("f") + "@@ -1 +1 @@\n-b\n+a\n"
    assert dict(patch_apply.check(tree, series_of(there, back))) == {}
    assert dict(patch_apply.check(tree, Series())) == {}


def test_nothing_is_written_below_a_link(tmp_path: Path) -> None:
    outside = tree_of(tmp_path / "outside", {"f": "a\n"})
    tree = tree_of(tmp_path / "tree", {"x": ""})
    (tree / "dir").symlink_to(outside)
    with pytest.raises(PatchError, match="dir/f: the tree has a symbolic link at dir, and no folder"):
        patch_apply.check(tree, series_of(HEADER.format("dir/f") + "@@ -1 +1 @@\n-a\n+b\n"))
    assert (outside / "f").read_text() == "a\n"


def test_nothing_is_written_below_a_link_of_the_series(tmp_path: Path) -> None:
    tree = tree_of(tmp_path / "tree", {"x": "", "dir/f": "a\n"})
    link = "diff --git a/l b/l\nnew file mode 120000\n--- /dev/null\n+++ b/l\n@@ -0,0 +1 @@\n+dir\n" + NO_LINE_FEED
    below = "diff --git a/l/g b/l/g\nnew file mode 100644\n--- /dev/null\n+++ b/l/g\n@@ -0,0 +1 @@\n+x\n"
    with pytest.raises(PatchError):
        patch_apply.check(tree, series_of(link, below))


def test_a_link_is_not_bent_to_the_outside(tmp_path: Path) -> None:
    tree = tree_of(tmp_path / "tree", {"x": "", "y": ""})
    (tree / "l").symlink_to("x")
    bend = HEADER.format("l") + "@@ -1 +1 @@\n-x\n" + NO_LINE_FEED + "+{}\n" + NO_LINE_FEED
    changes = patch_apply.check(tree, series_of(bend.format("y")))
    assert changes["l"] == b"y" and changes.modes["l"] == 0o120000
    with pytest.raises(PatchError, match="points outside the tree"):
        patch_apply.check(tree, series_of(bend.format("../y")))


def test_git_sees_no_configuration_and_no_attributes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tree_of(tmp_path / "home", {".gitconfig": "[apply]\n\twhitespace = fix\n\tignoreWhitespace = change\n"})
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "apply.whitespace")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "error-all")
    tree = tree_of(tmp_path / "tree", {"f": "a\n"})
    attributes = (
        "diff --git a/.gitattributes b/.gitattributes\nnew file mode 100644\n--- /dev/null\n"
        "+++ b/.gitattributes\n@@ -0,0 +1 @@\n+* text eol=crlf working-tree-encoding=UTF-16 whitespace=fix\n"
    )
    trailing = HEADER.format("f") + "@@ -1 +1,2 @@\n a\n+b \t \n"
    changes = patch_apply.check(tree, series_of(attributes, trailing))
    assert changes["f"] == b"a\nb \t \n"
    with pytest.raises(PatchError):  # ignoreWhitespace of the user would have let this in
        patch_apply.check(tree_of(tmp_path / "other", {"f": " a\n"}), series_of(trailing))


def test_a_scratch_folder_inside_a_repository(tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    subprocess.run(["git", "init", "-q", str(repository)], check=True)
    tree = tree_of(tmp_path / "tree", {"f": numbered(1, 100)})
    changes = patch_apply.apply(tree, series_of(CHANGE_50), repository / "a" / "b")
    assert list(changes) == ["f"]
    assert sorted(p.name for p in (repository / "a" / "b").iterdir()) == ["f"]


def test_a_diff_that_nobody_read_is_checked_all_the_same(tmp_path: Path) -> None:
    tree = tree_of(tmp_path, {"f": "a\n"})
    with pytest.raises(PatchError, match="leaves the tree"):
        patch_apply.check(tree, series_of(HEADER.format("../f") + "@@ -1 +1 @@\n-a\n+b\n"))
    with pytest.raises(PatchError, match="holds no diff"):
        patch_apply.check(tree, series_of("nothing\n"))


def test_git_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patch_git, "PATH", str(tmp_path))
    with pytest.raises(InfrastructureError, match="git: not found"):
        patch_apply.check(BASE, patch.read(FIX))


def test_the_nearest_tree_comes_first(tmp_path: Path) -> None:
    half = tree_of(
        tmp_path / "half", {name: (BASE / name).read_text() for name in ("include/linux/demo.h", "mm/demo.c")}
    )
    (half / "mm/demo.c").write_text(
        (half / "mm/demo.c").read_text().replace("bool", "int").replace("|= DEMO_WRITE", "= 1")
    )
    linked = tmp_path / "linked"
    linked.mkdir()
    (linked / "mm").symlink_to(BASE / "mm")
    trees = {"linked": linked, "half": half, "empty": tree_of(tmp_path / "empty", {"x": ""}), "base": BASE}
    assert patch_apply.nearest(patch.read(FIX), trees) == [
        ("base", True, 3, 3),
        ("half", False, 2, 3),
        ("linked", False, 0, 3),
        ("empty", False, 0, 3),
    ]
    assert not list(half.rglob("*.rej"))


def test_hostile_lines_are_shown_harmless(tmp_path: Path) -> None:
    tree = tree_of(tmp_path, {"f": "a\n\x1b[2Jevil\x07\nc\n"})
    with pytest.raises(PatchError) as caught:
        patch_apply.check(tree, series_of(HEADER.format("f") + "@@ -1,3 +1,3 @@\n a\n-b\n+x\n c\n"))
    assert "\\x1b[2Jevil\\x07" in caught.value.detail
    assert "\x1b" not in caught.value.detail + caught.value.message


def test_git_runs_in_the_sandbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It reads a stranger's text; it sees nothing of the host meanwhile."""
    seen: list[bool] = []
    run = Sandbox.run

    def watched(self: Sandbox, argv: Sequence[str], **more: Any) -> None:
        writable = [bind.target for bind in more["binds"] if bind.writable]
        seen.append(self.confined and writable == ["/bench/tree"] and argv[0] == "git")
        run(self, argv, **more)

    monkeypatch.setattr(Sandbox, "run", watched)
    patch_apply.check(BASE, patch.read(FIX))
    assert seen and all(seen)
