# SPDX-License-Identifier: GPL-2.0-or-later
"""The mail for the list: narrow, whole, harmless, and unsigned."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import UserError
from harness.jobs.kept import read
from harness.report import document, mail
from harness.report.schema import RunFile
from tests.unit import runs
from tests.unit.runs import HOSTILE

TEXT = st.text(max_size=120)


@pytest.fixture
def run(tmp_path: Path) -> dict[str, Any]:
    return document.document(runs.run(tmp_path, ["LOOP", "PASS"], ["PASS", "PASS"]))


def reply(run: dict[str, Any]) -> str:
    return mail.reply(RunFile.model_validate(run))


def row(path: str, setup: str, base: str, patched: str, change: str = "same") -> dict[str, Any]:
    side = {"stalls": 50, "tlbi": 123, "notifier_calls": 456}
    return {
        "path": path,
        "setup": setup,
        "base": {"outcome": base, **side},
        "patched": {"outcome": patched, **side},
        "change": change,
    }


def test_all_that_a_reader_needs_is_there(run: dict[str, Any]) -> None:
    text = reply(run)
    for word in ("6.1.192", "LOOP 50/3/2", "To repeat it", "./faultloop test-patch x.patch", run["verdict"]):
        assert word in text


def test_signing_is_left_to_the_user(run: dict[str, Any]) -> None:
    assert reply({**run, "verdict": "FIXES"}).endswith("\nTested-by:\n")
    for verdict in ("NO-EFFECT", "REGRESSES", "INCONCLUSIVE", "BASE-UNAFFECTED", None):
        assert "Tested-by" not in reply({**run, "verdict": verdict})


def test_setups_that_agree_share_a_row_and_others_do_not(run: dict[str, Any]) -> None:
    rows = [row("same", "a57", "LOOP", "PASS", "mended"), row("same", "a76", "LOOP", "PASS", "mended")]
    rows += [row("other", "a57", "LOOP", "PASS", "mended"), row("other", "a76", "PASS", "PASS")]
    lines = reply({**run, "paths": rows}).splitlines()
    assert [line.split()[:2] for line in lines if line.startswith(("same", "other"))] == [
        ["same", "all"],
        ["other", "a57"],
    ]
    assert any(line.split()[:2] == ["a76", "PASS"] for line in lines)


def test_a_long_name_of_a_setup_stands_in_the_legend(run: dict[str, Any]) -> None:
    long = "cortex-a76+httu=dirty"
    text = reply({**run, "paths": [row("p", long, "PASS", "PASS"), row("p", "cortex-a57", "PASS", "LOOP")]})
    assert f"setup 1 = {long}" in text
    assert "p    setup 1    PASS" in text


@given(summary=TEXT, subject=TEXT, note=TEXT, origin=TEXT)
@settings(max_examples=100, deadline=None)
def test_narrow_and_harmless_whatever_comes_in(
    tmp_path_factory: pytest.TempPathFactory, summary: str, subject: str, note: str, origin: str
) -> None:
    run = document.document(runs.run(tmp_path_factory.mktemp("run"), ["LOOP", "PASS"], ["PASS", "PASS"]))
    run["summary"], run["notes"], run["kernel"] = summary, [note, HOSTILE], {**run["kernel"], "origin": origin}
    run["patch"]["patches"][0]["subject"] = subject
    text = reply(run)
    assert max(map(len, text.splitlines())) <= mail.COLUMNS
    assert "\x1b" not in text and "\x07" not in text


def test_run_without_a_patch(run: dict[str, Any]) -> None:
    rows = [{k: v for k, v in r.items() if k not in ("patched", "change")} for r in run["paths"]]
    builds = {"base": run["builds"]["base"]}
    text = reply({**run, "patch": None, "verdict": None, "paths": rows, "builds": builds})
    assert "outcome" in text and "patched" not in text.split("To repeat")[0]


def test_a_folder_without_a_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no run there"):
        read(tmp_path)
    (tmp_path / "run.json").write_text('{"schema": "faultloop/run/1", ')
    with pytest.raises(UserError, match=r"run\.json: not a whole run\.json"):
        read(tmp_path)
    (tmp_path / "run.json").write_text(json.dumps({"schema": "faultloop/run/9"}))
    with pytest.raises(UserError, match="has schema 'faultloop/run/9', this version reads"):
        read(tmp_path)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    run = runs.run(tmp_path, ["LOOP", "PASS"], ["PASS", "PASS"])
    (tmp_path / "run.json").write_text(document.dump(run))
    assert read(tmp_path) == document.of(run)
