# SPDX-License-Identifier: GPL-2.0-or-later
"""Reading KTAP and judging by it, on recorded and damaged output."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.model import Outcome
from harness.oracle import ktap

DATA = Path(__file__).resolve().parents[1] / "data" / "ktap"
EXPECTED: Mapping[str, Mapping[str, Any]] = yaml.safe_load((DATA / "expected.yaml").read_text(encoding="utf-8"))


def lines_of(name: str) -> list[str]:
    return (DATA / f"{name}.log").read_bytes().decode().split("\n")


def test_every_log_has_its_expected_result() -> None:
    assert {path.stem for path in DATA.glob("*.log")} == set(EXPECTED)


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_recorded_output(name: str) -> None:
    want = EXPECTED[name]
    outcome, reason, facts = ktap.judge(ktap.parse(lines_of(name)))
    assert outcome == want["outcome"], reason
    assert re.search(want["reason"] or "^$", reason), reason
    for key, value in want.get("facts", {}).items():
        assert facts[key] == value


def test_the_example_of_the_kernels_documentation() -> None:
    text = """KTAP version 1
1..1
  KTAP version 1
  1..3
    KTAP version 1
    1..1
    # test_1: initializing test_1
    ok 1 test_1
  ok 1 example_test_1
    KTAP version 1
    1..2
    ok 1 test_1 # SKIP test_1 skipped
    ok 2 test_2
  ok 2 example_test_2
    KTAP version 1
    1..3
    ok 1 test_1
    # test_2: FAIL
    not ok 2 test_2
    ok 3 test_3 # SKIP test_3 skipped
  not ok 3 example_test_3
not ok 1 main_test
"""
    found = ktap.parse(text.splitlines())
    assert found.version == "KTAP version 1" and found.plan == 1 and not found.problems
    (main,) = found.points
    assert (main.name, main.ok, main.number, main.line) == ("main_test", False, 1, 22)
    assert main.sub is not None
    assert [(p.name, p.ok) for p in main.sub.points] == [
        ("example_test_1", True),
        ("example_test_2", True),
        ("example_test_3", False),
    ]
    first, second, third = (p.sub for p in main.sub.points)
    assert first is not None and second is not None and third is not None
    assert first.points[0].diagnostics == ("test_1: initializing test_1",)
    assert (second.points[0].directive, second.points[0].note) == ("SKIP", "test_1 skipped")
    assert third.points[1].diagnostics == ("test_2: FAIL",) and not third.points[1].ok


def test_many_documents_on_one_console() -> None:
    text = lines_of("pass")
    found = ktap.documents([*text, "[    5.000000] something", *lines_of("loop"), *lines_of("cut-in-points")])
    assert [ktap.judge(one).outcome for one in found] == [Outcome.PASS, Outcome.LOOP, Outcome.ERROR]
    assert found[0].unknown == ("something",)


def test_kernel_messages_are_kept_apart() -> None:
    found = ktap.parse(lines_of("kernel-message-after-a-point"))
    assert found.unknown == ("[   12.345678][  T42] Unable to handle kernel paging request",)


def test_nesting_without_end_is_bounded() -> None:
    text = [" " * depth + "KTAP version 1" for depth in range(5000)]
    assert ktap.judge(ktap.parse(text)).outcome is Outcome.ERROR


PASS = [line for line in lines_of("pass") if line]


@pytest.mark.parametrize("at", range(len(PASS)))
def test_no_line_that_matters_can_be_lost(at: int) -> None:
    rest = PASS[:at] + PASS[at + 1 :]
    matters = not PASS[at].startswith("#") or PASS[at].startswith("# stalls")
    assert (ktap.judge(ktap.parse(rest)).outcome is not Outcome.PASS) == matters


def test_output_cut_anywhere_before_its_facts_is_no_pass() -> None:
    text = "\n".join(PASS)
    for end in range(text.index("# stalls 1") + len("# stalls 1")):
        outcome = ktap.judge(ktap.parse(text[:end].split("\n"))).outcome
        assert outcome in {Outcome.ERROR, Outcome.INVALID}, text[:end]


TEXT = st.text(st.characters(codec="utf-8"), max_size=40)
LINES = st.lists(
    st.one_of(
        TEXT,
        st.sampled_from(PASS),
        st.sampled_from(PASS).map(lambda line: "  " + line),
        st.builds("{}{} {} {}: {}".format, st.sampled_from(["", "  ", "    "]), st.sampled_from(["ok", "not ok"]),
                  st.integers(0, 4), st.sampled_from(["stale", "data", "progress", "x"]), TEXT),
    ),
    max_size=30,
)  # fmt: skip


@settings(max_examples=150, derandomize=True, database=None, deadline=None)
@given(LINES)
def test_anything_is_judged_and_little_is_a_pass(lines: list[str]) -> None:
    outcome, reason, facts = ktap.judge(ktap.parse(lines))
    assert (outcome is Outcome.PASS) == (reason == "")
    if outcome is Outcome.PASS:
        assert "stalls" in facts
        assert any("precondition:" in line for line in lines)
        assert not any(re.match(r" *not ok \d+ (stale|data|progress)", line) for line in lines)


@settings(max_examples=60, derandomize=True, database=None, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, len(PASS)), TEXT), max_size=8), st.sampled_from(["pass", "loop", "stale"])
)
def test_kernel_messages_change_no_judgement(messages: list[tuple[int, str]], name: str) -> None:
    lines = [line for line in lines_of(name) if line]
    for at, text in messages:
        lines.insert(at, f"[   12.345678] kernel: {text}")
    want = ktap.judge(ktap.parse(lines_of(name)))
    assert ktap.judge(ktap.parse(lines)) == want
