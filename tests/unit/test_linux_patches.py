# SPDX-License-Identifier: GPL-2.0-or-later
"""patches/linux: the catalogue and the patches must agree with each other and with the catalogue of paths."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness.errors import UserError
from harness.expected import Expectation
from harness.model import Verdict
from harness.sources import catalogue, expectations

ROOT = Path(__file__).resolve().parents[2]
LINUX = ROOT / "patches/linux"
WORKLOADS = ROOT / "guest-tests/workloads/catalogue.yaml"
PATHS = [row.path for row in catalogue.workloads(WORKLOADS)]
UNMENDED = {row.path for row in catalogue.workloads(WORKLOADS) if row.unmended}
CATALOGUE = expectations.load(LINUX / "catalogue.yaml", PATHS)
each_row = pytest.mark.parametrize("row", CATALOGUE.patches, ids=lambda row: str(row.name))


def _subject(text: str) -> str:
    found = re.search(r"^Subject: \[PATCH\] (.*(?:\n .*)*)", text, re.MULTILINE)
    assert found, "no Subject: [PATCH] line"
    return found.group(1).replace("\n ", " ")


def test_every_patch_has_one_row() -> None:
    listed = [row.file for row in CATALOGUE.patches]
    assert sorted(listed) == sorted(p.name for p in LINUX.glob("*.patch"))


@each_row
def test_row_is_sound(row: Expectation) -> None:
    assert not row.mends & row.leaves and not row.mends & row.breaks and not row.leaves & row.breaks
    assert not row.breaks & row.loops
    if row.end != "PANIC":
        judged = row.mends - row.damaged | row.leaves
        assert _without_setups(judged) | row.stale & _without_setups(row.loops) == _without_setups(row.loops), (
            "each path that loops is mended or left"
        )
    worse = bool(row.breaks or row.stale or row.splat or row.end == "PANIC")
    left = _without_setups(row.leaves) - UNMENDED
    expected = {
        Verdict.FIXES: row.mends and not left and not worse,
        Verdict.PARTIAL: row.mends and left and not worse,
        Verdict.NO_EFFECT: left and not row.mends and not worse,
        Verdict.REGRESSES: worse,
    }
    assert expected[row.verdict], f"{row.file}: {row.verdict} does not follow from its lists"


@each_row
def test_patch_is_a_mail(row: Expectation) -> None:
    """git format-patch's form, and a plain word in every one that must not be merged."""
    text = (LINUX / row.file).read_text(encoding="ascii")
    assert text.startswith("From 0000000000000000000000000000000000000000 Mon Sep 17 00:00:00 2001\n")
    assert _subject(text) == row.title
    message, diff = text.split("\n---\n", 1)
    assert re.search(r"^ \d+ files? changed", diff, re.MULTILINE)
    assert ("ot for merging" in message) == (row.verdict != "FIXES" or bool(row.flaw))
    assert all(len(line) <= 78 for line in message.splitlines())


def _without_setups(names: frozenset[str]) -> frozenset[str]:
    return frozenset(name.partition("@")[0] for name in names)


ROW = """\
  - {file: a.patch, base: "6.1", title: t, approach: a, verdict: PARTIAL, mends: [one], leaves: [rest, c@big],
     breaks: [], splat: "", end: POWEROFF, thread: "", reason: r}
"""
FILE = (
    "sets: {one: [a], rest: [b, one-more], one-more: [d]}\n"
    "loops: {'6.1': [one, rest, c]}\nskips: {'6.1': [e@big]}\npatches:\n" + ROW
)


def read(folder: Path, text: str) -> Expectation:
    file = folder / "catalogue.yaml"
    file.write_text(text, encoding="utf-8")
    return expectations.load(file, ["a", "b", "c", "d", "e"]).patches[0]


def test_sets_stand_for_their_paths_and_may_hold_sets(tmp_path: Path) -> None:
    row = read(tmp_path, FILE)
    lists = [sorted(names) for names in (row.mends, row.leaves, row.loops)]
    assert lists == [["a"], ["b", "c@big", "d"], ["a", "b", "c", "d"]]


def test_a_path_may_be_expected_on_one_setup_only(tmp_path: Path) -> None:
    row = read(tmp_path, FILE)
    assert row.patched_outcome("c", "big") == "LOOP" and row.patched_outcome("c", "small") == "PASS"
    assert row.base_outcome("c", "small") == "LOOP"


def test_a_path_may_be_corrupt_until_a_patch_mends_it(tmp_path: Path) -> None:
    text = FILE.replace("patches:", "damaged: {'6.1': [a, e]}\npatches:").replace(
        "skips: {'6.1': [e@big]}", "skips: {'6.1': []}"
    )
    row = read(tmp_path, text)
    assert row.base_outcome("a", "big") == row.base_outcome("e", "big") == "CORRUPT"
    assert row.patched_outcome("a", "big") == "PASS" and row.patched_outcome("e", "big") == "CORRUPT"


def test_a_set_may_be_meant_on_one_setup(tmp_path: Path) -> None:
    row = read(tmp_path, FILE.replace("c@big],", "rest@big],").replace("[rest,", "["))
    assert row.leaves == {"b@big", "d@big"}


def test_a_path_may_be_skipped_on_one_setup(tmp_path: Path) -> None:
    row = read(tmp_path, FILE)
    assert row.base_outcome("e", "big") == row.patched_outcome("e", "big") == "SKIP"
    assert row.base_outcome("e", "small") == row.patched_outcome("e", "small") == "PASS"


def test_paths_whose_cost_is_not_looked_at_are_those_of_the_file_and_of_the_row(tmp_path: Path) -> None:
    text = FILE.replace("patches:", "uncounted: [a]\npatches:").replace(
        "reason: r}", "reason: r, uncounted: [rest]}"
    )
    assert read(tmp_path, text).uncounted == {"a", "b", "d"}


@pytest.mark.parametrize(("base", "series"), [("6.1", "6.1"), ("newest", "7.3")])
def test_both_catalogues_expect_the_same(base: str, series: str) -> None:
    """That of the paths says what is to be expected on some setup, that of the patches on each."""
    any_patch = next(row for row in CATALOGUE.patches if row.base == base)
    for row in catalogue.workloads(WORKLOADS):
        outcomes = {any_patch.base_outcome(row.path, setup) for setup in ("cortex-a57", "cortex-a76")}
        assert row.expect[series] in outcomes, row.path


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        ("[one]", "[onw]", r"a\.patch: no path and no set is called 'onw'; did you mean one"),
        ("one-more: [d]", "one-more: [rest]", "the set 'rest' holds itself"),
        ("one: [a]", "a: [a]", "the set 'a' has the name of a path"),
        ("loops: {'6.1':", "loops: {'6.2':", "a.patch: `loops` says nothing of its base '6.1'"),
        ("skips: {'6.1'", "skips: {'6.2'", "a.patch: `skips` says nothing of its base '6.1'"),
        ("splat:", "spalt:", r"catalogue\.yaml:6: .*unknown key"),
        ("PARTIAL", "PARTLY", "catalogue.yaml:5: .*verdict"),
    ],
)
def test_what_is_wrong_in_the_catalogue_is_named(tmp_path: Path, old: str, new: str, error: str) -> None:
    with pytest.raises(UserError, match=error):
        read(tmp_path, FILE.replace(old, new, 1))
