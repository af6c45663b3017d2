# SPDX-License-Identifier: GPL-2.0-or-later
"""Processes for guests: errors travel back, interruptions unwind every task."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.errors import GuestHung, InfrastructureError
from harness.jobs import pool


def test_each_task_has_its_own_answer(tmp_path: Path) -> None:
    def fail() -> None:
        raise GuestHung("silent for 60 s", detail="console tail")

    errors = pool.run([(tmp_path / "a").touch, fail, (tmp_path / "b").touch], at_once=2)
    assert (tmp_path / "a").exists() and (tmp_path / "b").exists()
    assert errors[0] is None and errors[2] is None
    assert isinstance(errors[1], GuestHung)
    assert (errors[1].message, errors[1].detail) == ("silent for 60 s", "console tail")


def test_a_defect_of_ours_is_an_error_with_its_traceback() -> None:
    def defect() -> None:
        raise ZeroDivisionError("oops")

    (error,) = pool.run([defect], at_once=1)
    assert isinstance(error, InfrastructureError)
    assert "ZeroDivisionError" in error.detail


def test_a_killed_task_is_an_error() -> None:
    (error,) = pool.run([lambda: os.kill(os.getpid(), signal.SIGKILL)], at_once=1)
    assert isinstance(error, InfrastructureError)
    assert "-9" in error.message


def test_no_more_at_once_than_asked(tmp_path: Path) -> None:
    """Each task counts the tasks that run beside it."""

    def task(n: int) -> None:
        (tmp_path / f"on-{n}").touch()
        time.sleep(0.05)
        (tmp_path / f"seen-{n}").write_text(str(len(list(tmp_path.glob("on-*")))))
        (tmp_path / f"on-{n}").unlink()

    assert pool.run([lambda n=n: task(n) for n in range(5)], at_once=2) == [None] * 5  # type: ignore[misc]
    assert max(int(p.read_text()) for p in tmp_path.glob("seen-*")) <= 2


SCRIPT = """
import sys, time
from pathlib import Path
from harness.interruption import unwinding
from harness.jobs import pool
folder = Path(sys.argv[1])
def task(n):
    try:
        (folder / f"started-{n}").touch()
        time.sleep(60)
    finally:
        time.sleep(0.5)
        (folder / f"cleaned-{n}").touch()
try:
    with unwinding([]):
        pool.run([lambda: task(1), lambda: task(2), lambda: task(3)], at_once=2)
except KeyboardInterrupt:
    sys.exit(7)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("whole_group", [False, True])
def test_an_interruption_unwinds_every_task(tmp_path: Path, number: signal.Signals, whole_group: bool) -> None:
    """Also when it reaches the tasks twice: from the terminal, and from the parent that stops them."""
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": "."},
        start_new_session=True,
    )
    deadline = time.monotonic() + 30
    while len(list(tmp_path.glob("started-*"))) < 2:
        assert time.monotonic() < deadline, "tasks did not start"
        time.sleep(0.01)
    if whole_group:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    assert process.wait(30) == 7
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cleaned-1", "cleaned-2", "started-1", "started-2"]


def test_each_end_is_told_as_it_comes() -> None:
    def fail() -> None:
        raise InfrastructureError("no")

    ended: list[tuple[int, str]] = []
    pool.run(
        [lambda: time.sleep(0.5), fail],
        at_once=2,
        on_end=lambda number, error: ended.append((number, error.message if error else "")),
    )
    assert ended == [(1, "no"), (0, "")]
