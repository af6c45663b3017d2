# SPDX-License-Identifier: GPL-2.0-or-later
"""The cache: whole entries or none, whatever happens to the maker or, later, to the entry."""

from __future__ import annotations

import errno
import multiprocessing
import os
import shutil
import signal
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import disk
from harness.build import cache as cache_module
from harness.build.cache import MANIFEST, Cache, digest, need_space
from harness.errors import InfrastructureError


@pytest.fixture
def notices() -> list[str]:
    return []


@pytest.fixture
def cache(tmp_path: Path, notices: list[str]) -> Cache:
    return Cache(tmp_path / "cache", notice=notices.append)


def _two_files(folder: Path) -> None:
    (folder / "sub").mkdir()
    (folder / "sub" / "a").write_text("one")
    (folder / "b").write_text("two")
    (folder / "link").symlink_to("sub/a")


def _left(cache: Cache, room: str) -> list[str]:
    return sorted(path.name for path in (cache.root / room).iterdir())


def test_make_then_get(cache: Cache) -> None:
    assert cache.get("room", "k") is None
    entry = cache.make("room", "k", _two_files)
    assert entry == cache.root / "room" / "k" == cache.get("room", "k")
    assert (entry / "sub" / "a").read_text() == "one"
    assert cache.verify("room", "k") == []
    assert cache.entries("room") == [entry]


def test_remove(cache: Cache) -> None:
    cache.make("room", "k", _two_files)
    cache.remove("room", "k")
    cache.remove("room", "k")
    assert cache.get("room", "k") is None and cache.entries("room") == []


def test_made_once(cache: Cache) -> None:
    cache.make("room", "k", _two_files)
    cache.make("room", "k", lambda folder: pytest.fail("made twice"))


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt(), SystemExit(3)])
def test_nothing_half_written(cache: Cache, error: BaseException) -> None:
    def maker(folder: Path) -> None:
        _two_files(folder)
        raise error

    with pytest.raises(type(error)):
        cache.make("room", "k", maker)
    assert cache.get("room", "k") is None
    assert _left(cache, "room") == []
    cache.make("room", "k", _two_files)


def _shorten(entry: Path) -> None:
    (entry / "b").write_text("t")


def _unlink(entry: Path) -> None:
    (entry / "sub" / "a").unlink()


def _unlink_link(entry: Path) -> None:
    (entry / "link").unlink()


def _link_for_a_file(entry: Path) -> None:
    (entry / "b").unlink()
    (entry / "b").symlink_to("two")  # as long as the file was


def _file_for_a_link(entry: Path) -> None:
    (entry / "link").unlink()
    (entry / "link").write_text("sub/a")


def _no_manifest(entry: Path) -> None:
    (entry / MANIFEST).unlink()


def _cut_manifest(entry: Path) -> None:
    (entry / MANIFEST).write_text((entry / MANIFEST).read_text()[:40])


@pytest.mark.parametrize(
    "damage",
    [_shorten, _unlink, _unlink_link, _link_for_a_file, _file_for_a_link, _no_manifest, _cut_manifest],
)
def test_damaged_entry_is_made_again(cache: Cache, notices: list[str], damage: object) -> None:
    assert callable(damage)
    entry = cache.make("room", "k", _two_files)
    damage(entry)
    assert cache.get("room", "k") is None
    assert not entry.exists()
    assert len(notices) == 1 and str(entry) in notices[0]
    assert cache.make("room", "k", _two_files) == entry
    assert (entry / "b").read_text() == "two"


def test_verify_reads_every_byte(cache: Cache) -> None:
    entry = cache.make("room", "k", _two_files)
    (entry / "b").write_text("TWO")
    assert cache.get("room", "k") == entry
    assert cache.verify("room", "k") == ["b: content changed"]


def test_what_is_about_to_be_read_is_compared(cache: Cache, notices: list[str]) -> None:
    entry = cache.make("room", "k", _two_files)
    (entry / "b").write_text("TWO")
    for read in ((), ("sub/a",), ("sub/*", "gone")):
        assert cache.get("room", "k", read=read) == entry
    assert cache.make("room", "k", _two_files, read=("*",)) == entry
    assert (entry / "b").read_text() == "two"
    assert notices == [f"cache: {entry}: b: content changed; removed, will be made again"]
    (entry / "b").write_text("TWO")
    assert cache.get("room", "k", read=["b"]) is None


def test_what_is_not_about_to_be_read_can_be_taken_out(cache: Cache) -> None:
    entry = cache.make("room", "k", _two_files)
    (entry / "b").write_text("TWO")
    assert cache.get("room", "k", read=("*", "!b*")) == entry
    assert cache.get("room", "k", read=("*", "!c*")) is None


def test_known_looks_at_nothing(cache: Cache) -> None:
    assert cache.known("room", "k") is None
    entry = cache.make("room", "k", _two_files)
    (entry / "b").unlink()
    assert cache.known("room", "k") == entry
    (entry / MANIFEST).unlink()
    assert cache.known("room", "k") is None


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_read_only_folders_can_be_removed(cache: Cache) -> None:
    def maker(folder: Path) -> None:
        _two_files(folder)
        (folder / "sub").chmod(0o500)
        raise ValueError

    with pytest.raises(ValueError):
        cache.make("room", "k", maker)
    assert _left(cache, "room") == []


def _make_and_hang(root: Path, started: Path) -> None:
    def maker(folder: Path) -> None:
        (folder / "half").write_text("x")
        started.touch()
        time.sleep(60)

    Cache(root).make("room", "k", maker)


def _wait_for(path: Path) -> None:
    for _ in range(500):
        if path.exists():
            return
        time.sleep(0.01)
    raise AssertionError(f"{path} never appeared")


def test_a_killed_maker_is_swept_and_a_living_one_is_not(cache: Cache, tmp_path: Path) -> None:
    started = tmp_path / "started"
    maker = multiprocessing.get_context("fork").Process(target=_make_and_hang, args=(cache.root, started))
    maker.start()
    _wait_for(started)
    cache.make("room", "other", _two_files)
    assert _left(cache, "room") == [".tmp-k", "other"]
    assert maker.pid is not None
    os.kill(maker.pid, signal.SIGKILL)
    maker.join()
    cache.make("room", "third", _two_files)
    assert _left(cache, "room") == ["other", "third"]


def test_two_makers_make_once(cache: Cache, notices: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_module, "_SAY_AFTER_SECONDS", 0.05)
    made: list[int] = []

    def maker(folder: Path) -> None:
        made.append(1)
        time.sleep(0.3)
        _two_files(folder)

    threads = [threading.Thread(target=cache.make, args=("room", "k", maker)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == [1]
    assert any("waiting for another process" in line for line in notices)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_full_disk_names_folder_and_rest(cache: Cache, number: int) -> None:
    def maker(folder: Path) -> None:
        (folder / "half").write_text("x")
        raise OSError(number, os.strerror(number))

    with pytest.raises(InfrastructureError, match=r"no space left \(\d+\.\d GiB free\)") as caught:
        cache.make("room", "k", maker)
    assert str(cache.root) in caught.value.message
    assert _left(cache, "room") == []


def test_full_disk_in_the_words_of_shutil_and_of_programs(tmp_path: Path) -> None:
    assert disk.is_full(shutil.Error([("a", "b", "[Errno 28] No space left on device: 'b'")]))
    assert disk.is_full("cp: error writing 'x': No space left on device")
    assert not disk.is_full(shutil.Error([("a", "b", "[Errno 13] Permission denied")]))
    with (
        pytest.raises(InfrastructureError, match="another folder in FAULTLOOP_RESULTS"),
        disk.told(tmp_path, disk.RESULTS),
    ):
        raise OSError(errno.EDQUOT, "Disk quota exceeded")
    with pytest.raises(PermissionError), disk.told(tmp_path, disk.RESULTS):
        raise PermissionError(errno.EACCES, "no")


def test_other_errors_of_a_maker_stay_what_they_are(cache: Cache) -> None:
    def maker(folder: Path) -> None:
        raise FileNotFoundError(errno.ENOENT, "gone", "x")

    with pytest.raises(FileNotFoundError):
        cache.make("room", "k", maker)


def test_need_space(tmp_path: Path) -> None:
    need_space(tmp_path / "not" / "yet", 0.0, "nothing")
    with pytest.raises(InfrastructureError, match="a moon needs 1e"):
        need_space(tmp_path / "not" / "yet", 1e9, "a moon")


@pytest.mark.parametrize("key", ["", ".tmp-x", "a/b", ".."])
def test_keys_that_leave_the_room(cache: Cache, key: str) -> None:
    with pytest.raises(ValueError):
        cache.get("room", key)


def test_sockets_do_not_get_in(cache: Cache) -> None:
    with pytest.raises(InfrastructureError, match="neither a file"):
        cache.make("room", "k", lambda folder: os.mkfifo(folder / "pipe"))


@pytest.mark.parametrize(
    ("left", "right"),
    [("a", "A"), (1, "1"), (["a", "b"], ["ab"]), ([["a"], "b"], [["a", "b"]]), (None, "null")],
)
def test_digest_tells_near_values_apart(left: object, right: object) -> None:
    assert digest(left) != digest(right)


_PARTS = st.recursive(
    st.none() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3), max_leaves=6
)


@settings(max_examples=60)
@given(st.lists(_PARTS, max_size=3), st.lists(_PARTS, max_size=3))
def test_digest_tells_values_apart(left: list[object], right: list[object]) -> None:
    assert (digest(*left) == digest(*right)) == (left == right)
