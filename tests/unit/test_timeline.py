# SPDX-License-Identifier: GPL-2.0-or-later
"""The journal and the guest's ftrace on one clock."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import timeline
from harness.oracle.timeline import MOST_EVENTS, RawPath, described, measure, merge
from harness.timeline import Clock, Event, Kind, PathTimeline, Source, Timeline, View

HERTZ = 62_500_000
PERIOD = 16
OFFSET = 713_225_412
"""Virtual time minus the guest's trace clock, ns."""
PAGE = 0x5A00800000


def mark(virtual: int, words: str, offset: int = OFFSET) -> str:
    """A line of ftrace for what happened at ``virtual`` ns."""
    micros = (virtual - offset) // 1000
    return f"#@ {micros // 10**6}.{micros % 10**6:06} {words}"


def ticks(times: list[int], early: int, late: int, *, skew: int = 0) -> list[str]:
    """Marks, each ``early`` ns after the counter was read and ``late`` before it was read again."""
    lines = [f"#@ counter {HERTZ}"]
    for number, at in enumerate(times):
        before, after = (at - early - skew) // PERIOD, (at + late - skew) // PERIOD
        lines += [f"#@ tick {number} {before} {after}", mark(at, f"mark tick {number}")]
    return lines


def sync(at: int, number: int, *, skew: int = 0) -> str:
    return f"#@ sync {number} {(at - 9000 - skew) // PERIOD} {(at + 21000 - skew) // PERIOD}"


def record(at: int, kind: str, sequence: int = 0, **more: Any) -> dict[str, Any]:
    return {"sequence": sequence, "time": at, "kind": kind, **more}


START = 7_000_000_000


def raw(*lines: str, journal: tuple[dict[str, Any], ...] = (), **more: Any) -> RawPath:
    """A path whose window is open for 10 ms from `START` on."""
    lines = (
        f"#@ page {PAGE:#x} 0x1000",
        *ticks([START - 900_000, START - 800_000], 12_000, 15_000),
        sync(START - 700_000, 60),
        mark(START, "mark open"),
        *lines,
        mark(START + 10_000_000, "mark close"),
    )
    return RawPath("p", lines, journal=journal, syncs={60: START - 700_000}, **more)


MENDED = raw(
    mark(START + 60_000, "kworker/u2:0-8 fault_handler"),
    mark(START + 90_000, f"kworker/u2:0-8 ptep_set_access_flags address={PAGE:#x}"),
    mark(START + 120_000, f"kworker/u2:0-8 notifier start={PAGE:#x} end={PAGE + 4096:#x}"),
    journal=(
        record(START + 10_000, "stall", 1, what="f-permission", address=PAGE, stag=3, substream=1),
        record(START + 150_000, "command", 2, what="tlbi-nh-va", address=PAGE, size=8192, asid=7),
        record(START + 190_000, "retry", 3, address=PAGE, stag=3, substream=1),
        record(START + 200_000, "stall", 4, what="f-translation", address=PAGE + 0x1000),
    ),
    facts={"pte_before": "0xe0000040a99fc3", "iotlb_before": "r-,level=3,granule=4096", "pte_after": "0"},
)


def test_both_sources_are_in_one_order() -> None:
    found = merge([MENDED]).paths["p"]
    assert [event.kind for event in found.events] == [
        Kind.STALL,
        Kind.HANDLER,
        Kind.FUNCTION,
        Kind.NOTIFIER,
        Kind.INVALIDATION,
        Kind.RETRY,
    ]
    assert [e.source for e in found.events if e.kind in (Kind.NOTIFIER, Kind.RETRY)] == [Source.GUEST, Source.SMMU]
    stall, notifier = found.events[0], found.events[3]
    assert (stall.address, stall.detail) == (PAGE, "substream=1 stag=3")
    assert (notifier.address, notifier.size, notifier.detail) == (PAGE, 4096, "kworker/u2:0-8")
    assert abs(stall.t_ns - 10_000) < 15_000 and found.window_ns == 10_000_000


def test_events_of_other_pages_are_counted_only() -> None:
    found = merge([MENDED]).paths["p"]
    assert (found.page, found.page_size, found.elsewhere, found.lost) == (PAGE, 4096, 1, 0)


def test_a_window_that_no_event_of_its_page_is_in_shows_all() -> None:
    elsewhere = (record(START + 5, "stall", 1, what="f-permission", address=0x5A00000000),)
    found = merge([raw(journal=elsewhere)]).paths["p"]
    assert (found.page, [e.address for e in found.events], found.elsewhere) == (None, [0x5A00000000], 0)


def test_what_is_outside_the_window_is_left_out() -> None:
    journal = tuple(record(START + at, "retry", address=PAGE) for at in (-400_000, 400_000, 11_000_000))
    assert [e.t_ns // 100_000 for e in merge([raw(journal=journal)]).paths["p"].events] in ([3], [4])


def test_entries_before_and_after_are_told_in_words() -> None:
    before, after = merge([MENDED]).paths["p"].views
    assert before == View("before", "0xe0000040a99fc3", "read-only, dirty", "r-,level=3,granule=4096")
    assert (after.means, after.iotlb) == ("not mapped", "")


def test_a_descriptor_in_words() -> None:
    assert described(0xE8000040A99F43) == "writable, dirty bit by hardware (DBM), dirty"
    assert described(0xE0000040A99BC3) == "read-only, dirty, not accessed"
    assert described(0x10) == "not valid"


@pytest.mark.parametrize("offset_error", [-15_000, 0, 12_000])
def test_the_offset_is_within_its_uncertainty(offset_error: int) -> None:
    """Wherever between the two reads a mark was made."""
    at = [START + n * 10**6 for n in range(8)]
    lines = ticks(at, 15_000 + offset_error, 15_000 - offset_error)
    path = RawPath("p", (*lines, sync(START, 60)), syncs={60: START})
    clock = merge([path]).clock
    assert clock.offset_ns is not None
    assert abs(clock.offset_ns - OFFSET) <= clock.uncertainty_ns <= 17_000
    assert clock.samples == 8 and "confirm" in clock.how


def test_each_pair_narrows_the_bounds() -> None:
    wide = RawPath("w", (*ticks([START], 40_000, 2_000), sync(START, 60)), syncs={60: START})
    other = RawPath("o", tuple(ticks([START + 10**6], 1_000, 50_000)))
    one, both = merge([wide]).clock, merge([wide, other]).clock
    assert both.uncertainty_ns < 3_000 < one.uncertainty_ns
    assert both.offset_ns is not None and abs(both.offset_ns - OFFSET) <= both.uncertainty_ns


def test_a_counter_that_is_not_the_virtual_clock_is_measured() -> None:
    """As with KVM: the counter goes on while the machine is stopped."""
    skew = 5_000_000
    lines = (*ticks([START], 10_000, 10_000, skew=skew), sync(START, 60, skew=skew))
    clock = merge([RawPath("p", lines, syncs={60: START})]).clock
    assert clock.offset_ns is not None and abs(clock.offset_ns - OFFSET) <= clock.uncertainty_ns
    assert clock.uncertainty_ns > 24_000 and "confirm" not in clock.how


def test_bounds_that_contradict_each_other_are_said() -> None:
    early = RawPath("e", (*ticks([START], 5_000, 5_000), sync(START, 60)), syncs={60: START})
    drifted = ticks([START], 5_000, 5_000, skew=-900_000)
    clock = merge([early, RawPath("d", tuple(drifted))]).clock
    assert clock.uncertainty_ns > 400_000 and "contradict" in clock.how


def test_without_a_window_there_is_the_journal_alone() -> None:
    """A path that was skipped, or whose guest died."""
    found = merge([RawPath("p", journal=(record(50, "stall", what="f-permission"), record(90, "retry")))])
    assert found.clock.offset_ns is None and found.clock.how.startswith("not measured")
    path = found.paths["p"]
    assert (path.window_ns, path.start_ns, [e.t_ns for e in path.events]) == (None, 50, [0, 40])


def test_what_is_too_much_is_left_out_in_the_middle_and_counted() -> None:
    journal = tuple(record(START + n * 1000, "retry", n, address=PAGE) for n in range(1, 1001))
    found = merge([raw(journal=journal, facts={"moments_lost": "7"})]).paths["p"]
    kinds = [e.kind for e in found.events]
    assert (len(kinds), kinds.count(Kind.GAP), found.lost) == (MOST_EVENTS + 1, 1, 600 + 7)
    assert found.events[-1].t_ns > 950_000 and found.events[kinds.index(Kind.GAP)].text.startswith("600 ")
    assert [e.t_ns for e in found.events] == sorted(e.t_ns for e in found.events)


def test_a_journal_that_was_overwritten_is_counted() -> None:
    late = (record(START + 50_000, "retry", 1500, address=PAGE),)
    assert merge([raw(journal=late, overwritten=476)]).paths["p"].lost == 476
    early = (record(START - 50_000, "retry", 1500, address=PAGE), *late)
    assert merge([raw(journal=early, overwritten=476)]).paths["p"].lost == 0, "what was lost is of before"


def test_the_device_that_gives_up_is_an_event() -> None:
    told = ({"time": START + 500_000, "address": PAGE, "stalls": 50, "engine": 2},)
    journal = (record(START + 10_000, "stall", what="f-permission", address=PAGE),)
    last = merge([raw(journal=journal, gave_up=told)]).paths["p"].events[-1]
    assert (last.kind, last.source, last.text) == (
        Kind.GAVE_UP,
        Source.DEVICE,
        "the device gives up after 50 stalls",
    )


@given(st.lists(st.text(max_size=60).map(lambda text: f"#@ {text}"), max_size=20))
def test_a_guest_may_say_what_it_likes(lines: list[str]) -> None:
    found = merge([replace(MENDED, lines=(*lines, *MENDED.lines))])
    assert found.paths["p"].events
    assert timeline.parse(timeline.dump(found)) == found


@pytest.mark.parametrize(
    "line",
    [
        "#@ counter 0",
        "#@ tick 0 " + "9" * 5000 + " 1",
        "#@ 9" + "9" * 5000 + ".000000 mark open",
        "#@ 1.000000 " + "x" * 100_000,
        f"#@ 7.000000 {'t' * 9000} {'f' * 9000} address=0x{'f' * 5000}",
    ],
)
def test_numbers_and_names_without_end(line: str) -> None:
    assert len(timeline.dump(merge([replace(MENDED, lines=(line, *MENDED.lines))]))) < 4000


def test_round_trip_and_what_is_found_in_a_folder(tmp_path: Path) -> None:
    event = Event(-5, Kind.STALL, Source.SMMU, "stall", 1 << 63, 4096, "stag=1")
    one = Timeline(clock=Clock(-7, 3, 2, "so"), paths={"a": PathTimeline(9, 8, 4096, 4096, (event,), 1, 2)})
    assert timeline.parse(timeline.dump(one)) == one
    for number, content in enumerate([one, Timeline(paths={"b": PathTimeline(1)})]):
        (folder := tmp_path / f"boot-{number}").mkdir()
        (folder / timeline.FILE).write_bytes(timeline.dump(content))
    assert list(timeline.load(tmp_path).paths) == ["a", "b"]
    assert timeline.load(tmp_path).clock == one.clock
    assert timeline.load(tmp_path / "boot-1").paths == {"b": PathTimeline(1)}
    assert timeline.load(tmp_path / "none") == Timeline()


def test_nothing_to_measure() -> None:
    assert measure([]).offset_ns is None
