# SPDX-License-Identifier: GPL-2.0-or-later
"""The frame of `make bench`: rounds, medians, tables, history."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from bench import history
from bench.__main__ import choose
from bench.bench import Bench
from bench.frame import ENOUGH, Found, Kind, LeftOut, Measure, Pair, Row, alternate
from bench.guests import FIRST, init
from bench.measures import ALL
from bench.measures.memory import in_use_mib
from bench.measures.suite import slowest
from bench.table import found_table, shown, then_table
from bench.trees import diff, marked
from harness.errors import InfrastructureError, UserError
from harness.sources import patch
from tests.documents import ROOT

HERE = history.Machine("one", "a CPU", 2, 24)
COST = Row("", "something", reach=1.10)


def found(ours: tuple[float, ...], bare: tuple[float, ...] = (), row: Row = COST) -> Found:
    return Found("thing", row, ours, bare, load=0.5)


@contextmanager
def nothing(_bench: Bench) -> Iterator[Pair]:
    yield Pair(lambda: {"": 1.0})


def test_a_ratio_is_one_of_medians() -> None:
    one = found((1.0, 9.0, 3.0, 2.0, 3.3), (2.0, 1.0, 3.0, 100.0, 2.5))
    assert one.median == 3.0
    assert one.bare_median == 2.5
    assert one.ratio == pytest.approx(1.2)
    assert one.spread == pytest.approx(99 / 2.5)
    assert one.met is False


def test_more_guests_a_minute_cost_less() -> None:
    one = found((10.0,) * 5, (12.0,) * 5, replace(COST, rate=True, unit="guests/min"))
    assert one.ratio == pytest.approx(1.2)


def test_a_bound_may_be_on_the_value_itself() -> None:
    row = replace(COST, reach=0.2, kind=Kind.VALUE)
    assert found((0.1,) * 5, (0.01,) * 5, row).met is True
    assert found((0.3,) * 5, row=row).met is False


def test_fewer_rounds_are_never_met() -> None:
    for rounds in range(1, ENOUGH):
        one = found((1.0,) * rounds, (1.0,) * rounds)
        assert one.met is None
        assert f"not judged: {rounds} of {ENOUGH} rounds" in found_table([one], [])
    assert found((1.0,) * ENOUGH, (1.0,) * ENOUGH).met is True


def test_both_sides_take_turns_and_swap_who_is_first() -> None:
    order: list[str] = []

    def side(name: str, value: float) -> dict[str, float]:
        order.append(name)
        return {"": value}

    pair = Pair(lambda: side("ours", 2.0), lambda: side("bare", 1.0))
    (one,) = alternate(Measure("thing", (COST,), nothing), pair, 3, lambda done: order.append(str(done)))
    assert order == ["ours", "bare", "1", "bare", "ours", "2", "ours", "bare", "3"]
    assert (one.ours, one.bare, one.ratio) == ((2.0,) * 3, (1.0,) * 3, 2.0)


def test_a_row_may_have_no_bare_side() -> None:
    rows = (Row("a", "with"), Row("b", "without"))
    pair = Pair(lambda: {"a": 1.0, "b": 2.0}, lambda: {"a": 1.0})
    with_bare, without = alternate(Measure("thing", rows, nothing), pair, 1, lambda done: None)
    assert with_bare.ratio == 1.0
    assert without.ratio is None and without.bare == ()


def test_the_table_says_what_was_found_and_what_was_left_out() -> None:
    rows = [found((1.2,) * 5, (1.0,) * 5), found((1.0,) * 5, (1.0,) * 5)]
    left = [LeftOut("cold", "takes long"), LeftOut("virtme-ng", "no network", failed=True)]
    text = found_table(rows, left)
    assert "1.20  <= 1.10    NO" in text
    assert "1.00  <= 1.10   yes" in text
    assert "left out cold: takes long" in text
    assert "failed  virtme-ng: no network" in text


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [(0.1234, "s", "123 ms"), (12.345, "s", "12.35 s"), (7.25, "guests/min", "7.2 /min"), (None, "s", "-")],
)
def test_figures_have_units(value: float | None, unit: str, text: str) -> None:
    assert shown(value, unit) == text


def test_the_history_remembers_every_single_value(tmp_path: Path) -> None:
    path = tmp_path / "new" / history.FILE
    first, second = found((1.0,) * 5, (1.0,) * 5), found((2.0, 3.0, 4.0, 5.0, 6.0), (1.0,) * 5)
    for one in (first, second):
        history.append(path, history.line(one, HERE, "abc"))
    history.append(path, history.line(found((9.0,) * 5), replace(HERE, name="another"), "def"))
    with path.open("a", encoding="utf-8") as file:
        file.write('{"cut short\n')
    rows = [json.loads(one) for one in path.read_text(encoding="utf-8").splitlines()[:3]]
    assert rows[1]["ours"] == [2.0, 3.0, 4.0, 5.0, 6.0]
    assert (rows[1]["rounds"], rows[1]["commit"], rows[1]["machine"]["name"]) == (5, "abc", "one")
    newest = history.newest(path, HERE)
    assert newest["thing"]["ours_median"] == 4.0
    text = then_table([found((8.0,) * 5, (1.0,) * 5)], newest)
    assert "+100%" in text and "abc" in text


def test_without_a_history_there_is_no_second_table(tmp_path: Path) -> None:
    assert history.newest(tmp_path / history.FILE, HERE) == {}
    assert then_table([found((1.0,) * 5)], {}) == ""


def test_measures_are_chosen_by_name() -> None:
    assert [m.name for m in choose(ALL, ["import,again"])] == ["again", "import"]
    assert len(choose(ALL, ["verdict-*"])) == 4
    assert choose(ALL, []) == list(ALL)
    with pytest.raises(UserError, match="did you mean import"):
        choose(ALL, ["imports"])


def test_names_of_measures_are_unique() -> None:
    names = [f"{m.name}/{row.key}" for m in ALL for row in m.rows]
    assert len(names) == len(set(names))


def test_the_bare_guest_runs_the_guests_own_init() -> None:
    text = (ROOT / "guest-tests" / "init").read_text(encoding="utf-8")
    made = init(text, ["one", "two"])
    assert "for path in one two; do" in made and FIRST in made
    assert len(made.splitlines()) == len(text.splitlines()) + 4
    with pytest.raises(InfrastructureError, match="does not find the line"):
        init(made, [])


def test_a_bench_patch_is_new_each_time_and_can_be_read(tmp_path: Path) -> None:
    before = "int one;\n"
    for name in ("mm/mmap.c", "include/linux/mmu_notifier.h"):
        after = [marked(name, before) for _ in range(2)]
        assert after[0] != after[1]
        path = tmp_path / "x.patch"
        path.write_text(diff(name, before, after[0]), encoding="utf-8")
        assert patch.read(path).files == (name,)


def test_memory_in_use_is_what_cannot_be_had() -> None:
    text = "MemTotal:         500000 kB\nMemFree:  1 kB\nMemAvailable:     397600 kB\n"
    assert in_use_mib(text) == 100.0
    with pytest.raises(InfrastructureError):
        in_use_mib("nothing")


def test_the_slowest_rooms_are_named(tmp_path: Path) -> None:
    report = tmp_path / "junit.xml"
    report.write_text(
        '<testsuites><testsuite name="pytest"><testcase classname="tests.unit.test_a" name="x" time="2.5"/>'
        '<testcase classname="tests.unit.test_b" name="y" time="1"/>'
        '<testcase classname="tests.unit.test_a" name="z" time="0.5"/></testsuite></testsuites>'
    )
    assert slowest(report) == "4 s of tests: unit.test_a 3.0 s, unit.test_b 1.0 s"
