# SPDX-License-Identifier: GPL-2.0-or-later
"""The source of a variant: right content at every path, and the base never written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.build.sandbox import Bind, Sandbox
from harness.build.variant_tree import SOURCE, Touched, mounts, write_touched
from harness.errors import PatchError
from harness.sources.archive import tree_sha256


@pytest.fixture
def base(tmp_path: Path) -> Path:
    tree = tmp_path / "base"
    for name, text in {"mm/a.c": "a", "mm/b.c": "b", "include/x.h": "x", "include/uapi/y.h": "y"}.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text)
        os.utime(tree / name, (1000, 1000))
    (tree / "run.sh").write_text("#!/bin/sh\n")
    (tree / "run.sh").chmod(0o755)
    (tree / "lnk").symlink_to("mm")
    return tree


def _touched(tmp_path: Path, applied: dict[str, bytes | None]) -> Touched:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    folder = tmp_path / "touched"
    folder.mkdir()
    return write_touched(applied, scratch, folder)


def _seen(binds: list[Bind], script: str) -> list[str]:
    lines: list[str] = []
    Sandbox().run(["sh", "-c", script], binds=binds, cwd=SOURCE, on_output=lines.append)
    return lines


def test_changed_files_are_mounted_over_the_base(base: Path, tmp_path: Path) -> None:
    before = tree_sha256(base)
    touched = _touched(tmp_path, {"mm/a.c": b"A"})
    binds = mounts(base, touched, tmp_path, 0.0)
    assert [bind.target for bind in binds] == [SOURCE, f"{SOURCE}/mm/a.c"]
    assert _seen(binds, "cat mm/a.c; echo; cat mm/b.c") == ["A", "b"]
    assert not (tmp_path / "src").exists()
    assert tree_sha256(base) == before


def test_touched_files_are_newer_than_the_objects(base: Path, tmp_path: Path) -> None:
    touched = _touched(tmp_path, {"mm/a.c": b"A"})
    finished = 4e9
    mounts(base, touched, tmp_path, finished)
    assert (touched.folder / "mm/a.c").stat().st_mtime > finished


def test_added_removed_and_changed_names(base: Path, tmp_path: Path) -> None:
    before = tree_sha256(base)
    touched = _touched(tmp_path, {"mm/a.c": None, "mm/b.c": b"B", "drivers/new/c.c": b"C", "never/was.c": None})
    binds = mounts(base, touched, tmp_path, 0.0)
    assert [bind.target for bind in binds] == [SOURCE]
    assert _seen(binds, "ls mm; cat mm/b.c; echo; cat drivers/new/c.c; echo; ! touch mm/x") == [
        "b.c",
        "B",
        "C",
        "touch: cannot touch 'mm/x': Read-only file system",
    ]
    assert tree_sha256(base) == before
    assert (base / "mm/b.c").read_text() == "b"


def test_an_added_header_renews_those_it_may_hide(base: Path, tmp_path: Path) -> None:
    touched = _touched(tmp_path, {"include/y.h": b"Y"})
    mounts(base, touched, tmp_path, 0.0)
    tree = tmp_path / "src"
    assert (tree / "include/uapi/y.h").read_text() == "y"
    assert (tree / "include/uapi/y.h").stat().st_mtime > 1000
    assert (tree / "include/x.h").stat().st_mtime == 1000
    assert (base / "include/uapi/y.h").stat().st_mtime == 1000


def test_modes_and_links_come_from_the_scratch_folder(base: Path, tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    (scratch / "run.sh").write_text("#!/bin/sh\necho 2\n")
    (scratch / "run.sh").chmod(0o755)
    (scratch / "ln").symlink_to("mm/a.c")
    (tmp_path / "touched").mkdir()
    touched = write_touched({"run.sh": b"#!/bin/sh\necho 2\n", "ln": b"mm/a.c"}, scratch, tmp_path / "touched")
    assert _seen(mounts(base, touched, tmp_path, 0.0), "./run.sh; cat ln") == ["2", "a"]
    assert [row[:2] for row in touched.identity()] == [["ln", "link"], ["run.sh", "x"]]


@pytest.mark.parametrize("name", ["../x", "/etc/x", "mm/../../x", ".git/config", "mm/.git/x"])
def test_names_that_leave_the_tree(tmp_path: Path, name: str) -> None:
    with pytest.raises(PatchError):
        _touched(tmp_path, {name: b"x"})
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("name", ["lnk/a.c", "lnk/new.c"])
def test_a_way_through_a_link_is_refused(base: Path, tmp_path: Path, name: str) -> None:
    before = tree_sha256(base)
    with pytest.raises(PatchError, match="lnk is a link"):
        mounts(base, _touched(tmp_path, {name: b"x"}), tmp_path, 0.0)
    assert tree_sha256(base) == before


def test_a_link_that_becomes_a_file(base: Path, tmp_path: Path) -> None:
    binds = mounts(base, _touched(tmp_path, {"lnk": b"now a file"}), tmp_path, 0.0)
    assert _seen(binds, "cat lnk; echo; ls mm") == ["now a file", "a.c", "b.c"]
    assert (base / "lnk").is_symlink()


def test_identity_tells_contents_and_removals_apart(tmp_path: Path) -> None:
    rows = []
    for number, applied in enumerate(({"a": b"1"}, {"a": b"2"}, {"a": None}, {"b": b"1"}, {})):
        folder = tmp_path / str(number)
        folder.mkdir()
        rows.append(_touched(folder, applied).identity())  # type: ignore[arg-type]
    assert len({str(row) for row in rows}) == 5
