# SPDX-License-Identifier: GPL-2.0-or-later
"""The verdict table of design.md, on made-up records."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.model import Change, GuestRecord, Judgement, Outcome, PathResult, Splat, Verdict
from harness.oracle import verdict

SETUP = "cortex-a57"


def record(variant: str, **outcomes: str) -> GuestRecord:
    results = tuple(
        PathResult(path.replace("_", "-"), SETUP, Outcome(o), reason=f"{o} because")
        for path, o in outcomes.items()
    )
    return GuestRecord(variant=variant, setup=SETUP, results=results, end="POWEROFF")


def judged(base: dict[str, str], patched: dict[str, str], **kwargs: dict[str, str]) -> Judgement:
    controls = [record(f"base-{name.replace('_', '-')}", **outcomes) for name, outcomes in kwargs.items()]
    return verdict.judge([record("base", **base)], [record("patched", **patched)], controls=controls)


@pytest.mark.parametrize(
    ("base", "patched", "expected"),
    [
        (["LOOP", "PASS"], ["PASS", "PASS"], "FIXES"),
        (["STALE", "PASS"], ["PASS", "PASS"], "FIXES"),
        (["LOOP", "LOOP"], ["PASS", "LOOP"], "PARTIAL"),
        (["LOOP", "LOOP"], ["LOOP", "LOOP"], "NO-EFFECT"),
        (["PASS", "PASS"], ["PASS", "PASS"], "BASE-UNAFFECTED"),
        (["PASS", "PASS"], ["PASS", "LOOP"], "REGRESSES"),
        (["LOOP", "PASS"], ["PASS", "SPLAT"], "REGRESSES"),
        (["LOOP", "LOOP"], ["PASS", "CORRUPT"], "REGRESSES"),
        (["LOOP", "LOOP"], ["PASS", "HANG"], "REGRESSES"),
        (["LOOP", "LOOP"], ["PASS", "INVALID"], "INCONCLUSIVE"),
        (["LOOP", "INVALID"], ["PASS", "PASS"], "INCONCLUSIVE"),
        (["LOOP", "PASS"], ["PASS", "ERROR"], "INCONCLUSIVE"),
        (["LOOP", "PASS"], ["PASS", "SKIP"], "INCONCLUSIVE"),
        (["PASS", "ERROR"], ["PASS", "ERROR"], "INCONCLUSIVE"),
        (["LOOP", "SKIP"], ["PASS", "SKIP"], "FIXES"),
    ],
)
def test_verdict(base: list[str], patched: list[str], expected: str) -> None:
    got = judged(dict(zip("ab", base, strict=True)), dict(zip("ab", patched, strict=True)))
    assert got.verdict == expected


def test_a_loop_still_there_stands_beside_an_undecided_path() -> None:
    got = judged({"a": "LOOP", "b": "LOOP", "c": "PASS"}, {"a": "PASS", "b": "LOOP", "c": "ERROR"})
    assert got.verdict is Verdict.PARTIAL


def test_a_regression_stands_beside_an_undecided_path() -> None:
    got = judged({"a": "PASS", "b": "PASS"}, {"a": "LOOP", "b": "ERROR"})
    assert got.verdict is Verdict.REGRESSES


def test_a_missing_result_is_never_a_pass() -> None:
    got = judged({"a": "LOOP", "b": "PASS"}, {"a": "PASS"})
    assert got.verdict is Verdict.INCONCLUSIVE
    assert got.comparisons[1].patched.outcome is Outcome.ERROR


def test_skips_for_different_reasons_are_undecided() -> None:
    base, patched = record("base", a="LOOP", b="SKIP"), record("patched", a="PASS", b="SKIP")
    other = replace(patched.results[1], reason="something else")
    got = verdict.judge([base], [replace(patched, results=(patched.results[0], other))])
    assert got.verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize(
    ("outcome", "facts", "expected"),
    [
        ("PASS", {"restrictive_operation": "0", "restrictive_end": "0"}, ""),
        ("PASS", {}, ""),
        ("PASS", {"restrictive_operation": "1", "restrictive_end": "0"}, "after the operation the"),
        ("PASS", {"restrictive_operation": "1", "upgraded_by": "hardware"}, ""),
        (
            "PASS",
            {"restrictive_operation": "1", "restrictive_end": "2", "upgraded_by": "hardware"},
            "at the end the",
        ),
        ("LOOP", {"restrictive_end": "1"}, ""),
    ],
)
def test_an_entry_that_permits_too_little_is_a_warning(outcome: str, facts: dict[str, str], expected: str) -> None:
    result = PathResult("anon-reuse", SETUP, Outcome(outcome), facts=facts)
    notes = verdict.audit_notes([GuestRecord("base", SETUP, (result,), "POWEROFF")])
    assert bool(notes) == bool(expected)
    assert all(expected in note for note in notes)


def splat(title: str) -> Splat:
    return Splat("warning", title, title, 1)


def test_a_new_splat_outside_any_path_regresses() -> None:
    base, patched = record("base", a="LOOP"), record("patched", a="PASS")
    got = verdict.judge([base], [replace(patched, boot_splats=(splat("WARNING: at mm/x.c:12"),))])
    assert got.verdict is Verdict.REGRESSES
    assert "mm/x.c" in got.reason


def test_a_splat_that_the_base_shows_as_well_is_not_worse() -> None:
    base, patched = record("base", a="LOOP"), record("patched", a="PASS")
    got = verdict.judge(
        [replace(base, boot_splats=(splat("WARNING: CPU: 0 PID: 12 at mmu_notifier_x"),))],
        [replace(patched, boot_splats=(splat("WARNING: CPU: 1 PID: 99 at mmu_notifier_x"),))],
    )
    assert got.verdict is Verdict.FIXES


@pytest.mark.parametrize("outcome", ["ERROR", "SKIP", "INVALID", "HANG"])
@pytest.mark.parametrize("name", ["iotlb_off", "btm"])
def test_a_control_that_says_nothing_leaves_it_open(name: str, outcome: str) -> None:
    got = judged({"a": "LOOP"}, {"a": "PASS"}, **{name: {"a": outcome}})
    assert got.verdict is Verdict.INCONCLUSIVE
    assert got.reason.startswith(f"control failed: a on {SETUP} with ")


def test_a_control_that_was_not_run_leaves_it_open() -> None:
    got = judged({"a": "LOOP", "b": "LOOP"}, {"a": "PASS", "b": "PASS"}, iotlb_off={"a": "PASS"})
    assert got.verdict is Verdict.INCONCLUSIVE
    assert "b on cortex-a57 with the IOTLB off: not run" in got.reason


def test_a_loop_without_an_iotlb_is_another_bug() -> None:
    got = judged({"a": "LOOP"}, {"a": "PASS"}, iotlb_off={"a": "LOOP"}, btm={"a": "LOOP"})
    assert got.verdict is Verdict.FIXES
    assert "not a missing invalidation" in got.notes[0]


def test_a_loop_that_no_broadcast_ends_is_a_failed_control() -> None:
    got = judged({"a": "LOOP"}, {"a": "PASS"}, iotlb_off={"a": "PASS"}, btm={"a": "LOOP"})
    assert got.verdict is Verdict.INCONCLUSIVE
    assert got.reason == f"control failed: a on {SETUP} with BTM: LOOP as without"


def test_clean_controls_say_nothing() -> None:
    got = judged({"a": "LOOP"}, {"a": "PASS"}, iotlb_off={"a": "PASS"}, btm={"a": "PASS"})
    assert (got.verdict, got.notes) == (Verdict.FIXES, ())


OUTCOMES = st.sampled_from(list(Outcome))


@given(st.dictionaries(st.sampled_from("abcdef"), st.tuples(OUTCOMES, OUTCOMES), min_size=1))
def test_fixes_is_never_said_over_anything_bad_or_open(table: dict[str, tuple[Outcome, Outcome]]) -> None:
    base = {p: str(b) for p, (b, _) in table.items()}
    patched = {p: str(a) for p, (_, a) in table.items()}
    got = judged(base, patched)
    if got.verdict is Verdict.FIXES:
        assert all(a is Outcome.PASS or (a is b is Outcome.SKIP) for b, a in table.values())
        assert any(c.change is Change.MENDED for c in got.comparisons)
    if any(b is Outcome.PASS and a.bad for b, a in table.values()):
        assert got.verdict is Verdict.REGRESSES


def test_a_mended_path_that_costs_the_device_all_its_translations_is_told() -> None:
    base = record("base", a="LOOP", b="PASS")
    fixed = record("patched", a="PASS", b="PASS")
    dear = replace(fixed, results=tuple(replace(r, tlbi_wide=3) for r in fixed.results))
    assert verdict.judge([base], [fixed]).notes == ()
    judgement = verdict.judge([base], [dear])
    assert judgement.verdict is Verdict.FIXES
    assert judgement.notes[0].startswith("cost: 6 invalidations of whole address spaces more than the base")
    cheaper = replace(base, results=tuple(replace(r, tlbi_wide=4) for r in base.results))
    assert verdict.judge([cheaper], [dear]).notes == ()


def test_what_was_corrupt_is_mended_and_has_no_price_to_compare_with() -> None:
    base, fixed = record("base", a="CORRUPT"), record("patched", a="PASS")
    dear = replace(fixed, results=tuple(replace(r, tlbi_wide=3) for r in fixed.results))
    judgement = verdict.judge([base], [dear])
    assert judgement.verdict is Verdict.FIXES and judgement.notes == ()


def test_what_no_kernel_mends_does_not_make_a_fix_partial() -> None:
    base, patched = {"a": "LOOP", "known": "LOOP"}, {"a": "PASS", "known": "LOOP"}
    records = [record("base", **base)], [record("patched", **patched)]
    assert verdict.judge(*records).verdict is Verdict.PARTIAL
    got = verdict.judge(*records, unmended=["known"])
    assert got.verdict is Verdict.FIXES
    assert got.notes == ("not mended, as on every kernel so far (docs/findings.md): known",)
    nothing = verdict.judge([record("base", known="LOOP")], [record("patched", known="LOOP")], unmended=["known"])
    assert nothing.verdict is Verdict.BASE_UNAFFECTED


def test_what_no_kernel_mends_needs_no_control_with_btm() -> None:
    base = [record("base", known="LOOP", a="LOOP")]
    again = [record("base-iotlb-off", known="PASS", a="PASS"), record("base-btm", a="PASS")]
    assert verdict.controls_of(base, again)[0], "a control that did not run is a fault"
    assert verdict.controls_of(base, again, ["known"]) == ([], [])
    off = [record("base-iotlb-off", a="PASS"), record("base-btm", a="PASS")]
    assert verdict.controls_of(base, off, ["known"])[0], "but one with the IOTLB off is needed"


def starts(given: GuestRecord, **counts: int) -> GuestRecord:
    facts = {path: {"subscriber_starts": str(count)} for path, count in counts.items()}
    return replace(given, results=tuple(replace(r, facts=facts.get(r.path, {})) for r in given.results))


def test_what_a_patch_makes_other_subscribers_pay_is_told() -> None:
    base = starts(record("base", a="LOOP", b="PASS", c="PASS"), a=0, b=1, c=2)
    dear = starts(record("patched", a="PASS", b="PASS", c="PASS"), a=1, b=1, c=4)
    (note,) = verdict.judge([base], [dear]).notes
    assert note.endswith("is called more often: a (0 to 1), c (2 to 4)")
    assert verdict.judge([base], [base]).notes == ()
    loops = starts(record("patched", a="LOOP", b="PASS", c="PASS"), a=50, b=1, c=1)
    assert verdict.judge([base], [loops]).notes == ()
