# SPDX-License-Identifier: GPL-2.0-or-later
"""One kernel in two setups: the matrix, why what loops does, and that the second call has nothing left to run."""

from __future__ import annotations

from pathlib import Path

from tests.vm.command import faultloop

WORDS = ("sweep", "--kernels", "6.1", "--setups", "cortex-a57,a57-thp-never", "--workloads", "anon-reuse,munmap")


def test_one_kernel_in_two_setups(tmp_path: Path) -> None:
    found = faultloop(*WORDS, "--fresh", "--json", results=tmp_path)
    assert found.status == 1, found.stderr
    cells = found.run["cells"]
    assert [cell["setup"]["thp"] for cell in cells] == ["madvise", "never"]
    for cell in cells:
        assert {path: told["outcome"] for path, told in cell["paths"].items()} == {
            "anon-reuse": "LOOP",
            "munmap": "PASS",
        }
        why = cell["paths"]["anon-reuse"]["why"]
        assert "ptep_set_access_flags" in why["functions"]
        assert (why["before"], why["after"]) == ("read-only, dirty", "writable, dirty")
        assert why["cached"] == why["still_cached"] == "r-,level=3,granule=4096"
        assert (why["tlbi"], why["notifier"]) == (0, "0")
    again = faultloop(*WORDS, results=tmp_path)
    assert "2 of 2 guests are known from earlier runs" in again.stderr
    assert "anon-reuse on 6.1" in again.stdout
    assert not (tmp_path / "latest").exists()
