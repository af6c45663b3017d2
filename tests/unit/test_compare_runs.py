# SPDX-License-Identifier: GPL-2.0-or-later
"""Two runs beside each other: what differs is named, and nothing else."""

from __future__ import annotations

import json
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest

from harness.errors import ExitStatus, UserError
from harness.jobs.compare_runs import compare_runs
from harness.model import GuestRecord, Run
from harness.report import compare_runs as report
from harness.report import document
from harness.report.compare_runs import Kind, RunsCompared
from tests.unit import runs

A = ["LOOP", "PASS", "LOOP", "PASS", "PASS"]
B = ["PASS", "LOOP", "STALE", "SKIP", "PASS"]


def run(tmp_path: Path, base: list[str]) -> Run:
    return runs.run(tmp_path, base, ["PASS"] * len(base))


def compared(a: Run, b: Run) -> RunsCompared:
    return report.compare(document.of(a), document.of(b), ("one", "two"))


def told(found: RunsCompared) -> str:
    stream = StringIO()
    report.show(found, stream)
    return stream.getvalue()


def test_what_differs_is_named_the_worst_on_top(tmp_path: Path) -> None:
    found = compared(run(tmp_path, A), run(tmp_path, B))
    assert [(d.kind, d.path) for d in found.differences] == [
        (Kind.WORSE, "b"),
        (Kind.BETTER, "a"),
        (Kind.OTHER, "c"),
        (Kind.OTHER, "d"),
    ]
    assert found.same == 6
    shown = told(found)
    assert "RESULT   1 worse, 1 better, 2 other; 6 the same" in shown
    (row,) = [line for line in shown.splitlines() if line.strip().startswith("b ")]
    assert row.split() == ["b", "cortex-a57", "base", "PASS", "1/3/2", "LOOP", "50/3/2", "worse"]


def test_counts_that_differ(tmp_path: Path) -> None:
    a = run(tmp_path, A)
    record = a.records[1]
    dear = replace(record.results[4], tlbi=9, counters={"stalls": 1, "cmd-sync": 7})
    b = replace(a, records=(a.records[0], replace(record, results=(*record.results[:4], dear))))
    assert b.judgement is not None
    pairs = b.judgement.comparisons
    b = replace(b, judgement=replace(b.judgement, comparisons=(*pairs[:4], replace(pairs[4], patched=dear))))
    found = compared(a, b)
    (difference,) = found.differences
    assert difference.kind is Kind.COUNTS and difference.counts == {"tlbi": (3, 9)}
    assert difference.counters == {"cmd-sync": (0, 7)}
    assert "counts   e cortex-a57 patched: tlbi 3 to 9" in told(found)


def test_what_only_one_of_them_ran(tmp_path: Path) -> None:
    off = GuestRecord("base-btm", "cortex-a57", (runs.result("a", "PASS"),), "POWEROFF")
    a, b = run(tmp_path, A), run(tmp_path, A[:4])
    found = compared(a, replace(b, records=(*b.records, off)))
    assert {(d.kind, d.path, d.variant) for d in found.differences} == {
        (Kind.GONE, "e", "base"),
        (Kind.GONE, "e", "patched"),
        (Kind.NEW, "a", "base-btm"),
    }
    assert "only in A: e\nonly in B: a\n" in told(found)


def test_versions_that_differ_are_told_and_others_are_not(tmp_path: Path) -> None:
    a = run(tmp_path, A)
    shown = told(compared(a, replace(a, kernel=replace(a.kernel, version="6.1.193"))))
    assert "kernel   A 6.1.192, " in shown and "         B 6.1.193, " in shown
    assert "emulator" not in shown and "no outcome differs; 10 the same" in shown


def test_nothing_of_a_stranger_gets_through(tmp_path: Path) -> None:
    a = run(tmp_path, A)
    b = replace(a, series=replace(a.series, patches=()), summary=runs.HOSTILE)
    for text in (told(compared(a, b)), report.page(compared(a, b))):
        assert "\x1b" not in text and "\x07" not in text
    assert "<script>alert" not in report.page(compared(a, b))


def test_json_has_all_of_it(tmp_path: Path) -> None:
    found = json.loads(report.dump(compared(run(tmp_path, A), run(tmp_path, B))))
    assert found["schema"] == "faultloop/compare-runs/1" and len(found["differences"]) == 4
    first = found["differences"][0]
    assert (first["kind"], first["a"]["outcome"], first["b"]["outcome"]) == ("worse", "PASS", "LOOP")


def test_status_says_whether_an_outcome_differs(tmp_path: Path) -> None:
    for name, outcomes in (("a", A), ("b", B)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").write_text(document.dump(run(tmp_path, outcomes)))
    assert compare_runs(tmp_path / "a", tmp_path / "a")[1] is ExitStatus.FIXES
    found, status = compare_runs(tmp_path / "a", tmp_path / "b")
    assert status is ExitStatus.NOT_FIXED and found.names == ("a", "b")
    with pytest.raises(UserError, match="no run there"):
        compare_runs(tmp_path / "a", tmp_path / "c")
