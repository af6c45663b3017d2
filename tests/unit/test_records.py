# SPDX-License-Identifier: GPL-2.0-or-later
"""Which records of guests may be served to later runs."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.build.cache import Cache
from harness.errors import GuestError
from harness.jobs import guests, records
from harness.jobs.records import keepable
from harness.model import Outcome, Setup
from harness.recorded import RawGuest, WorkloadRun

PASS = "KTAP version 1\n1..1\nok 1 precondition: it holds\n# stalls 0\n"
INVALID = "KTAP version 1\n1..1\nnot ok 1 precondition: it holds\n"


def raw(end: str, failure: str = "") -> RawGuest:
    run = WorkloadRun("anon-reuse", "", None, {}, {}, 0.1, failure=failure)
    return RawGuest("base", "cortex-a57", ("anon-reuse",), (run,), end, 1.0, 2.0)


@pytest.mark.parametrize(
    ("end", "failure", "kept"),
    [
        ("POWEROFF", "", True),
        ("PANIC", "PANIC", True),
        ("RESET", "STOPPED", True),
        ("HANG", "", False),
        ("HANG", "HANG", False),
        ("POWEROFF", "TIMEOUT", False),
        ("POWEROFF", "CONTROL", False),
        ("QEMU-DIED", "", False),
        ("KILLED", "", False),
    ],
)
def test_only_what_the_kernel_ended_is_kept(end: str, failure: str, kept: bool) -> None:
    assert keepable([raw(end, failure)]) is kept


def test_one_bad_boot_spoils_the_record() -> None:
    assert not keepable([raw("POWEROFF"), raw("HANG")])


def test_what_an_earlier_boot_found_is_not_lost_with_a_later_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    boots: list[tuple[str, ...]] = []

    def one_boot(_job: Any, _emulator: Any, _image: Any, paths: tuple[str, ...], logs: Path) -> RawGuest:
        boots.append(paths)
        if len(boots) == 2:
            raise GuestError("QEMU ended during start")
        (logs / "console.log").write_text("")
        run = WorkloadRun("a", "", None, {}, {}, 0.1, failure="PANIC", message="the guest kernel panicked")
        return RawGuest("base", "cortex-a57", paths, (run,), "PANIC", 1.0, 2.0)

    monkeypatch.setattr(guests, "_one_boot", one_boot)
    job: Any = SimpleNamespace(
        variant="base",
        setup=SimpleNamespace(name="cortex-a57"),
        workloads=[SimpleNamespace(path=path) for path in ("a", "b", "c")],
    )
    guests.record(job, None, None, tmp_path)  # type: ignore[arg-type]
    assert boots == [("a", "b", "c"), ("b", "c")]
    found = {result.path: (result.outcome, result.reason) for result in records.load(tmp_path).results}
    assert found["a"][0] is Outcome.SPLAT
    assert found["b"] == found["c"] == (Outcome.ERROR, "QEMU ended during start")


def test_a_guest_that_never_came_up_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def one_boot(*_of: Any) -> RawGuest:
        raise GuestError("QEMU ended during start")

    monkeypatch.setattr(guests, "_one_boot", one_boot)
    job: Any = SimpleNamespace(workloads=[SimpleNamespace(path="a")])
    with pytest.raises(GuestError):
        guests.record(job, None, None, tmp_path)  # type: ignore[arg-type]


@pytest.fixture
def guest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run a job whose first guest takes a second, by its own account, the next one two; how long the run says.

    Its arguments are the paths that are INVALID, if a guest runs.
    """

    def one_boot(_job: Any, _emulator: Any, _image: Any, paths: tuple[str, ...], logs: Path) -> RawGuest:
        (logs / "console.log").write_text("")
        with guests_run.open("a") as count:  # each runs in a process of its own
            count.write("x")
        runs = tuple(WorkloadRun(path, INVALID if path in invalid else PASS, 0, {}, {}, 0.1) for path in paths)
        return RawGuest("base", "cortex-a57", paths, runs, "POWEROFF", 0.1, float(guests_run.stat().st_size))

    guests_run = tmp_path / "guests"
    invalid: list[str] = []
    cache = Cache(tmp_path / "cache")
    monkeypatch.setattr(guests, "_one_boot", one_boot)
    built: Any = SimpleNamespace(image_sha256="0", key="0")
    job = guests.GuestJob(
        "base", built, Setup("cortex-a57", ""), tuple(SimpleNamespace(path=path) for path in "abc")
    )  # type: ignore
    counter = iter(range(9))

    def run(*would_be_invalid: str, fresh: bool = False) -> float:
        invalid[:] = would_be_invalid
        part: Any = SimpleNamespace(key="0")
        runner = guests.GuestRunner(cache, part, part, fresh=fresh)
        (found,) = runner.run([job], tmp_path / str(next(counter)), at_once=1, on_done=str)
        return found.seconds

    return run


def test_a_fresh_record_takes_the_place_of_what_was_kept(guest: Any) -> None:
    assert [guest(), guest(), guest(fresh=True), guest()] == [1.0, 1.0, 2.0, 2.0]


def test_what_was_invalid_once_is_run_again(guest: Any) -> None:
    assert [guest("a"), guest(), guest()] == [1.0, 2.0, 2.0]


def test_what_was_invalid_twice_answers_for_later_runs(guest: Any) -> None:
    assert [guest("a", "b"), guest("a"), guest()] == [1.0, 2.0, 2.0]


def test_each_path_has_to_be_invalid_twice(guest: Any) -> None:
    assert [guest("a"), guest("b"), guest("a", "b"), guest("a"), guest()] == [1.0, 2.0, 3.0, 4.0, 4.0]


def test_a_fresh_record_with_what_is_invalid_is_run_again(guest: Any) -> None:
    assert [guest(), guest("a", fresh=True), guest()] == [1.0, 2.0, 3.0]


def test_a_record_that_is_replaced_while_it_is_read_is_no_trouble(
    guest: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies = iter([True])

    def copy(source: Path, target: Path) -> None:
        if next(copies, False):
            target.mkdir()
            for entry in (tmp_path / "cache" / records.RECORD_ROOM).iterdir():
                shutil.rmtree(entry)
        shutil.copytree(source, target, dirs_exist_ok=True)

    assert guest() == 1.0
    monkeypatch.setattr(records, "_copy", copy)
    assert [guest(), guest()] == [2.0, 2.0]
