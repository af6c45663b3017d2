# SPDX-License-Identifier: GPL-2.0-or-later
"""A timeline as a table, and in the Trace Event Format."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import timeline
from harness.errors import UserError
from harness.jobs.trace import export, one_path
from harness.report import chrome
from harness.report import timeline as report
from harness.timeline import Clock, Event, Kind, PathTimeline, Source, Timeline, Traced, View
from tests.unit.runs import HOSTILE

PAGE = 0x5A00800000
CLOCK = Clock(713_225_412, 9_352, 16, "16 marks")

KNOWN = {"name", "cat", "ph", "ts", "pid", "tid", "args", "dur", "s", "id"}
NEEDS = {
    "X": {"ts", "dur"},
    "i": {"ts", "s"},
    "C": {"ts", "args"},
    "M": {"args"},
    "b": {"id", "cat"},
    "e": {"id", "cat"},
}
"""What the format asks of each phase, of those that are used."""


def smmu(t: int, kind: Kind, stag: int = 1) -> Event:
    return Event(t, kind, Source.SMMU, str(kind), PAGE, detail=f"substream=1 stag={stag}")


def guest(t: int, kind: Kind, text: str = "do_wp_page()", task: str = "kworker/u2:0-8") -> Event:
    return Event(t, kind, Source.GUEST, text, PAGE, 4096, task)


def loop(rounds: int) -> tuple[Event, ...]:
    events: list[Event] = []
    for n in range(rounds):
        at = n * 100_000
        events += [smmu(at, Kind.STALL, n), guest(at + 40_000, Kind.HANDLER), smmu(at + 70_000, Kind.RETRY, n)]
    return (*events, Event(rounds * 100_000, Kind.GAVE_UP, Source.DEVICE, "the device gives up", PAGE))


LOOP = PathTimeline(
    7_000_000_123, 6_000_000, PAGE, 4096, loop(50), views=(View("before", "0x3", "read-only", "r-"),)
)


def read(text: str) -> list[dict[str, Any]]:
    """The records of a trace, each as the format has it."""
    data = json.loads(text)
    assert set(data) <= {"traceEvents", "displayTimeUnit", "otherData"} and data["displayTimeUnit"] in ("ms", "ns")
    records: list[dict[str, Any]] = data["traceEvents"]
    for one in records:
        assert set(one) <= KNOWN and {"name", "ph", "pid", "tid"} <= set(one), one
        assert NEEDS[one["ph"]] <= set(one), one
        assert isinstance(one["pid"], int) and isinstance(one["tid"], int)
        assert isinstance(one["ts"], int | float) and isinstance(one.get("args", {}), dict)
        assert one.get("s", "t") in ("g", "p", "t")
        assert one["ph"] != "M" or (
            one["name"] in ("process_name", "thread_name") and set(one["args"]) == {"name"}
        )
        assert one["ph"] != "C" or all(isinstance(value, int) for value in one["args"].values())
    return records


def balanced(records: list[dict[str, Any]]) -> bool:
    """Each asynchronous begin has its end, later, with the same category, id and name."""
    begun = {(r["cat"], r["id"], r["name"]): r["ts"] for r in records if r["ph"] == "b"}
    ended = {(r["cat"], r["id"], r["name"]): r["ts"] for r in records if r["ph"] == "e"}
    return begun.keys() == ended.keys() and all(begun[key] <= ended[key] for key in begun)


def test_the_export_is_in_the_format() -> None:
    records = read(chrome.dump(Timeline(clock=CLOCK, paths={"a": LOOP, "b": LOOP}), about={"kernel": HOSTILE}))
    assert balanced(records)
    names = [r["args"]["name"] for r in records if r["ph"] == "M"]
    assert names == ["a", "SMMU", "device", "kworker/u2:0-8", "b", "SMMU", "device", "kworker/u2:0-8"]
    assert {r["pid"] for r in records} == {1, 2}
    waits = [r for r in records if r["ph"] == "b" and r["pid"] == 1]
    assert len(waits) == 50 and waits[0]["ts"] == 7_000_000.123
    stairs = [r["args"]["stalls"] for r in records if r["ph"] == "C" and r["pid"] == 1]
    assert stairs == list(range(1, 51))
    window = next(r for r in records if r["ph"] == "X")
    assert (window["name"], window["dur"]) == ("measured window", 6000.0)


def test_the_clock_is_stated() -> None:
    data = json.loads(chrome.dump(Timeline(clock=CLOCK), about={"kernel": "6.1"}))["otherData"]
    assert (data["guest clock offset"], data["guest clock uncertainty"]) == ("713225412 ns", "9352 ns")
    assert json.loads(chrome.dump(Timeline(clock=Clock(how="not measured")), about={}))["otherData"] == {
        "clock": "not measured"
    }


events = st.builds(
    Event,
    t_ns=st.integers(-(10**12), 10**12),
    kind=st.sampled_from(Kind),
    source=st.sampled_from(Source),
    text=st.text(max_size=20),
    address=st.none() | st.integers(0, (1 << 64) - 1),
    size=st.integers(0, 1 << 40),
    detail=st.text(max_size=20) | st.sampled_from(["stag=1", "stag=2"]),
)


@given(st.lists(events, max_size=30))
def test_whatever_happened_is_in_the_format(found: list[Event]) -> None:
    found.sort(key=lambda event: event.t_ns)
    read(chrome.dump(Timeline(paths={HOSTILE: PathTimeline(5, events=tuple(found))}), about={}))


def table(path: PathTimeline) -> list[str]:
    traced = Traced(
        "p",
        "6.1.192",
        "base",
        "cortex-a57",
        "LOOP",
        HOSTILE,
        Timeline(clock=CLOCK, paths={"p": path}),
        Path("x.json"),
    )
    report.show(traced, stream := StringIO())
    return stream.getvalue().splitlines()


def test_a_loop_is_folded() -> None:
    lines = table(LOOP)
    assert sum("stall" in line for line in lines) == 1
    assert any("these 3 come 50 times in all, until 4970.0" in line for line in lines)
    assert any("the device gives up" in line for line in lines)
    assert any(line.startswith("clock") and "9.4 µs" in line for line in lines)
    assert any(line.startswith("before") and "read-only" in line for line in lines)


def test_two_rounds_are_no_loop() -> None:
    assert sum(" stall " in line for line in table(PathTimeline(0, events=loop(2)))) == 2


def test_hostile_names_are_inert() -> None:
    path = PathTimeline(0, events=(guest(1, Kind.FUNCTION, HOSTILE, HOSTILE),))
    assert not any("\x1b" in line or "\x07" in line for line in table(path))


def test_export_of_a_run(tmp_path: Path) -> None:
    for variant in ("base", "patched"):
        (logs := tmp_path / variant / "cortex-a57" / "boot-0").mkdir(parents=True)
        (logs / timeline.FILE).write_bytes(timeline.dump(Timeline(clock=CLOCK, paths={"p": LOOP})))
    written = export(tmp_path)
    assert [w.name for w in written] == ["trace-base-cortex-a57.json", "trace-patched-cortex-a57.json"]
    assert read(written[1].read_text(encoding="utf-8"))
    assert not list(tmp_path.glob(".trace*")), "written whole"


def test_a_folder_without_timelines_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no run with timelines"):
        export(tmp_path)


@pytest.mark.parametrize(("name", "said"), [("", "no path"), ("anon-*", "paths")])
def test_one_path_is_to_be_named(name: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        one_path(name)
