# SPDX-License-Identifier: GPL-2.0-or-later
"""Several patches: beside each other, and one on top of the other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.vm.command import ROOT, faultloop

NO_EFFECT = ROOT / "patches/linux/6.1-no-effect.patch"
FIX = ROOT / "patches/linux/6.1-fix-fault-paths.patch"
BROKEN = """\
--- a/mm/memory.c
+++ b/mm/memory.c
@@ -1,2 +1,3 @@
 // SPDX-License-Identifier: GPL-2.0-only
+#error in mid-series
 /*
"""
MENDED = BROKEN.replace("@@ -1,2 +1,3 @@", "@@ -1,3 +1,2 @@").replace("+#error", "-#error")


def test_patches_beside_each_other(tmp_path: Path) -> None:
    called = faultloop("compare", NO_EFFECT, FIX, "--base", "6.1", "--json", results=tmp_path)
    assert called.status == 0, called.stderr
    assert [run["verdict"] for run in json.loads(called.stdout)] == ["NO-EFFECT", "FIXES"]


@pytest.mark.long
def test_series_with_a_build_break_in_its_middle(tmp_path: Path) -> None:
    series = tmp_path / "series"
    series.mkdir()
    for number, text in enumerate((FIX.read_text(), BROKEN, MENDED), 1):
        (series / f"{number:04}-x.patch").write_text(text)
    called = faultloop("test-patch", series, "--base", "6.1", "--each", "--json", results=tmp_path / "results")
    assert called.status == 1
    run = called.run
    assert run["verdict"] == "FIXES"
    assert [bool(step["faults"]) for step in run["steps"]] == [False, True, False]
    assert "#error in mid-series" in run["steps"][1]["detail"]
