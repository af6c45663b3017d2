# SPDX-License-Identifier: GPL-2.0-or-later
"""Folders as objects: the same comes out, and a hostile pack writes nowhere else."""

from __future__ import annotations

import io
import os
import stat
import tarfile
from pathlib import Path

import pytest

from harness.build import packs
from harness.build.cache import Cache
from harness.build.store import Store, StoreError
from harness.errors import InfrastructureError


def tree_of(folder: Path) -> dict[str, tuple[str, int, object]]:
    found: dict[str, tuple[str, int, object]] = {}
    for path in sorted(folder.rglob("*")):
        name, info = str(path.relative_to(folder)), path.lstat()
        if path.is_symlink():
            found[name] = ("link", 0, str(path.readlink()))
        elif path.is_dir():
            found[name] = ("folder", 0, None)
        else:
            found[name] = (path.read_text(), stat.S_IMODE(info.st_mode), info.st_mtime_ns)
    return found


def some(folder: Path) -> Path:
    (folder / "out/lib").mkdir(parents=True)
    (folder / "empty").mkdir()
    (folder / "out/x.o").write_text("object")
    (folder / "out/lib/tool").write_text("#!/bin/sh\n")
    (folder / "out/lib/tool").chmod(0o755)
    (folder / "out/dangling").symlink_to("nowhere")
    (folder / "out/folder").symlink_to("lib")
    (folder / ("long" * 40)).write_text("a name longer than a header has room for")
    for number, path in enumerate(sorted(p for p in folder.rglob("*") if p.is_file())):
        os.utime(path, ns=(1, 1_700_000_000_000_000_000 + number * 1000))
    return folder


def test_modes_times_and_links_are_the_same_and_so_are_the_bytes(tmp_path: Path) -> None:
    folder = some(tmp_path / "a")
    packs.pack(folder, tmp_path / "one")
    (tmp_path / "b").mkdir()
    packs.unpack(tmp_path / "one", tmp_path / "b")
    before, after = tree_of(folder), tree_of(tmp_path / "b")
    assert before.keys() == after.keys()
    for name, (kind, mode, value) in before.items():
        assert (kind, mode) == after[name][:2]
        if isinstance(value, int):  # as near as a floating point number of seconds comes
            assert abs(value - int(str(after[name][2]))) < 500
        else:
            assert value == after[name][2]
    packs.pack(tmp_path / "b", tmp_path / "two")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def hostile(path: Path, *members: tuple[str, bytes, str]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, kind, value in members:
            info = tarfile.TarInfo(name)
            info.type = kind
            info.linkname = value if kind != tarfile.REGTYPE else ""
            data = value.encode() if kind == tarfile.REGTYPE else b""
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


@pytest.mark.parametrize(
    "members",
    [
        [("/tmp/evil", tarfile.REGTYPE, "x")],
        [("../evil", tarfile.REGTYPE, "x")],
        [("a/../../evil", tarfile.REGTYPE, "x")],
        [("a", tarfile.SYMTYPE, ".."), ("a/evil", tarfile.REGTYPE, "x")],
        [("a", tarfile.LNKTYPE, "/etc/passwd")],
        [("a", tarfile.FIFOTYPE, "")],
        [("a", tarfile.CHRTYPE, "")],
        [("a", tarfile.REGTYPE, "1"), ("a", tarfile.REGTYPE, "2")],
        [("a", tarfile.REGTYPE, "1"), ("a", tarfile.SYMTYPE, "/etc")],
    ],
)
def test_nothing_is_written_but_below_the_folder(tmp_path: Path, members: list[tuple[str, bytes, str]]) -> None:
    (folder := tmp_path / "deep/folder").mkdir(parents=True)
    with pytest.raises(InfrastructureError, match="no pack"):
        packs.unpack(hostile(tmp_path / "pack", *members), folder)
    assert {p.name for p in tmp_path.rglob("*")} <= {"deep", "folder", "pack", "a"}
    assert not (folder / "a").is_symlink()


@pytest.mark.parametrize("data", [b"", b"no pack", b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03cut"])
def test_what_is_no_pack_is_one_error(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "pack").write_bytes(data)
    (tmp_path / "folder").mkdir()
    with pytest.raises(InfrastructureError, match="no pack"):
        packs.unpack(tmp_path / "pack", tmp_path / "folder")


def test_set_user_id_is_not_laid_out(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/x").touch(mode=0o755)
    (tmp_path / "a/x").chmod(0o4755)
    packs.pack(tmp_path / "a", tmp_path / "pack")
    (tmp_path / "b").mkdir()
    packs.unpack(tmp_path / "pack", tmp_path / "b")
    assert stat.S_IMODE((tmp_path / "b/x").stat().st_mode) == 0o755


def test_an_entry_goes_from_one_cache_to_another(tmp_path: Path) -> None:
    ours, theirs = Cache(tmp_path / "ours"), Cache(tmp_path / "theirs")
    store = Store((tmp_path / "store").as_uri())
    ours.make("kernels", "k", lambda folder: some(folder / "in") and None)
    ref = packs.send(ours, store, "kernels", "k")
    entry = packs.bring(theirs, store, "kernels", "k", ref)
    assert tree_of(entry / "in").keys() == tree_of(tmp_path / "ours/kernels/k/in").keys()
    assert theirs.verify("kernels", "k") == []
    assert packs.send(ours, store, "kernels", "k") == ref


def test_a_damaged_object_is_no_entry(tmp_path: Path) -> None:
    ours, theirs = Cache(tmp_path / "ours"), Cache(tmp_path / "theirs")
    store = Store((tmp_path / "store").as_uri())
    ours.make("kernels", "k", lambda folder: some(folder / "in") and None)
    ref = packs.send(ours, store, "kernels", "k")
    path = Path(store._path(ref))
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(StoreError, match="damaged"):
        packs.bring(theirs, store, "kernels", "k", ref)
    assert theirs.get("kernels", "k") is None
    assert not list((tmp_path / "theirs/kernels").glob("*"))


def test_an_entry_is_packed_again_when_the_store_lost_it(tmp_path: Path) -> None:
    ours, store = Cache(tmp_path / "ours"), Store((tmp_path / "store").as_uri())
    ours.make("kernels", "k", lambda folder: some(folder / "in") and None)
    ref = packs.send(ours, store, "kernels", "k")
    Path(store._path(ref)).unlink()
    assert store.has(packs.send(ours, store, "kernels", "k"))


def test_a_pack_is_nowhere_but_in_the_store(tmp_path: Path) -> None:
    ours, theirs = Cache(tmp_path / "ours"), Cache(tmp_path / "theirs")
    store = Store((tmp_path / "store").as_uri())
    ours.make("kernels", "k", lambda folder: some(folder / "in") and None)
    packs.bring(theirs, store, "kernels", "k", packs.send(ours, store, "kernels", "k"))
    assert not [path for cache in ("ours", "theirs") for path in (tmp_path / cache).rglob(".pack*")]
