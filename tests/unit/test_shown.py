# SPDX-License-Identifier: GPL-2.0-or-later
"""Strangers' text on the user's terminal: nothing but what can be printed, and no line that is not ours."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import cli
from harness.errors import UserError
from harness.jobs.results import RunFolder
from harness.model import Checks
from harness.progress import Progress
from harness.report import text
from harness.shown import one_line, printable
from tests.unit import runs

FORGED = "x\x1b[2J\nVERDICT  FIXES: all is well\r\n\x9b31m \u202e \u2028 \x00"


@given(st.text())
def test_nothing_that_a_terminal_obeys(raw: str) -> None:
    assert printable(raw).replace("\n", "").replace("\t", "").isprintable()
    assert one_line(raw).isprintable()
    assert len(printable(raw)) == len(raw)


def test_text_that_is_fine_stays() -> None:
    assert printable("über\tdie\nZeile") == "über\tdie\nZeile"
    assert one_line("a\r\nb\tc") == "a b c"


def test_no_line_of_a_report_can_be_forged(tmp_path: Path) -> None:
    run = runs.run(tmp_path, ["LOOP"], ["LOOP"])
    kernel = replace(run.kernel, origin=FORGED)
    series = replace(run.series, title=FORGED)
    checks = Checks(warnings=(FORGED,), checkpatch=(FORGED,))
    bad = replace(
        run, kernel=kernel, series=series, checks=checks, base_why=FORGED, notes=(FORGED,), summary=FORGED
    )
    lines = text.plain(bad).splitlines()
    assert [line for line in lines if line.startswith("VERDICT")] == [lines[-1]]
    assert "NO-EFFECT" in lines[-1]
    assert all(line.isprintable() for line in lines)


def test_progress_and_errors(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    stream = StringIO()
    Progress(stream=stream).say(FORGED)
    cli._tell(UserError(FORGED, detail=FORGED))
    said = stream.getvalue() + capsys.readouterr().err
    assert said.replace("\n", "").isprintable() and not stream.getvalue().startswith("VERDICT")
    assert stream.getvalue().count("\n") == 1


def test_the_error_that_is_kept(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, "x")
    with pytest.raises(UserError), folder.open() as where:
        (where / "log").touch()
        raise UserError("m", detail=FORGED)
    (kept,) = tmp_path.glob("failed-*/error.txt")
    assert kept.read_text().replace("\n", "").isprintable()
