# SPDX-License-Identifier: GPL-2.0-or-later
"""What a command may leave is seen when it is there: each kind of it, and what others hold is not taken for it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from filelock import FileLock

from tests import leftovers
from tests.leftovers import Place, alive, nothing_left, wait_for


@pytest.fixture(autouse=True)
def little_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leftovers, "PATIENCE", 0.3)


@contextmanager
def orphan(_place: Place) -> Iterator[None]:
    """Its parent has ended before it, and it has a session of its own."""
    subprocess.run(["sh", "-c", "setsid sleep 100 &"], check=True)
    wait_for("sleep")
    yield


@contextmanager
def port(_place: Place) -> Iterator[None]:
    with socket.create_server(("127.0.0.1", 0)):
        yield


@contextmanager
def port_of_a_child(_place: Place) -> Iterator[None]:
    code = "import socket,time; s = socket.create_server(('127.0.0.1', 0)); print(flush=True); time.sleep(100)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield
        process.kill()


@contextmanager
def lock(place: Place) -> Iterator[None]:
    with FileLock(place.cache / "locks" / "room-key.lock"):
        yield


@contextmanager
def half_made(place: Place) -> Iterator[None]:
    (place.cache / "room" / ".tmp-key").mkdir(parents=True)
    yield


@contextmanager
def temporary(place: Place) -> Iterator[None]:
    (place.temporary / "faultloop-x").mkdir()
    yield


@contextmanager
def half_written(place: Place) -> Iterator[None]:
    (place.results / ".partial-x").mkdir(parents=True)
    yield


@pytest.mark.parametrize(
    ("leave", "said"),
    [
        (orphan, r"processes: \d+ sleep 100"),
        (port, r"ports: 127.0.0.1:\d+"),
        (port_of_a_child, r"ports: 127.0.0.1:\d+"),
        (lock, "locks: room-key.lock"),
        (half_made, r"cache: .*/\.tmp-key"),
        (temporary, "temporary: .*/faultloop-x"),
        (half_written, r"results: .*/\.partial-x"),
    ],
)
def test_what_is_left_is_told(leave: Callable[[Place], ExitStack], said: str, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    (cache / "locks").mkdir(parents=True)
    with (
        ExitStack() as until_told,
        pytest.raises(AssertionError, match=said),
        nothing_left(tmp_path / "place", cache=cache) as place,
    ):
        until_told.enter_context(leave(place))


def test_a_mount_is_told(tmp_path: Path) -> None:
    where = tmp_path / "place" / "mount"
    where.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "none", str(where)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mount(8) is for root")
    subprocess.run(["umount", where], check=True)
    try:
        with pytest.raises(AssertionError, match=r"mounts: none .*/mount tmpfs"), nothing_left(tmp_path / "place"):
            subprocess.run(mount, check=True)
    finally:
        subprocess.run(["umount", where], check=True)


def test_what_was_there_before_or_is_being_made_by_another_is_not(tmp_path: Path) -> None:
    cache, place = tmp_path / "cache", tmp_path / "place"
    (cache / "locks").mkdir(parents=True)
    (cache / "room" / ".tmp-before").mkdir(parents=True)
    (place / "tmp" / "before").mkdir(parents=True)
    code = f"import fcntl; f = open({str(cache / 'locks' / 'room-other.lock')!r}, 'w'); fcntl.flock(f, 2); "
    with subprocess.Popen(
        [sys.executable, "-c", code + "print(flush=True); input()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdin is not None and other.stdout is not None
        other.stdout.readline()
        with nothing_left(place, cache=cache):
            (cache / "room" / ".tmp-other").mkdir()
        other.stdin.close()


def test_what_a_failed_test_left_running_ends_with_it(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), nothing_left(tmp_path):
        subprocess.run(["sh", "-c", "setsid sleep 100 &"], check=True)
        found = wait_for("sleep")
        raise ZeroDivisionError
    assert not alive(found)


def test_a_command_has_folders_of_its_own_and_its_output_is_kept(tmp_path: Path) -> None:
    with nothing_left(tmp_path) as place:
        called = place.run("report")
        program = ["env", "NAME=behind", "sh", "-c", 'echo "$NAME $TMPDIR" >&2; exec "$@"', "sh"]
        behind = place.run("report", tmp_path / "none", behind=program)
    assert (called.status, behind.status) == (2, 2)
    assert f"{place.results}/latest: no run there" in called.stderr
    assert behind.stderr.startswith(f"behind {place.temporary}\n")
    assert os.environ.get("TMPDIR") != str(place.temporary)
