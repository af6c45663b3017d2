# SPDX-License-Identifier: GPL-2.0-or-later
"""Random operations: a kernel that loops is found, with what it takes; a kernel in order passes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.vm.command import faultloop


def stress(results: Path, kernel: str, seed: int, operations: int) -> tuple[int, dict[str, Any]]:
    words = ["--kernel", kernel, "--setup", "cortex-a57", "--seed", str(seed), "--operations", str(operations)]
    called = faultloop("stress", *words, "--json", results=results)
    return called.status, json.loads(called.stdout)


def test_a_kernel_that_loops_is_found_and_what_it_takes(tmp_path: Path) -> None:
    status, found = stress(tmp_path, "6.1", 7, 200)
    assert (status, found["outcome"]) == (1, "LOOP"), found
    assert 1 <= len(found["kept"]) <= 12, found
    assert any("device-write" in line for line in found["described"])


def test_a_kernel_in_order_passes(tmp_path: Path) -> None:
    status, found = stress(tmp_path, "newest", 11, 300)
    assert (status, found["outcome"]) == (0, "PASS"), found
    assert found["kept"] == []
