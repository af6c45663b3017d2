# SPDX-License-Identifier: GPL-2.0-or-later
"""Which records of guests may be served to later runs."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.errors import GuestError
from harness.jobs import guests
from harness.jobs.guests import keepable
from harness.model import Outcome
from harness.recorded import RawGuest, WorkloadRun


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
    found = {result.path: (result.outcome, result.reason) for result in guests.load(tmp_path).results}
    assert found["a"][0] is Outcome.SPLAT
    assert found["b"] == found["c"] == (Outcome.ERROR, "QEMU ended during start")


def test_a_guest_that_never_came_up_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def one_boot(*_of: Any) -> RawGuest:
        raise GuestError("QEMU ended during start")

    monkeypatch.setattr(guests, "_one_boot", one_boot)
    job: Any = SimpleNamespace(workloads=[SimpleNamespace(path="a")])
    with pytest.raises(GuestError):
        guests.record(job, None, None, tmp_path)  # type: ignore[arg-type]
