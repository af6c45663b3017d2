# SPDX-License-Identifier: GPL-2.0-or-later
"""Temporary folders of a killed harness are removed by the next one, those in use are not."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import time
from pathlib import Path

import pytest

from harness.mortal import bound
from harness.temporary import sweep, temporary


@pytest.fixture(autouse=True)
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def _work(told: Path) -> None:
    with temporary("work") as folder:
        (folder / "half").write_text("x")
        told.write_text(str(folder))
        time.sleep(60)


def test_it_is_gone_at_the_end(own: Path) -> None:
    with pytest.raises(ValueError), temporary("work") as folder:
        (folder / "sub").mkdir()
        raise ValueError
    assert list(own.iterdir()) == []


def test_what_a_killed_one_has_left_is_swept_and_nothing_else(own: Path) -> None:
    (own / "faultloop-mine").write_text("a file of the user's")
    (own / "faultloop-a-link").symlink_to("/etc")
    told = own / "told"
    maker = multiprocessing.get_context("fork").Process(target=_work, args=(told,))
    maker.start()
    deadline = time.monotonic() + 10
    while not (told.exists() and told.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    with temporary("other") as mine:
        sweep()
        assert mine.is_dir() and (Path(told.read_text()) / "half").exists()
    maker.kill()
    maker.join()
    sweep()
    assert sorted(p.name for p in own.iterdir()) == ["faultloop-a-link", "faultloop-mine", "told"]


def _start(told: Path) -> None:
    told.write_text(str(os.spawnvp(os.P_NOWAIT, "setpriv", bound(["sleep", "60"]))))
    time.sleep(60)


def test_a_child_does_not_outlive_a_killed_harness(own: Path) -> None:
    told = own / "told"
    harness = multiprocessing.get_context("fork").Process(target=_start, args=(told,))
    harness.start()
    deadline = time.monotonic() + 10

    def name() -> str:
        status = Path("/proc", told.read_text() if told.exists() else "0", "stat")
        return status.read_text().split()[1] if status.exists() else ""

    while name() != "(sleep)":
        assert time.monotonic() < deadline
        time.sleep(0.01)
    harness.kill()
    harness.join()
    while name() == "(sleep)":
        assert time.monotonic() < deadline
        time.sleep(0.01)
