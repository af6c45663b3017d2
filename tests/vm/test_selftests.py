# SPDX-License-Identifier: GPL-2.0-or-later
"""Linux's own mm tests, bound to the device: clean on a kernel that notifies, STALE with a deaf driver."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.vm.command import ROOT, faultloop

NAMES = ("mremap", "ksm-unmerge")


def selftests(results: Path, *words: str, names: tuple[str, ...] = NAMES) -> tuple[int, dict[str, dict[str, Any]]]:
    called = faultloop(
        *("selftests", "--kernel", "newest", "--setup", "cortex-a57", "--json", *words), *names, results=results
    )
    assert called.stdout, called.stderr
    return called.status, {test["name"]: test for test in json.loads(called.stdout)["tests"]}


@pytest.mark.long
def test_a_kernel_that_notifies_is_clean(tmp_path: Path) -> None:
    status, found = selftests(tmp_path)
    assert status == 0, found
    assert {name: test["outcome"] for name, test in found.items()} == dict.fromkeys(NAMES, "PASS")
    for test in found.values():
        assert test["audits"] and test["entries"] and test["primed"], test
        assert test["theirs"]["passed"] and not test["theirs"]["failed"], test
        assert test["theirs"]["status"] == 0, test


@pytest.mark.long
def test_a_deaf_driver_leaves_stale_entries(tmp_path: Path) -> None:
    patch = ROOT / "patches" / "linux" / "7.3-deaf-driver.patch"
    status, found = selftests(tmp_path, "--patch", str(patch))
    assert status == 1, found
    assert {name: test["outcome"] for name, test in found.items()} == dict.fromkeys(NAMES, "STALE")
    assert all("address=0x" in test["reason"] for test in found.values()), found


@pytest.mark.long
def test_a_child_that_passed_is_not_taken_for_a_failed_one(tmp_path: Path) -> None:
    """A test that asks for its child when the pidfd says so, and does not wait, finds it: it was let go."""
    status, found = selftests(tmp_path, names=("hmm",))
    theirs = found["hmm"]["theirs"]
    assert status == 0 and found["hmm"]["outcome"] == "PASS", found
    assert theirs["passed"] > 20 and not theirs["failed"], theirs
