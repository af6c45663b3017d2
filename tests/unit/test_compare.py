# SPDX-License-Identifier: GPL-2.0-or-later
"""Several patches in one table."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from harness.errors import PatchError, UserError
from harness.jobs.compare import compare
from harness.jobs.test_patch import Request
from harness.jobs.workshop import Workshop
from harness.model import Patch, Run, Series
from harness.report import compare as report
from harness.report import document
from tests.unit import runs

DIFF = "--- a/x\n+++ b/x\n@@ -1,2 +1,3 @@\n-old\n+new\n+++more\n same\n"


def run(folder: Path, *patched: str) -> Run:
    made = runs.run(folder, ["LOOP", "LOOP", "PASS"], list(patched))
    return replace(made, series=Series((Patch("x", DIFF, files=("x",)),), title=f"patch {runs.HOSTILE}"))


def rows(text: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if words := line.split():
            found.setdefault(words[0], words[1:])
    return found


def test_each_patch_has_a_column(tmp_path: Path) -> None:
    text = report.plain([run(tmp_path, "PASS", "PASS", "PASS"), run(tmp_path, "PASS", "LOOP", "LOOP")])
    found = rows(text)
    assert found["path"] == ["setup", "base", "A", "B"]
    assert found["a"] == ["cortex-a57", "LOOP", "50/3/2", "PASS", "1/3/2", "mended", "PASS", "1/3/2", "mended"]
    assert found["b"][-4:] == ["LOOP", "50/3/2", "not", "mended"]
    assert found["c"][-3:] == ["LOOP", "50/3/2", "worse"]
    assert found["verdict"] == ["FIXES", "REGRESSES"]
    assert "\x1b" not in text


def test_what_a_patch_costs_is_told(tmp_path: Path) -> None:
    found = rows(report.plain([run(tmp_path, "PASS", "PASS", "PASS"), run(tmp_path, "PASS", "PASS", "PASS")]))
    assert found["lines"] == ["changed", "+2", "-1", "+2", "-1"]
    assert found["objects"] == ["rebuilt", "36", "36"]
    assert found["kernel"] == ["notified", "6", "(+0)", "6", "(+0)"]


def test_invalidations_of_whole_address_spaces_are_told(tmp_path: Path) -> None:
    cheap = run(tmp_path, "PASS", "PASS", "PASS")
    assert cheap.judgement is not None
    pairs = [replace(c, patched=replace(c.patched, tlbi_wide=4)) for c in cheap.judgement.comparisons]
    dear = replace(cheap, judgement=replace(cheap.judgement, comparisons=tuple(pairs)))
    assert rows(report.plain([cheap, dear]))["by"] == ["whole", "ASID", "0", "(+0)", "12", "(+12)"]


def test_a_path_that_one_run_lacks_is_a_dash(tmp_path: Path) -> None:
    short = runs.run(tmp_path, ["LOOP"], ["PASS"])
    found = rows(report.plain([run(tmp_path, "PASS", "PASS", "PASS"), short]))
    assert found["b"][-1] == "-"


def test_documents_of_all(tmp_path: Path) -> None:
    two = [run(tmp_path, "PASS", "PASS", "PASS"), run(tmp_path, "LOOP", "LOOP", "PASS")]
    assert [d["verdict"] for d in json.loads(document.dump_all(two))] == ["FIXES", "NO-EFFECT"]


@pytest.mark.parametrize("count", [0, 1, 10])
def test_how_many(count: int, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"{count} patches: a comparison has 2 to 9"):
        compare(Request(), [str(tmp_path)] * count, Workshop())


def test_a_bad_patch_is_told_before_anything_is_built(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.patch", tmp_path / "bad.patch"
    good.write_text("--- a/x\n+++ b/x\n@@ -1 +1 @@\n-old\n+new\n")
    bad.write_text("nothing\n")
    with pytest.raises(PatchError, match=r"bad\.patch"):
        compare(Request(), [str(good), str(bad)], Workshop())
