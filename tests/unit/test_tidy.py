# SPDX-License-Identifier: GPL-2.0-or-later
"""What the cache holds, and what of it goes when nobody asks for it."""

from __future__ import annotations

import json
import os
import time
from io import StringIO
from pathlib import Path

import pytest

from harness.build.cache import Cache, last_use
from harness.errors import UserError
from harness.jobs import tidy

DAY = 24 * 3600


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cache:
    monkeypatch.setenv("FAULTLOOP_CACHE", str(tmp_path))
    return Cache(tmp_path)


def add(cache: Cache, room: str, key: str, *, days: float) -> Path:
    """An entry of 5 bytes that was last asked for so long ago."""
    entry = cache.make(room, key, lambda folder: (folder / "file").write_text("12345") and None)
    then = time.time() - days * DAY
    os.utime(entry, (then, then))
    return entry


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def told(*, unused: int | None = None) -> dict[str, dict[str, int]]:
    out = StringIO()
    tidy.cache(out, unused=unused, as_json=True)
    told = json.loads(out.getvalue())
    return {what: {room["name"]: room["entries"] for room in told[what]} for what in ("rooms", "removed")}


def test_each_room_is_told(cache: Cache) -> None:
    add(cache, "kernels", "a", days=3.2)
    add(cache, "kernels", "b", days=0)
    add(cache, "records", "c", days=1)
    out = StringIO()
    tidy.cache(out)
    rows = [line.split() for line in out.getvalue().splitlines()]
    assert ["kernels", "2", "0", "3"] in rows
    assert ["records", "1", "0", "1"] in rows
    assert f"{cache.root}: 3 entries, 0 MiB" in out.getvalue()
    assert told() == {"rooms": {"kernels": 2, "records": 1}, "removed": {}}


def test_what_was_not_asked_for_goes_and_nothing_else(cache: Cache) -> None:
    old, new = add(cache, "kernels", "a", days=4), add(cache, "kernels", "b", days=2)
    (cache.root / "kernels" / "notes").mkdir()
    (cache.root / "other").mkdir()
    os.utime(cache.root / "other", (0, 0))
    assert told(unused=3) == {"rooms": {"kernels": 1}, "removed": {"kernels": 1}}
    assert not old.exists()
    assert new.is_dir()
    assert names(cache.root / "kernels") == ["b", "notes"]
    assert (cache.root / "other").is_dir()


def test_what_goes_is_told_once_for_each_room(cache: Cache) -> None:
    for key in "abc":
        add(cache, "kernels", key, days=4)
    add(cache, "records", "d", days=4)
    out = StringIO()
    tidy.cache(out, unused=3, as_json=True)
    assert [(room["name"], room["entries"]) for room in json.loads(out.getvalue())["removed"]] == [
        ("kernels", 3),
        ("records", 1),
    ]


def add_environment(cache: Cache, name: str, *, days: float, complete: bool = True) -> Path:
    folder = cache.root / "venv" / name
    mark = folder / (".complete" if complete else "lib")
    folder.mkdir(parents=True)
    mark.touch()
    then = time.time() - days * DAY
    os.utime(mark, (then, then))
    return folder


def test_environments_go_but_for_the_one_in_use(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    running = add_environment(cache, "running", days=9)
    monkeypatch.setattr("sys.prefix", str(running))
    add_environment(cache, "new", days=1)
    add_environment(cache, "made-now", days=9, complete=False)
    add_environment(cache, "old", days=9)
    assert told() == {"rooms": {"venv": 3}, "removed": {}}
    assert told(unused=3) == {"rooms": {"venv": 2}, "removed": {"venv": 1}}
    assert names(cache.root / "venv") == ["made-now", "new", "running"]


def test_an_environment_whose_removal_was_killed_is_nobodys_and_goes(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_environment(cache, "old", days=9)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Path, "rename", interrupted_after(Path.rename))
        tidy.cache(StringIO(), unused=3)
    assert not (cache.root / "venv" / "old").exists()
    assert told(unused=3) == {"rooms": {}, "removed": {"venv": 1}}
    assert names(cache.root / "venv") == []


def test_to_ask_for_an_entry_keeps_it(cache: Cache) -> None:
    entry = add(cache, "kernels", "a", days=40)
    assert cache.get("kernels", "a") == entry
    assert time.time() - last_use(entry) < DAY
    assert told(unused=30)["removed"] == {}


def test_to_ask_without_a_look_keeps_it(cache: Cache) -> None:
    """So is the emulator's source asked for by each run."""
    add(cache, "qemu-sources", "a", days=40)
    assert cache.known("qemu-sources", "a")
    assert told(unused=30)["removed"] == {}


def test_to_make_it_again_keeps_it(cache: Cache) -> None:
    add(cache, "kernels", "a", days=40)
    cache.make("kernels", "a", lambda _: pytest.fail("made twice"))
    assert told(unused=30)["removed"] == {}


def test_what_is_asked_for_meanwhile_stays(cache: Cache) -> None:
    entry = add(cache, "kernels", "a", days=1)
    assert not cache.remove_unused("kernels", "a", time.time() - 3 * DAY)
    assert entry.is_dir()


def test_what_somebody_holds_stays(cache: Cache) -> None:
    entry = add(cache, "kernels", "a", days=40)
    with cache.lock("kernels-a"):
        assert told(unused=30)["removed"] == {}
    assert entry.is_dir()


def test_a_removal_that_was_killed_leaves_nothing(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    add(cache, "kernels", "a", days=40)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Path, "rename", interrupted_after(Path.rename))
        tidy.cache(StringIO(), unused=30)
    assert cache.get("kernels", "a") is None
    add(cache, "kernels", "b", days=0)
    assert names(cache.root / "kernels") == ["b"]


def interrupted_after(rename):  # type: ignore[no-untyped-def]
    def wrapped(*paths: Path) -> None:
        rename(*paths)
        raise KeyboardInterrupt

    return wrapped


@pytest.mark.parametrize("days", [0, -1])
def test_less_than_a_day_is_refused(cache: Cache, days: int) -> None:
    entry = add(cache, "kernels", "a", days=40)
    with pytest.raises(UserError, match="at least 1 day"):
        tidy.cache(StringIO(), unused=days)
    assert entry.is_dir()


def test_a_cache_that_is_not_there_is_empty(cache: Cache) -> None:
    cache.root.rmdir()
    assert told(unused=1) == {"rooms": {}, "removed": {}}
