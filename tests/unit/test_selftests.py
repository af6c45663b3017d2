# SPDX-License-Identifier: GPL-2.0-or-later
"""Linux's own selftests, bound to the device: which are run, and who says what of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import layout
from harness.build.selftests import folder_of
from harness.errors import ExitStatus, InfrastructureError, UserError
from harness.jobs.selftests import status_of
from harness.model import Outcome
from harness.oracle import selftests as oracle
from harness.report import selftests as report
from harness.selftested import Ours, Ran
from harness.sources import selftests as rows

TABLE = layout.project().guest_tests / "selftests" / "selftests.yaml"
DONE = "launch: done: primed=70 passes=3 audits=2 entries=90 stale=0 restrictive=1"


def test_what_takes_long_runs_when_it_is_named() -> None:
    short = [row.name for row in rows.load(TABLE)]
    assert "mremap" in short and "migration" not in short
    assert [row.name for row in rows.load(TABLE, ["migration", "mrem*"])] == ["mremap", "migration"]
    with pytest.raises(UserError, match="unknown selftest 'mremp': did you mean"):
        rows.load(TABLE, ["mremp"])


def test_every_row_states_what_the_audits_are_to_say_of_each_series() -> None:
    for row in rows.load(TABLE, ["*"]):
        assert set(row.expect) == {"6.1", "6.12", "7.3"}, row.name
        assert set(row.expect.values()) <= {Outcome.PASS, Outcome.SKIP}, row.name
        assert (row.expect["6.1"] is Outcome.SKIP) >= row.too_new_for("6.1"), row.name


def test_a_series_goes_on_until_the_next_one() -> None:
    row = rows.Selftest(name="a", program="a", expect={"6.12": Outcome.SKIP, "6.1": Outcome.PASS}, why="x")
    said = {version: row.expected(version) for version in ("5.10", "6.1.192", "6.6.1", "6.12.117-1", "7.3.4")}
    assert said == dict(zip(said, ("PASS", "PASS", "PASS", "SKIP", "SKIP"), strict=True))


def test_a_kernel_that_is_too_old() -> None:
    (row,) = rows.load(TABLE, ["hmm"])
    assert row.too_new_for("6.1.192") and not row.too_new_for("6.12.117") and not row.too_new_for("7.3.4-rc1")


@pytest.mark.parametrize(
    ("said", "outcome"),
    [
        ([DONE], Outcome.PASS),
        ([DONE.replace("stale=0", "stale=2"), "launch: stale: end: 2, first unmapped address=0x1"], Outcome.STALE),
        ([DONE.replace("primed=70", "primed=0")], Outcome.INVALID),
        ([DONE.replace("audits=2", "audits=0")], Outcome.INVALID),
        ([DONE.replace("entries=90", "entries=0")], Outcome.INVALID),
        (["launch: error: audit: No such device", DONE], Outcome.ERROR),
        (["launch: stale: end: 2"], Outcome.ERROR),
        ([], Outcome.ERROR),
    ],
)
def test_the_audits_have_a_word_of_their_own(said: list[str], outcome: Outcome) -> None:
    assert oracle.ours(said).outcome is outcome


def test_a_stale_entry_is_told_with_its_address() -> None:
    said = [DONE.replace("stale=0", "stale=1"), "launch: stale: ok 3 x: 1, first permissive address=0x5"]
    assert oracle.ours(said).reason == "ok 3 x: 1, first permissive address=0x5"


def test_their_results_are_counted_and_do_not_count() -> None:
    lines = ["TAP version 13", "1..3", "ok 1 a", "not ok 2 b", "ok 3 c # SKIP no pages"]
    theirs = oracle.theirs(lines, 1)
    assert (theirs.passed, theirs.failed, theirs.skipped) == (1, 1, 1)
    ran = Ran("a", Outcome.PASS, "s", Ours(Outcome.PASS, audits=1), theirs)
    assert status_of([ran]) is ExitStatus.FIXES
    assert theirs.text == "status 1: 1 passed, 1 failed, 1 skipped"
    assert oracle.theirs(["Tests done"], 4).text == "skipped"


def test_points_without_a_version_line() -> None:
    """As mremap prints them: no `TAP version`, and more below a point."""
    lines = [
        "# Test configs:",
        "\tthreshold_mb=4",
        "1..4",
        "ok 1 8KB mremap - Source aligned",
        "\tmremap time:      1024ns",
        "ok 2 # XFAIL 4KB mremap - Source and Destination Regions Overlapping",
        "\tExpected mremap failure",
        "not ok 3 mremap move within range",
        "ok 4 # SKIP no uffd",
    ]
    theirs = oracle.theirs(lines, 1)
    assert (theirs.passed, theirs.failed, theirs.skipped) == (2, 1, 1)


def test_a_sum_of_their_own_is_what_counts() -> None:
    """A point without line end swallows the next one: the sum does not."""
    lines = [
        "ok 1 a",
        "ok 2 # SKIP b - missing uffdok 3 c",
        "# Totals: pass:2 fail:1 xfail:1 xpass:0 skip:1 error:1",
    ]
    theirs = oracle.theirs(lines, 0)
    assert (theirs.passed, theirs.failed, theirs.skipped) == (3, 2, 1)


def test_what_is_no_point() -> None:
    lines = ["okay 1", "    ok 1 of a subtest", "ok", "ok x", "# ok 3 a", "ok 99999999999999999999 a"]
    theirs = oracle.theirs(lines, 0)
    assert (theirs.passed, theirs.failed, theirs.skipped) == (0, 0, 0)


def test_what_was_not_expected_is_said() -> None:
    from io import StringIO

    from harness.model import Kernel
    from harness.selftested import Selftests

    out = StringIO()
    kernel = Kernel("k", "6.1", "o", "d", Path())
    report.show(Selftests(kernel, (Ran("a", Outcome.PASS, "s", Ours(Outcome.STALE, "x")),)), out)
    assert "differs  a on s is STALE, PASS is expected\n" in out.getvalue()
    out = StringIO()
    report.show(Selftests(kernel, (Ran("a", Outcome.PASS, "s", Ours(Outcome.PASS)),)), out)
    assert "differs" not in out.getvalue()


def test_status() -> None:
    def one(outcome: Outcome) -> Ran:
        return Ran("a", Outcome.PASS, "s", Ours(outcome))

    assert status_of([one(Outcome.PASS), one(Outcome.SKIP)]) is ExitStatus.FIXES
    assert status_of([one(Outcome.PASS), one(Outcome.STALE)]) is ExitStatus.NOT_FIXED
    assert status_of([one(Outcome.PASS), one(Outcome.INVALID)]) is ExitStatus.UNDECIDED
    assert status_of([one(Outcome.SKIP)]) is ExitStatus.UNDECIDED


def test_where_the_tests_lie(tmp_path: Path) -> None:
    with pytest.raises(InfrastructureError, match="neither tools/testing/selftests/mm nor"):
        folder_of(tmp_path)
    (tmp_path / "tools/testing/selftests/vm").mkdir(parents=True)
    (tmp_path / "tools/testing/selftests/vm/Makefile").touch()
    assert folder_of(tmp_path) == "tools/testing/selftests/vm"


def test_hostile_text_stays_on_its_line() -> None:
    from io import StringIO

    from harness.model import Kernel
    from harness.selftested import Selftests

    ran = Ran("a", Outcome.PASS, "s", Ours(Outcome.STALE, "x\n\x1b[31mRESULT   fine"))
    out = StringIO()
    report.show(Selftests(Kernel("k", "6.1", "o", "d", Path()), (ran,)), out)
    assert "\x1b" not in out.getvalue() and out.getvalue().count("\nRESULT") == 1
