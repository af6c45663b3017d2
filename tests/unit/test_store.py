# SPDX-License-Identifier: GPL-2.0-or-later
"""The store by content: what is put is what comes back, and nothing else ever does."""

from __future__ import annotations

import hashlib
import os
import tempfile
import threading
from pathlib import Path

import fsspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.build.store import Ref, Store, StoreError
from harness.errors import UserError

KINDS = ("file", "memory")


def store_at(kind: str, folder: Path) -> Store:
    return Store((folder / "store").as_uri() if kind == "file" else f"memory://{folder.name}")


def object_of(store: Store, ref: Ref) -> str:
    return store._path(ref)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25, deadline=None)
@given(data=st.binary(max_size=3000))
def test_what_is_put_comes_back(kind: str, data: bytes) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = store_at(kind, folder)
        (folder / "a").write_bytes(data)
        ref = store.put(folder / "a")
        assert ref == Ref(hashlib.sha256(data).hexdigest(), len(data)) == store.put_bytes(data)
        assert Ref.parse(str(ref)) == ref
        store.get(ref, folder / "b")
        assert (folder / "b").read_bytes() == store.read(ref) == data


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=40, deadline=None)
@given(data=st.binary(max_size=300), other=st.binary(max_size=300))
def test_another_content_is_never_handed_out(kind: str, data: bytes, other: bytes) -> None:
    """Of any length: cut short, longer, or changed."""
    with tempfile.TemporaryDirectory() as name:
        store, target = store_at(kind, Path(name)), Path(name, "got")
        ref = store.put_bytes(data)
        store._fs.pipe_file(object_of(store, ref), other)
        if other == data:
            store.get(ref, target)
        else:
            with pytest.raises(StoreError, match="damaged"):
                store.get(ref, target)
            assert not target.exists()


@pytest.mark.parametrize("kind", KINDS)
def test_an_object_that_is_missing_is_named(kind: str, tmp_path: Path) -> None:
    ref = Ref("0" * 64, 3)
    store = store_at(kind, tmp_path)
    assert not store.has(ref)
    with pytest.raises(StoreError, match=f"{ref.sha256} is missing"):
        store.get(ref, tmp_path / "got")
    assert not (tmp_path / "got").exists()


def test_an_endless_object_is_not_read_to_its_end(tmp_path: Path) -> None:
    store = store_at("file", tmp_path)
    ref = store.put_bytes(b"abc")
    Path(object_of(store, ref)).unlink()
    Path(object_of(store, ref)).symlink_to("/dev/zero")
    with pytest.raises(StoreError, match="damaged"):
        store.get(ref, tmp_path / "got")


def test_a_damaged_object_of_another_size_is_put_anew(tmp_path: Path) -> None:
    store = store_at("file", tmp_path)
    ref = store.put_bytes(b"abc")
    Path(object_of(store, ref)).write_bytes(b"a")
    store.put_bytes(b"abc")
    assert store.read(ref) == b"abc"


def test_many_writers_of_one_object(tmp_path: Path) -> None:
    """Each puts the same; a reader meanwhile sees all of it or nothing."""
    data = b"x" * 300_000
    ref = Ref(hashlib.sha256(data).hexdigest(), len(data))
    stores = [store_at("file", tmp_path) for _ in range(6)]
    bad: list[bytes] = []
    done = threading.Event()

    def look() -> None:
        path = Path(object_of(stores[0], ref))
        while not done.is_set():
            if path.exists() and path.read_bytes() != data:
                bad.append(b"torn")

    reader = threading.Thread(target=look)
    reader.start()
    writers = [threading.Thread(target=store._write_to, args=(ref, lambda f: f.write(data))) for store in stores]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    done.set()
    reader.join()
    assert not bad
    assert stores[0].read(ref) == data
    assert not list((tmp_path / "store/partial").iterdir())


def test_a_file_that_changes_while_it_is_put_leaves_nothing(tmp_path: Path) -> None:
    store = store_at("file", tmp_path)
    (tmp_path / "a").write_bytes(b"after")
    before = Ref(hashlib.sha256(b"before").hexdigest(), 6)
    with pytest.raises(StoreError, match="changed"):
        store.put(tmp_path / "a", before)
    assert not store.has(before)
    assert not list((tmp_path / "store/partial").iterdir())


def test_a_store_that_cannot_be_written_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("a file, not a folder")
    with pytest.raises(StoreError, match="cannot be used"):
        store_at("file", tmp_path).put_bytes(b"abc")


def test_two_urls_of_one_store_are_known_as_one(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    first = store_at("file", tmp_path).identity()
    assert first == Store((tmp_path / "link/store").as_uri()).identity() == store_at("file", tmp_path).identity()
    assert first != store_at("file", tmp_path / "other").identity()


def test_a_kind_of_url_that_nothing_here_reads_is_refused_without_its_password() -> None:
    with pytest.raises(UserError, match="no such store") as found:
        Store("nowhere://user:secret@host/path")
    assert "secret" not in found.value.message


def test_the_sweep_leaves_what_is_being_written(tmp_path: Path) -> None:
    store = store_at("file", tmp_path)
    partial = tmp_path / "store/partial"
    partial.mkdir(parents=True)
    (partial / "new").touch()
    (partial / "old").touch()
    os.utime(partial / "old", (1, 1))
    store.sweep()
    assert [p.name for p in partial.iterdir()] == ["new"]


def test_memory_is_fsspecs_own() -> None:
    """What the tests of it rely on: two stores of one URL are one."""
    ref = Store("memory://one").put_bytes(b"abc")
    assert Store("memory://one").read(ref) == b"abc"
    assert isinstance(Store("memory://one")._fs, fsspec.get_filesystem_class("memory"))
