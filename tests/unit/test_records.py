# SPDX-License-Identifier: GPL-2.0-or-later
"""Which records of guests may be served to later runs."""

from __future__ import annotations

import pytest

from harness.jobs.guests import keepable
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
