# SPDX-License-Identifier: GPL-2.0-or-later
"""What counts as covered, what as an excuse, and what makes a coverage table doubtful."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from harness.coverage import Coverage, How, Kind, Reason, Row, Scan, Site, Sites, State, Upgrader
from harness.errors import UserError
from harness.layout import project
from harness.model import GuestRecord, Outcome, PathResult, Series
from harness.oracle import coverage
from harness.report import coverage as report
from harness.sources import reasons
from tests.unit import runs

REUSE = Upgrader("mm/memory.c", "wp_page_reuse", 10, 20, Kind.FLAGS)
FILL = Upgrader("mm/memory.c", "insert_pfn", 30, 40, Kind.FLAGS)
NUMA = Upgrader("mm/memory.c", "do_numa_page", 50, 60, Kind.RAISE)
AGE = Upgrader("mm/memory.c", "__wp_page_copy_user", 70, 80, Kind.ACCESS)
ARCH = Upgrader("arch/arm64/mm/hugetlbpage.c", "huge_ptep_set_access_flags", 1, 9, Kind.FLAGS)


def site(upgrader: Upgrader, how: How = How.CALL, callee: str = "ptep_set_access_flags") -> Site:
    return Site(upgrader.name, upgrader.file, 0x1000, how, "", callee)


def record(path: str = "anon-reuse", outcome: Outcome = Outcome.PASS, **facts: str) -> GuestRecord:
    told = {"iotlb_before": "r-,level=3,granule=12", "pfn_before": "0x1", "pfn_after": "0x1", **facts}
    result = PathResult(path, "cortex-a57", outcome, facts=told)
    return GuestRecord("base", "cortex-a57", (result,), "POWEROFF")


def one(
    upgrader: Upgrader, *sites: Site, records: tuple[GuestRecord, ...] = (), why: tuple[Reason, ...] = ()
) -> Row:
    return coverage.rows(Scan((upgrader,), ()), Sites(sites), records, why)[0]


def test_covered_when_it_ran_with_the_page_cached_read_only() -> None:
    row = one(REUSE, site(REUSE), records=(record(site_0="1"),))
    assert (row.state, row.hits[0].path, row.hits[0].same_frame) == (State.COVERED, "anon-reuse", True)


@pytest.mark.parametrize(
    "records",
    [
        (),
        (record(),),
        (record(site_1="1"),),
        (record(site_0="0"),),
        (record(site_0="1", iotlb_before="rw,level=3,granule=12"),),
        (record(site_0="1", iotlb_before="none"),),
        (record(outcome=Outcome.INVALID, site_0="1"),),
        (record(outcome=Outcome.ERROR, site_0="1"),),
        (record(outcome=Outcome.SKIP, site_0="1"),),
        (record(outcome=Outcome.HANG, site_0="1"),),
    ],
)
def test_not_covered(records: tuple[GuestRecord, ...]) -> None:
    assert one(REUSE, site(REUSE), records=records).state is State.MISSING


@pytest.mark.parametrize("outcome", [Outcome.PASS, Outcome.LOOP, Outcome.STALE, Outcome.CORRUPT])
def test_a_loop_covers_as_well(outcome: Outcome) -> None:
    assert one(REUSE, site(REUSE), records=(record(outcome=outcome, site_0="50"),)).state is State.COVERED


def test_a_page_that_was_replaced_is_not_raised_in_place() -> None:
    row = one(REUSE, site(REUSE), records=(record(site_0="1", pfn_after="0x2"),))
    assert not row.hits[0].same_frame


def test_filling_an_empty_entry_does_not_prove_a_function_that_sets_flags() -> None:
    sites = (site(FILL), site(FILL, How.STORE, "set_pte"))
    assert one(FILL, *sites, records=(record(site_1="1"),)).state is State.MISSING
    assert one(FILL, *sites, records=(record(site_0="1"),)).state is State.COVERED


def test_the_architectures_own_has_to_be_seen_in_both_its_ways() -> None:
    sites = (site(ARCH), site(ARCH, How.STORE, "set_pte"))
    rows = coverage.rows(Scan((ARCH,), ()), Sites(sites), (record(site_0="1"),), ())
    assert [(row.part, row.state) for row in rows] == [
        ("", State.COVERED),
        ("writes the range anew", State.MISSING),
    ]


def test_not_built_no_code_and_access_flag_are_reasons_of_their_own() -> None:
    scan = Scan((NUMA, REUSE, AGE), ())
    sites = Sites((site(AGE),), not_built=())
    rows = coverage.rows(scan, sites, (), ())
    assert [row.state for row in rows] == [State.EXCUSED] * 3
    assert "no code of it" in rows[0].why
    assert "access flag alone" in rows[2].why
    (row,) = coverage.rows(Scan((NUMA,), ()), Sites((), ("mm/memory.c",)), (), ())
    assert row.why == "not built: this configuration has no object of mm/memory.c"


def test_a_reason_excuses_and_is_doubted_when_it_does_not_hold() -> None:
    why = (Reason(("wp_page_reuse",), "because"),)
    scan = Scan((REUSE,), ())
    row = one(REUSE, site(REUSE), why=why)
    assert (row.state, row.why) == (State.EXCUSED, "because")
    assert coverage.faults((row,), scan, why) == ()
    covered = one(REUSE, site(REUSE), records=(record(site_0="1"),), why=why)
    assert covered.state is State.COVERED
    assert coverage.faults((covered,), scan, why) == (
        "the reason for wp_page_reuse() does not hold: anon-reuse on cortex-a57 covers it",
    )
    gone = (Reason(("gone",), "because"),)
    assert "the scan does not find it" in coverage.faults((row,), scan, gone)[0]


def test_what_the_parser_did_not_see_is_a_doubt() -> None:
    (doubt,) = coverage.faults((), Scan((), (), unseen=("mm/odd.c:1: pte_mkdirty",)), ())
    assert doubt.startswith("mm/odd.c:1: pte_mkdirty: a call that stands in no function")


def test_a_site_that_cannot_be_probed_says_so() -> None:
    scan, sites = Scan((REUSE,), ()), Sites((site(REUSE),))
    (row,) = coverage.rows(scan, sites, (record(),), (), unprobed={0: "Invalid argument"})
    assert (row.state, row.why) == (State.MISSING, "the kernel lets nobody probe it: Invalid argument")


def test_what_the_guest_is_told_to_probe() -> None:
    call = replace(site(REUSE), address=0xFFFF800008001000)
    assert coverage.probe(7, call) == "7 _text+0x1000 address=%x1;ptep_set_access_flags;0xffff800008001004"
    assert coverage.probe(8, replace(site(REUSE, How.STORE), register=3)) == "8 _text+0x1000 value=%x3"
    assert coverage.probe(9, site(NUMA, How.ENTRY, "")) == "9 _text+0x1000"
    assert coverage.probe(9, site(ARCH, How.ENTRY, "")) == "9 _text+0x1000 address=%x1"


def test_reports(tmp_path: Path) -> None:
    rows = coverage.rows(Scan((REUSE, NUMA), ()), Sites((site(REUSE), site(NUMA))), (record(site_0="1"),), ())
    built = runs.built(Series(), tmp_path)
    found = Coverage(runs.KERNEL, built, (), rows, ("a doubt",))
    text = report.plain(found)
    assert "RESULT   1 covered, 0 not run for a reason, 1 NOT COVERED: do_numa_page; 1 doubts" in text
    assert "doubt    a doubt" in text
    told = json.loads(report.dump(replace(found, faults=()), 1))
    assert [(f["function"], f["state"]) for f in told["functions"]] == [
        ("wp_page_reuse", "covered"),
        ("do_numa_page", "NOT COVERED"),
    ]


def test_our_reasons_name_no_function_twice() -> None:
    path = project().guest_tests / "workloads" / "coverage.yaml"
    for series in ("6.1", "6.12", "7.3"):
        assert reasons.load(path, series)


def test_two_reasons_for_one_function_are_refused(tmp_path: Path) -> None:
    row = "  - {functions: [a], why: because, series: ['6.1', '7.3']}\n"
    (tmp_path / "c.yaml").write_text("reasons:\n" + row + row)
    with pytest.raises(UserError, match=r"a: two reasons for series 6\.1"):
        reasons.load(tmp_path / "c.yaml", "6.1")
    assert reasons.load(tmp_path / "c.yaml", "6.6") == ()
