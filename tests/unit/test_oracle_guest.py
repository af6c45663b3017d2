# SPDX-License-Identifier: GPL-2.0-or-later
"""From what was recorded of a guest to outcomes."""

from __future__ import annotations

from dataclasses import replace

from harness.model import Outcome
from harness.oracle import guest
from harness.recorded import RawGuest, WorkloadRun

PASSING = """\
KTAP version 1
1..2
ok 1 precondition: the read-only entry is in the IOTLB
ok 2 progress: the device's write completes
# stalls 1
# retries 1
# tlbi 1
# notifier_calls 1
"""
LOOPING = PASSING.replace("ok 2", "not ok 2").replace("stalls 1", "stalls 50")
BUG = [
    "[    3.100000] BUG: sleeping function called from invalid context at include/linux/mmu_notifier.h:512",
    "[    3.100001] in_atomic(): 1, irqs_disabled(): 0, non_block: 0, pid: 77, name: workloads",
    "[    3.100002] Call trace:",
    "[    3.100003]  dump_backtrace+0x0/0x100",
    "[    3.100004]  wp_page_reuse+0x50/0xb0",
]


def run(path: str, ktap: str, stalls: int = 60) -> WorkloadRun:
    after = {"stalls": stalls, "tlbi": 9, "cmd-resume": 60, "stalls-outstanding": 0}
    after |= {"cmd-tlbi-nh-va": 6, "cmd-tlbi-nh-asid": 2, "cmd-tlbi-s12-vmall": 1, "cmd-cfgi-all": 5}
    return WorkloadRun(path, ktap, 0, before=dict.fromkeys(after, 0), after=after, seconds=0.1)


def raw(
    *runs: WorkloadRun, paths: tuple[str, ...] = ("a", "b"), end: str = "POWEROFF", message: str = ""
) -> RawGuest:
    return RawGuest("base", "cortex-a57", paths, runs, end, 1.0, 2.0, message=message)


def marked(*lines: str, path: str) -> list[str]:
    return [f"[    3.0] faultloop: begin {path}", *lines, f"[    3.9] faultloop: end {path}"]


def outcomes(record: guest.GuestRecord) -> list[Outcome]:
    return [r.outcome for r in record.results]


def test_outcomes_and_facts() -> None:
    record = guest.assemble([raw(run("a", PASSING), run("b", LOOPING))], [["[    0.0] Booting Linux"]])
    assert outcomes(record) == [Outcome.PASS, Outcome.LOOP]
    assert (record.results[1].stalls, record.results[0].tlbi, record.results[0].notifier_calls) == (50, 1, 1)
    assert record.results[0].tlbi_wide == 3


def test_a_splat_is_charged_to_the_path_that_was_running() -> None:
    console = [*marked(path="a"), *marked(*BUG, path="b")]
    record = guest.assemble([raw(run("a", PASSING), run("b", PASSING))], [console])
    assert outcomes(record) == [Outcome.PASS, Outcome.SPLAT]
    assert "sleeping function" in record.results[1].reason
    assert "wp_page_reuse" in record.results[1].splats[0].text
    assert record.boot_splats == ()


def test_a_splat_outside_any_path_is_kept() -> None:
    record = guest.assemble([raw(run("a", PASSING), run("b", PASSING))], [[*BUG, *marked(path="a")]])
    assert outcomes(record) == [Outcome.PASS, Outcome.PASS]
    assert len(record.boot_splats) == 1


def test_a_workload_that_says_more_than_the_smmu_counted_is_an_error() -> None:
    record = guest.assemble([raw(run("a", PASSING.replace("stalls 1", "stalls 5"), stalls=4), paths=("a",))], [[]])
    assert outcomes(record) == [Outcome.ERROR]
    assert "SMMU counted 4" in record.results[0].reason


def test_lost_events_and_stalls_left_behind_are_errors() -> None:
    lost = run("a", PASSING)
    lost = replace(lost, after={**lost.after, "events-lost": 2})
    stuck = run("b", PASSING)
    stuck = replace(stuck, after={**stuck.after, "stalls-outstanding": 1})
    record = guest.assemble([raw(lost, stuck)], [[]])
    assert outcomes(record) == [Outcome.ERROR, Outcome.ERROR]


def test_a_panic_in_the_middle_and_a_second_boot_for_the_rest() -> None:
    died = replace(
        run("a", "KTAP version 1\n1..2\n"), failure="PANIC", message="Kernel panic - not syncing: x", after={}
    )
    first = raw(died, end="PANIC", message="Kernel panic - not syncing: x")
    second = raw(run("b", PASSING), paths=("b",))
    record = guest.assemble([first, second], [[], []])
    assert outcomes(record) == [Outcome.SPLAT, Outcome.PASS]
    assert record.booted


def test_a_panic_at_boot_charges_every_path() -> None:
    record = guest.assemble([raw(end="PANIC", message="Kernel panic - not syncing: x")], [[]])
    assert outcomes(record) == [Outcome.SPLAT, Outcome.SPLAT]
    assert not record.booted


def test_qemu_that_dies_is_no_fault_of_the_kernel() -> None:
    record = guest.assemble([raw(end="QEMU-DIED")], [[]])
    assert outcomes(record) == [Outcome.ERROR, Outcome.ERROR]


def test_output_cut_short_is_never_a_pass() -> None:
    cut = run("a", "\n".join(PASSING.splitlines()[:3]) + "\n")
    assert outcomes(guest.assemble([raw(cut, paths=("a",))], [[]])) == [Outcome.ERROR]


CUT = "[faultloop: 900 bytes left out here]"


def test_a_path_whose_part_of_the_log_was_left_out_did_not_pass() -> None:
    """Its ``end``, its ``begin`` or both may be what is lacking; the others stand."""
    for begin, end in ((True, True), (True, False), (False, True), (False, False)):
        b = marked(path="b")
        console = [*marked(path="a"), *b[: int(begin)], "flood", CUT, "flood", *b[2 - int(end) :]]
        record = guest.assemble([raw(run("a", PASSING), run("b", PASSING))], [console])
        assert outcomes(record) == [Outcome.PASS, Outcome.ERROR]
        assert record.results[1].reason == "900 bytes of the console's log were left out, perhaps of this path's"
    again = [*marked(path="a"), marked(path="b")[0], CUT, *marked(path="b")]
    assert outcomes(guest.assemble([raw(run("a", PASSING), run("b", PASSING))], [again]))[1] is Outcome.ERROR


def test_what_is_seen_to_be_wrong_stands_without_the_whole_log() -> None:
    record = guest.assemble([raw(run("a", PASSING), run("b", LOOPING))], [["flood", CUT, *marked(path="a")]])
    assert outcomes(record) == [Outcome.PASS, Outcome.LOOP]
