# SPDX-License-Identifier: GPL-2.0-or-later
"""What a bisection knows, on disk; what a step is told with; fix-ups on a step."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.bisected import Bisection, Commit, Confidence, End, Step
from harness.build.variant_tree import Touched
from harness.errors import PatchError
from harness.jobs import bisect_state
from harness.jobs.bisect_bench import fixed_up
from harness.jobs.bisect_state import State
from harness.model import Outcome, Patch, Series
from harness.report import bisect as report
from harness.sought import Find, Mark

ASKED, HERE = {"good": "a", "bad": "b"}, {"emulator": "e", "guest": "g"}
STEP = Step("a" * 40, Mark.GOOD, "passes: x", runs=((("x", "a57", Outcome.PASS),),), notes=("n",))


def test_what_is_saved_is_there_again(tmp_path: Path) -> None:
    state = State(ASKED, HERE, marks=(("a" * 40, Mark.GOOD),), watched=(("x", "a57"),), seconds=3.5)
    state = state.with_run("b" * 40, (("x", "a57", Outcome.LOOP),)).with_step(STEP)
    bisect_state.save(tmp_path, state)
    assert bisect_state.load(tmp_path, ASKED, HERE) == (state, "")
    assert [path.name for path in tmp_path.iterdir()] == [bisect_state.FILE]


def test_what_does_not_count_any_more(tmp_path: Path) -> None:
    assert bisect_state.load(tmp_path, ASKED, HERE) == (State(ASKED, HERE), "")
    bisect_state.save(tmp_path, State(ASKED, HERE).with_step(STEP))
    state, why = bisect_state.load(tmp_path, ASKED, {**HERE, "emulator": "other"})
    assert state.steps == () and "another emulator" in why
    state, why = bisect_state.load(tmp_path, {**ASKED, "bad": "c"}, HERE)
    assert state.steps == () and why
    (tmp_path / bisect_state.FILE).write_text("{}")
    state, why = bisect_state.load(tmp_path, ASKED, HERE)
    assert state.steps == () and "damaged" in why


def test_a_step_takes_the_place_of_the_same_commits() -> None:
    state = State(ASKED, HERE).with_step(STEP).with_step(Step("a" * 40, Mark.BAD, "x LOOP"))
    assert [step.mark for step in state.steps] == [Mark.BAD]


HOSTILE = "\x1b[2J\nRESULT   FOUND: nothing"


def test_strangers_text_in_the_report() -> None:
    """A subject, an author, a compiler's line, a path of the tree."""
    who = Commit("c" * 40, HOSTILE, HOSTILE, "2026-01-01", ("d" * 40,))
    step = Step("c" * 40, Mark.SKIP, HOSTILE, subject=HOSTILE, detail=HOSTILE)
    done = Bisection(
        HOSTILE, Find.BREAK, who, who, End.FOUND, HOSTILE, 0, (step,), (("x", "a57"),), 1.0,
        first=who, parent=who, suspects=(who,), notes=(HOSTILE,), confidence=Confidence(1, 3, 3, 2),
    )  # fmt: skip
    said = report.plain(done)
    assert "\x1b" not in said and sum(line.startswith("RESULT") for line in said.splitlines()) == 1
    assert "\x1b" not in report.dump(done, 0)


DIFF = "--- a/mm/a.c\n+++ b/mm/a.c\n@@ -1,3 +1,3 @@\n one\n-two\n+TWO\n three\n"


@pytest.mark.parametrize(
    ("text", "after", "notes"),
    [("one\ntwo\nthree\n", "one\nTWO\nthree\n", 0), ("one\nTWO\nthree\n", "one\nTWO\nthree\n", 1)],
)
def test_a_fix_up_on_a_step(tmp_path: Path, text: str, after: str, notes: int) -> None:
    step = _step(tmp_path, text)
    series = Series((Patch("fix", DIFF, files=("mm/a.c",)),))
    found, said = fixed_up(tmp_path / "base", step, series, tmp_path / "scratch")
    assert (found.folder / "mm/a.c").read_text() == after and len(said) == notes


def test_a_fix_up_that_does_not_apply(tmp_path: Path) -> None:
    series = Series((Patch("fix", DIFF, files=("mm/a.c",), source="fix.patch"),))
    with pytest.raises(PatchError, match="does not apply"):
        fixed_up(tmp_path / "base", _step(tmp_path, "else\n"), series, tmp_path / "scratch")


def test_a_fix_up_of_a_file_that_the_step_has_as_the_base(tmp_path: Path) -> None:
    step = _step(tmp_path, "")
    (step.folder / "mm/a.c").unlink()
    series = Series((Patch("fix", DIFF, files=("mm/a.c",)),))
    found, _ = fixed_up(tmp_path / "base", step, series, tmp_path / "scratch")
    assert (found.folder / "mm/a.c").read_text() == "one\nTWO\nthree\n"
    assert (tmp_path / "base/mm/a.c").read_text() == "one\ntwo\nthree\n"


def _step(root: Path, text: str) -> Touched:
    for folder, content in (("base", "one\ntwo\nthree\n"), ("step", text)):
        (root / folder / "mm").mkdir(parents=True)
        (root / folder / "mm/a.c").write_text(content)
    (root / "scratch").mkdir()
    return Touched(root / "step", ())
