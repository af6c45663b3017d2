# SPDX-License-Identifier: GPL-2.0-or-later
"""What users get wrong: one clear error, the right status, no traceback, nothing built."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.vm.command import ROOT, Called, faultloop

GOOD = ROOT / "patches" / "linux" / "6.1-no-effect.patch"

DIFF = """\
--- a/mm/memory.c
+++ b/mm/memory.c
@@ -1,3 +1,3 @@
 one
-two
+TWO
 three
"""

BROKEN_C = """\
--- a/arch/arm64/mm/fault.c
+++ b/arch/arm64/mm/fault.c
@@ -1,4 +1,5 @@
 // SPDX-License-Identifier: GPL-2.0-only
+this does not compile;
 /*
  * Based on arch/arm/mm/fault.c
  *
"""


def refused(called: Called, *words: str, status: int = 2) -> None:
    assert called.status == status, called.stderr
    assert "Traceback" not in called.stderr
    message = [line for line in called.stderr.splitlines() if line.startswith("faultloop:")]
    assert len(message) == 1, called.stderr
    for word in words:
        assert word in called.stderr, called.stderr


def write(folder: Path, content: str | bytes, name: str = "x.patch") -> Path:
    file = folder / name
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return file


def test_a_patch_that_does_not_apply_names_hunk_and_file(tmp_path: Path) -> None:
    called = faultloop("test-patch", write(tmp_path, DIFF), results=tmp_path / "r")
    refused(called, "x.patch", "mm/memory.c", "hunk")
    assert not (tmp_path / "r").exists()


def test_a_patch_for_another_kernel_names_the_base_it_applies_to(tmp_path: Path) -> None:
    for_newest = ROOT / "patches" / "linux" / "7.3-remove-notification.patch"
    refused(faultloop("test-patch", for_newest, "--base", "6.1", results=tmp_path / "r"), "BASE=newest")


def test_an_empty_file(tmp_path: Path) -> None:
    refused(faultloop("test-patch", write(tmp_path, ""), results=tmp_path / "r"), "x.patch", "empty")


def test_a_binary_file(tmp_path: Path) -> None:
    refused(faultloop("test-patch", write(tmp_path, b"\x7fELF\0\0\0"), results=tmp_path / "r"), "x.patch")


def test_a_path_that_leaves_the_tree(tmp_path: Path) -> None:
    evil = DIFF.replace("mm/memory.c", "../../etc/passwd")
    refused(faultloop("test-patch", write(tmp_path, evil), results=tmp_path / "r"), "../../etc/passwd")


def test_a_missing_file(tmp_path: Path) -> None:
    refused(faultloop("test-patch", tmp_path / "none.patch", results=tmp_path / "r"), "none.patch")


def test_an_unknown_kernel_gets_the_nearest_names(tmp_path: Path) -> None:
    refused(faultloop("test-patch", GOOD, "--base", "newst", results=tmp_path / "r"), "newst", "newest")


def test_an_unknown_workload_gets_the_nearest_names(tmp_path: Path) -> None:
    called = faultloop("test-patch", GOOD, "--workloads", "anon-resue", results=tmp_path / "r")
    refused(called, "anon-reuse")


def test_an_unknown_setup(tmp_path: Path) -> None:
    refused(faultloop("test-patch", GOOD, "--setup", "cortex-a53", results=tmp_path / "r"), "cortex-a57")


def test_kvm_needs_an_arm64_host(tmp_path: Path) -> None:
    refused(faultloop("run", "--accel", "kvm", results=tmp_path / "r"), "arm64 host")


def test_a_folder_that_is_no_kernel(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    refused(faultloop("run", "--kernel", tmp_path / "tree", results=tmp_path / "r"), "not a Linux source tree")


def test_results_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "r").write_text("a file")
    refused(faultloop("test-patch", GOOD, results=tmp_path / "r"), "FAULTLOOP_RESULTS", status=4)


def test_a_patch_that_does_not_build_shows_the_compilers_lines(tmp_path: Path) -> None:
    called = faultloop("test-patch", write(tmp_path, BROKEN_C), results=tmp_path / "r")
    refused(called, "arch/arm64/mm/fault.c:2", "error:")


@pytest.mark.parametrize("setup", ["no-stall", "no-substreams", "narrow"])
def test_a_machine_without_sva_names_the_precondition(setup: str, tmp_path: Path) -> None:
    """These setups are in setups.yaml for this test and for `make doctor`'s explanation."""
    words = {"no-stall": "stall", "no-substreams": "SSIDSIZE", "narrow": "PARange"}
    called = faultloop("run", "--setup", setup, results=tmp_path / "r")
    refused(called, "no SVA", words[setup])
