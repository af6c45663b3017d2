# SPDX-License-Identifier: GPL-2.0-or-later
"""``splat.find`` on recorded and written console logs (tests/data/logs)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import InfrastructureError
from harness.oracle import splat
from harness.oracle.splat import Allowed
from harness.oracle.splat_patterns import RULES

LOGS = Path(__file__).parents[1] / "data" / "logs"
EXPECTED: dict[str, list[dict[str, Any]]] = yaml.safe_load((LOGS / "expected.yaml").read_text(encoding="utf-8"))


def read(name: str) -> list[str]:
    return (LOGS / name).read_bytes().decode("utf-8", errors="replace").splitlines()


def find(lines: list[str]) -> list[Any]:
    return splat.find(lines, allowed=[])


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_log_gives_what_is_expected_of_it(name: str) -> None:
    found = [
        {
            "kind": s.kind,
            "title": s.title,
            "line": s.line,
            "lines": len(s.text.splitlines()),
            "first": s.text.splitlines()[0],
            "last": s.text.splitlines()[-1],
        }
        for s in find(read(name))
    ]
    assert found == EXPECTED[name]


def test_every_log_has_its_expectation() -> None:
    assert {f"{path.parent.name}/{path.name}" for path in LOGS.glob("*/*.log")} == set(EXPECTED)


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_report_is_found_however_short_the_log_is_cut(name: str) -> None:
    lines = read(name)
    whole = find(lines)
    for report in whole:
        headline = next(i for i, line in enumerate(lines) if i >= report.line - 1 and report.title in line)
        cut = find(lines[: headline + 1])
        assert (report.kind, report.title) in [(s.kind, s.title) for s in cut]


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_stamps_levels_cr_and_escapes_make_no_difference(name: str) -> None:
    plain = [splat.clean(line) for line in read(name)]
    dressed = [f"\x1b[0m<4>[{n:5d}.123456][   T{n % 7}] {line}\x1b[m\r" for n, line in enumerate(plain)]
    want = [(s.kind, s.title, s.line, s.text) for s in find(plain)]
    assert [(s.kind, s.title, s.line, s.text) for s in find(dressed)] == want


def test_reports_of_a_long_log_are_all_found() -> None:
    names = sorted(EXPECTED)
    gap = [f"[  1.{n:06d}] eth0: link {n}" for n in range(6)]
    lines = [line for name in names for line in [*read(name), *gap]]
    found = find(lines)
    want = [entry["title"] for name in names for entry in EXPECTED[name]]
    assert sorted(s.title for s in found) == sorted(want)
    assert all(splat.clean(lines[s.line - 1]) == s.text.splitlines()[0] for s in found)


def test_two_cpus_at_once_are_two_reports_each_with_its_end() -> None:
    first, second = find(read("real/warn-twice.log"))
    assert first.text.splitlines()[-1].startswith("---[ end trace")
    assert second.text.splitlines()[-1].startswith("---[ end trace")
    assert first.text.count("CPU: 1 PID: 60 at") == 1
    assert "CPU: 0 PID: 59 at" in second.text


def test_report_ends_before_what_follows_it() -> None:
    lines = read("real/sleep.log")
    end = next(i for i, line in enumerate(lines) if "el0t_64_sync+" in line) + 1
    followed = [*lines[:end], "[ 9.000000] eth0: link becomes ready", "[ 9.100000] vda: vda1", *["[ 9.2] x"] * 9]
    assert find(followed)[0].text.splitlines()[-1].strip().startswith("el0t_64_sync+")


def test_stray_lines_of_others_do_not_end_a_report() -> None:
    lines = read("real/circular.log")
    middle = next(i for i, line in enumerate(lines) if "other info that" in line)
    mixed = [*lines[:middle], "[ 1.000000] eth0: link", "[ 1.000001] vda: vda1", *lines[middle:]]
    (whole,) = find(lines)
    (found,) = find(mixed)
    assert len(found.text.splitlines()) == len(whole.text.splitlines()) + 2


def test_report_without_its_end_marker_does_not_swallow_the_log() -> None:
    lines = [line for line in read("real/warn.log") if "end trace" not in line]
    chatter = [f"[  99.{n:06d}] eth0: packet {n}" for n in range(50)]
    (found,) = find([*lines, *chatter, "[ 99.9] ", "  indented", *chatter])
    assert "packet 5" not in found.text


def test_prompt_before_a_message_is_no_part_of_it() -> None:
    (found,) = find(["/ # \x1b[6n[   12.345678] BUG: scheduling while atomic: sh/1/0x00000002\r"])
    assert (found.kind, found.title) == ("atomic", "BUG: scheduling while atomic: sh/1/0x00000002")


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("WARNING: possible circular locking dependency detected", "lockdep"),
        ("WARNING: possible recursive locking detected", "lockdep"),
        ("WARNING: possible irq lock inversion dependency detected", "lockdep"),
        ("WARNING: inconsistent lock state", "lockdep"),
        ("WARNING: SOFTIRQ-safe -> SOFTIRQ-unsafe lock order detected", "lockdep"),
        ("WARNING: bad unlock balance detected!", "lockdep"),
        ("WARNING: bad contention detected!", "lockdep"),
        ("WARNING: held lock freed!", "lockdep"),
        ("WARNING: Nested lock was not taken", "lockdep"),
        ("WARNING: lock held when returning to user space!", "lockdep"),
        ("WARNING: sh/12 still has locks held!", "lockdep"),
        ("WARNING: suspicious RCU usage", "lockdep"),
        ("WARNING: chain_key collision", "lockdep"),
        ("[ BUG: Invalid wait context ]", "lockdep"),
        ("INFO: trying to register non-static key.", "lockdep"),
        ("BUG: MAX_LOCKDEP_CHAIN_HLOCKS too low!", "lockdep"),
        ("BUG: MAX_STACK_TRACE_ENTRIES too low!", "lockdep"),
        ("WARNING: CPU: 0 PID: 1 at mm/rmap.c:1 f+0x0/0x4", "warning"),
        ("WARNING: mm/rmap.c:1 at f+0x0/0x4, CPU#0: sh/1", "warning"),
        ("WARNING: Support for something is deprecated", "warning"),
        ("BUG: something new", "bug"),
        ("watchdog: BUG: soft lockup - CPU#0 stuck for 26s! [sh:1]", "soft-lockup"),
        ("NMI watchdog: Watchdog detected hard LOCKUP on cpu 0", "hard-lockup"),
        ("BUG: workqueue lockup - pool cpus=0 node=0 flags=0x0 nice=0 stuck for 31s!", "workqueue"),
        ("rcu: INFO: rcu_preempt detected expedited stalls on CPUs/tasks: { 0-...D }", "rcu-stall"),
        ("INFO: rcu_tasks detected stalls on tasks:", "rcu-stall"),
        ("BUG: Bad page state in process sh  pfn:44a1c", "page"),
        ("BUG: Bad rss-counter state mm:00000000a1 type:MM_ANONPAGES val:1", "page"),
        ("BUG: non-zero pgtables_bytes on freeing mm: 4096", "page"),
        ("refcount_t: saturated; leaking memory.", "refcount"),
        ("list_add double add: new=ffff0, prev=ffff0, next=ffff0.", "list"),
        ("BUG: spinlock bad magic on CPU#1, sh/1", "spinlock"),
        ("BUG: using smp_processor_id() in preemptible [00000000] code: sh/1", "atomic"),
        ("sh invoked oom-killer: gfp_mask=0x140cca(GFP_HIGHUSER_MOVABLE), order=0", "oom"),
        ("Out of memory: Killed process 71 (workloads) total-vm:1kB", "oom"),
        ("Kernel panic - not syncing: No working init found.", "init"),
        ("BUG: KCSAN: data-race in a / b", "kcsan"),
        ("EXT4-fs error (device vda): ext4_lookup:1: inode #2: comm sh: bad", "filesystem"),
        ("arm-smmu-v3 arm-smmu-v3.0.auto: PRIQ MSI write aborted", "smmu"),
    ],
)
def test_headline(line: str, kind: str) -> None:
    (found,) = find([f"[    1.000000] {line}"])
    assert (found.kind, found.title) == (kind, line)


def test_every_kind_is_shown_by_a_test() -> None:
    shown = {entry["kind"] for entries in EXPECTED.values() for entry in entries}
    marks = test_headline.pytestmark  # type: ignore[attr-defined]
    shown |= {kind for mark in marks if mark.name == "parametrize" for _, kind in mark.args[1]}
    assert {rule.kind for rule in RULES} - shown == {"debugobjects", "leak"}


def test_allowed_complaint_is_left_out_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "allowed.yaml"
    path.write_text("allowed:\n- pattern: 'init/main\\.c:1284 do_one_initcall'\n  reason: our own mischief\n")
    allowed = splat.read_allowed(path)
    assert [s.kind for s in splat.find(read("real/atomic.log"), allowed)] == ["atomic"]
    assert [s.kind for s in splat.find(read("real/warn.log"), allowed)] == ["warning"]
    assert isinstance(allowed[0], Allowed)


@pytest.mark.parametrize(
    "entry",
    ["{pattern: x}", "{pattern: x, reason: ' '}", "{pattern: x, reason: y, kind: z}", "{pattern: '(', reason: y}"],
)
def test_malformed_allow_list_is_refused(tmp_path: Path, entry: str) -> None:
    path = tmp_path / "allowed.yaml"
    path.write_text(f"allowed:\n- {entry}\n")
    with pytest.raises(InfrastructureError, match="entry 1"):
        splat.read_allowed(path)


def test_projects_own_allow_list_is_well_formed() -> None:
    assert all(entry.reason for entry in splat.read_allowed())


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.sampled_from([line for name in sorted(EXPECTED)[:12] for line in read(name)]) | st.text(), max_size=80
    )
)
def test_any_text_is_survived(lines: list[str]) -> None:
    found = find(lines)
    assert [s.line for s in found] == sorted(s.line for s in found)
    assert all(1 <= s.line <= len(lines) and s.title in s.text for s in found)
