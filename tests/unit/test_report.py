# SPDX-License-Identifier: GPL-2.0-or-later
"""Reports of a run: right numbers, valid formats, hostile text shown inert."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from junitparser import Error, Failure, JUnitXml, Skipped

from harness.errors import InfrastructureError, UserError
from harness.jobs.results import RunFolder
from harness.report import document, junit, ktap, reproduce, text
from tests.unit.runs import run

BASE = ["LOOP", "PASS", "SKIP", "PASS", "PASS", "LOOP"]
PATCHED = ["PASS", "PASS", "SKIP", "SPLAT", "ERROR", "INVALID"]


def test_text_holds_paths_outcomes_verdict_and_no_control_characters(tmp_path: Path) -> None:
    shown = text.plain(run(tmp_path, BASE, PATCHED))
    assert "\x1b" not in shown and "\x07" not in shown
    (row,) = [line for line in shown.splitlines() if line.strip().startswith("a ")]
    assert row.split() == ["a", "cortex-a57", "LOOP", "50", "3", "2", "PASS", "1", "3", "2", "mended"]
    assert "VERDICT  REGRESSES: d worse than on the base" in shown
    assert "patched ERROR" in shown


def test_text_of_a_single_variant(tmp_path: Path) -> None:
    shown = text.plain(run(tmp_path, ["LOOP", "PASS"]))
    assert "RESULT   affected: a LOOP" in shown
    assert "VERDICT" not in shown


def test_document_has_what_programs_need(tmp_path: Path) -> None:
    data = json.loads(document.dump(run(tmp_path, BASE, PATCHED)))
    assert (data["schema"], data["verdict"], data["exit_status"]) == ("faultloop/run/1.1", "REGRESSES", 1)
    first = data["paths"][0]
    assert (first["path"], first["setup"], first["change"]) == ("a", "cortex-a57", "mended")
    for side in ("base", "patched"):
        assert {"outcome", "stalls", "tlbi", "notifier_calls"} <= set(first[side])
    assert data["kernel"]["version"] == "6.1.192" and len(data["kernel"]["sha256"]) == 64
    assert data["paths"][3]["patched"]["splats"][0]["kind"] == "warning"


def test_ktap_is_well_formed(tmp_path: Path) -> None:
    lines = ktap.write(run(tmp_path, BASE, PATCHED)).splitlines()
    assert lines[:2] == ["KTAP version 1", "1..2"]
    assert [line for line in lines if line.startswith(("ok", "not ok"))] == [
        "not ok 1 base-cortex-a57",
        "not ok 2 patched-cortex-a57",
    ]
    points = [line.strip() for line in lines if line.startswith(("    ok", "    not ok"))]
    assert len(points) == 12
    assert points[0].startswith("not ok 1 a # LOOP")
    assert points[2].startswith("ok 3 c # SKIP")
    assert all(p.count("#") <= 1 for p in points)


def test_junit_is_read_back_by_junitparser(tmp_path: Path) -> None:
    junit.write(run(tmp_path, BASE, PATCHED), tmp_path / "junit.xml")
    xml = JUnitXml.fromfile(str(tmp_path / "junit.xml"))
    kinds = {(s.name, c.name): [type(r) for r in c.result] for s in xml for c in s}
    assert kinds["base.cortex-a57", "a"] == [Failure]
    assert kinds["patched.cortex-a57", "a"] == []
    assert kinds["patched.cortex-a57", "c"] == [Skipped]
    assert kinds["patched.cortex-a57", "d"] == [Failure]
    assert kinds["patched.cortex-a57", "e"] == [Error]
    assert (xml.tests, xml.failures, xml.errors, xml.skipped) == (12, 3, 1, 3)
    (splat,) = [c.system_err for s in xml for c in s if c.system_err]
    assert "trace" in splat and "\x1b" not in splat


def test_reproduce_quotes_every_word(tmp_path: Path) -> None:
    script = tmp_path / "here's" / "reproduce.sh"
    script.parent.mkdir()
    script.write_text(reproduce.script(run(tmp_path, BASE, PATCHED)))
    fake = tmp_path / "checkout"
    fake.mkdir()
    (fake / "faultloop").write_text('#!/bin/sh\nprintf "%s\\n" "$@"\nexit 1\n')
    (fake / "faultloop").chmod(0o755)
    done = subprocess.run(
        ["sh", str(script)], env={"FAULTLOOP": str(fake), "PATH": "/usr/bin:/bin"}, capture_output=True, text=True
    )
    assert done.stdout.splitlines()[:5] == [
        "test-patch",
        f"{script.parent}/series.patch",
        "--base",
        "it's $(rm -rf /) 6.1",
        "--fresh",
    ]
    assert done.returncode == 0 and "same exit status" in done.stdout
    (fake / "faultloop").write_text("#!/bin/sh\nexit 0\n")
    done = subprocess.run(["sh", str(script)], env={"FAULTLOOP": str(fake), "PATH": "/usr/bin:/bin"})
    assert done.returncode == 1


def test_reproduce_takes_the_installed_command_where_no_checkout_is_around(tmp_path: Path) -> None:
    script, programs = tmp_path / "reproduce.sh", tmp_path / "bin"
    script.write_text(reproduce.script(run(tmp_path, BASE, PATCHED)))
    programs.mkdir()
    (programs / "faultloop").write_text("#!/bin/sh\necho installed\nexit 1\n")
    (programs / "faultloop").chmod(0o755)
    done = subprocess.run(
        ["sh", str(script)], env={"PATH": f"{programs}:/usr/bin:/bin"}, cwd="/", capture_output=True, text=True
    )
    assert done.returncode == 0 and done.stdout.startswith("installed\n")


def test_a_run_folder_is_whole_and_latest_points_to_it(tmp_path: Path) -> None:
    results = tmp_path / "results"
    folder = RunFolder(results, "../[PATCH] mm/evil\x1b name")
    with folder.open() as where:
        (where / "base").mkdir()
        kept = folder.keep(run(tmp_path, BASE, PATCHED))
    assert kept.parent == results and (results / "latest").resolve() == kept.resolve()
    assert {p.name for p in results.glob("[!.]*")} == {kept.name, "latest", "history.sqlite"}
    assert kept.name.endswith("PATCH-mm-evil-name")
    names = {str(p.relative_to(kept)) for p in kept.rglob("*") if p.is_file()}
    assert {"run.json", "junit.xml", "results.ktap", "report.txt", "reproduce.sh", "series.patch"} <= names
    assert {"base/config", "base/build.log", "patched/config", "patched/build.log"} <= names


def test_an_interrupted_run_leaves_nothing(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "results", "x")
    with pytest.raises(KeyboardInterrupt), folder.open() as where:
        (where / "log").write_text("half")
        raise KeyboardInterrupt
    assert list((tmp_path / "results").iterdir()) == []


def test_a_failed_run_keeps_its_logs_and_says_where(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "results", "x")
    with pytest.raises(UserError) as caught, folder.open() as where:
        (where / "console.log").write_text("Kernel panic")
        raise UserError("does not boot")
    (kept,) = (tmp_path / "results").iterdir()
    assert kept.name.startswith("failed-") and str(kept) in caught.value.detail
    assert (kept / "error.txt").read_text().startswith("does not boot")


def test_what_a_killed_run_left_is_swept(tmp_path: Path) -> None:
    results = tmp_path / "results"
    left = results / ".partial-20260101-000000-999999999-x"
    left.mkdir(parents=True)
    with RunFolder(results, "y").open():
        assert not left.exists()


def test_results_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("a file")
    with (
        pytest.raises(InfrastructureError, match="FAULTLOOP_RESULTS"),
        RunFolder(tmp_path / "results", "x").open(),
    ):
        pass


def test_many_paths_that_pass_are_only_counted(tmp_path: Path) -> None:
    many = run(tmp_path, ["PASS"] * 30 + ["LOOP"], ["PASS"] * 30 + ["PASS"])
    shown = text.plain(many)
    assert "mended" in shown and "passed   30 more paths pass on both (all of them" in shown
    assert len(shown.splitlines()) < 20 and "dearer" not in shown
    assert many.judgement is not None
    first, *rest = many.judgement.comparisons
    dear = replace(first, patched=replace(first.patched, tlbi=9))
    costly = replace(many, judgement=replace(many.judgement, comparisons=(dear, *rest)))
    assert "dearer   a: 6 TLBI more than on the base" in text.plain(costly)


def test_a_long_name_costs_no_outcome(tmp_path: Path) -> None:
    long = run(tmp_path, ["LOOP"], ["PASS"])
    assert long.judgement is not None
    pair = replace(long.judgement.comparisons[0], path="p" * 60)
    shown = text.plain(replace(long, judgement=replace(long.judgement, comparisons=(pair,))))
    assert "\N{HORIZONTAL ELLIPSIS}" not in shown and "mended" in shown and "LOOP" in shown
