# SPDX-License-Identifier: GPL-2.0-or-later
"""The audit of the IOTLB on real kernels: it finds the loop before the device does, and finds no more."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.vm.command import faultloop
from tests.vm.test_catalogue import CATALOGUE, SETUPS

NOTHING = re.compile(r"entries=[1-9]\d*,restrictive=0,permissive=0,wrong-page=0,unmapped=0,others=0")
BY_HARDWARE = {
    (path, "cortex-a76")
    for path in CATALOGUE.sets["by-cpu-or-hardware"] | {"swapin-reuse-cpu-first", "hugetlb-shared-table"}
}
"""There the CPU makes the page writable by itself, and nobody is told."""
OTHERS = ("reclaim", "over-ram")
"""They are about processes of their own, and audit them all."""


def audits(run: dict[str, Any]) -> dict[tuple[str, str], dict[str, str]]:
    """The facts of each path in each setup."""
    return {(p["path"], p["setup"]): p["base"]["facts"] for p in run["paths"]}


def test_loop_is_found_before_the_device_has_faulted(tmp_path: Path) -> None:
    facts = audits(faultloop("run", "--kernel", "6.1", "--json", results=tmp_path).run)
    for setup in SETUPS:
        found = facts["anon-reuse-cpu-first", setup]
        assert (found["restrictive_operation"], found["stalls_before_audit"]) == ("1", "0")
        assert found["audit_operation_first"].startswith("restrictive,address=")
        for path in CATALOGUE.loops["6.1"].difference(OTHERS):
            assert facts[path, setup]["restrictive_end"] == "1", (path, setup)
    for (path, _), found in facts.items():
        if path in OTHERS or not found:
            continue  # skipped: no facts
        for audit in (found["audit_end"], found.get("audit_operation", found["audit_end"])):
            assert "permissive=0,wrong-page=0,unmapped=0,others=0" in audit


@pytest.mark.parametrize("kernel", ["newest"])
def test_kernel_in_order_leaves_no_difference(kernel: str, tmp_path: Path) -> None:
    run = faultloop("run", "--kernel", kernel, "--json", results=tmp_path).run
    in_order = {(p["path"], p["setup"]) for p in run["paths"] if p["base"]["outcome"] == "PASS"}
    assert len(in_order) > 200
    for key, found in audits(run).items():
        if key not in in_order or key[0] in OTHERS:
            continue
        assert NOTHING.fullmatch(found["audit_end"]), (key, found["audit_end"])
        if key in BY_HARDWARE:
            assert found["restrictive_operation"] == "1"
            assert found["upgraded_by"] == "hardware"
        elif "audit_operation" in found:
            assert NOTHING.fullmatch(found["audit_operation"]), (key, found["audit_operation"])
