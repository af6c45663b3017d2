# SPDX-License-Identifier: GPL-2.0-or-later
"""The matrix of a sweep, the reasons of what loops, its status, and that it goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.build.cache import Cache
from harness.errors import ExitStatus, FaultloopError, InfrastructureError, UserError
from harness.jobs import guests, history, pool, records
from harness.jobs import sweep as job
from harness.jobs.test_patch import Request
from harness.model import Differs, Emulator, GuestImage, GuestRecord, Outcome, PathResult, Series, Setup, Workload
from harness.oracle.explain import describe, explain
from harness.oracle.foreseen import foreseen
from harness.progress import Progress
from harness.recorded import RawGuest, WorkloadRun
from harness.report import sweep as report
from harness.sources import catalogue
from harness.swept import Cell, Sweep
from tests.unit import runs

A57, A76 = Setup("cortex-a57", "cortex-a57"), Setup("cortex-a76", "cortex-a76", hw_dirty=True)
NEW = replace(runs.KERNEL, name="newest", version="7.3.4", digest="cd" * 32)
WORKLOADS = (Workload("anon-reuse", "A", ""), Workload("munmap", "C", ""))
FACTS = {
    "hits_wp_page_reuse": "51",
    "hits_do_wp_page": "0",
    "hits_other": "notrace",
    "pte_before": "0x60000041abc7c3",
    "pte_after": "0xe8000041abcf43",
    "iotlb_before": "r-,level=3,granule=12",
    "iotlb_after": "r-,level=3,granule=12",
    "notifier_calls": "0",
    "audit_end_first": "restrictive,address=0x1000,size=0x1000,cached=0x1,walked=0x2",
}


def result(path: str, outcome: str, **facts: str) -> PathResult:
    return PathResult(path, "", Outcome(outcome), stalls=50, facts={**FACTS, **facts}, reason=f"why {outcome}")


def cell(setup: Setup, first: PathResult, second: PathResult, **more: Any) -> Cell:
    record = GuestRecord("6.1.192", setup.name, (first, second), "POWEROFF")
    return Cell(runs.KERNEL, setup, record=record, **more)


def swept(*cells: Cell) -> Sweep:
    return Sweep(cells, WORKLOADS, 1.0, 0)


def test_setups_that_agree_share_a_column_and_a_reason() -> None:
    loop, good = result("anon-reuse", "LOOP"), result("munmap", "PASS")
    other = result("anon-reuse", "LOOP", pte_before="0x60000041def7c3")
    text = report.plain(swept(cell(A57, loop, good), cell(A76, other, good)))
    assert "path        a b" in text
    assert text.count("anon-reuse on 6.1.192") == 1
    assert "anon-reuse on 6.1.192 [a b]" in text
    assert "ran      wp_page_reuse\n" in text
    assert "PTE      0x60000041abc7c3 (read-only) -> 0xe8000041abcf43 (writable, dirty)" in text
    assert "cached   r-,level=3,granule=12; at the end r-,level=3,granule=12; 50 stalls" in text
    assert "told     0 TLBI commands, notifier called 0 times for the page" in text
    assert "audit    restrictive,address=0x1000" in text
    assert "setups   a cortex-a57, b cortex-a76" in text
    assert "RESULT   6.1.192: 1 paths LOOP" in text


def test_setups_that_differ_have_columns_of_their_own() -> None:
    good = result("munmap", "PASS")
    one, two = cell(A57, result("anon-reuse", "LOOP"), good), cell(A76, result("anon-reuse", "PASS"), good)
    new = replace(one, kernel=NEW, record=None, error="it does not build", theirs=True)
    text = report.plain(swept(one, two, new))
    assert "anon-reuse  LOOP  PASS" in text
    assert "; 7.3.4: not run; 1 of 3 guests did not run" in text
    assert "no run   7.3.4 on cortex-a57: it does not build" in text
    assert text.index("6.1.192  (") < text.index("7.3.4  (")
    told = json.loads(report.dump(swept(one, two, new), 1))
    assert told["cells"][0]["paths"]["anon-reuse"]["why"]["functions"] == ["wp_page_reuse"]
    assert told["cells"][2]["error"] == "it does not build"


def test_what_is_hostile_stays_in_its_line() -> None:
    bad = replace(result("anon-reuse", "CORRUPT"), reason="x\nRESULT   clean\x1b[2J")
    text = report.plain(swept(cell(A57, bad, result("munmap", "PASS"))))
    assert "\x1b" not in text
    assert "\nRESULT   clean" not in text


@pytest.mark.parametrize(
    ("descriptor", "words"),
    [
        ("0x0", "invalid"),
        ("0xe8000041abcfc3", "read-only, clean, dirty"),
        ("0x68000041abcfc3", "read-only, clean"),
        ("0xe8000041abcf43", "writable, dirty"),
        ("0x60000041abcbc3", "read-only, old"),
        ("0xf8000041abcf43", "writable, dirty, contiguous"),
        ("", "not told"),
    ],
)
def test_entries_in_words(descriptor: str, words: str) -> None:
    assert describe(descriptor) == words


def test_a_stale_path_says_its_reason() -> None:
    assert explain(result("munmap", "STALE")).reason == "why STALE"
    assert explain(result("munmap", "LOOP")).reason == ""


GOOD = cell(A57, result("anon-reuse", "PASS"), result("munmap", "SKIP"))


@pytest.mark.parametrize(
    ("cells", "status"),
    [
        ([GOOD], ExitStatus.FIXES),
        ([cell(A57, result("anon-reuse", "INVALID"), result("munmap", "PASS"))], ExitStatus.UNDECIDED),
        ([GOOD, replace(GOOD, record=None, error="x")], ExitStatus.INFRASTRUCTURE),
        ([GOOD, replace(GOOD, record=None, error="x", theirs=True)], ExitStatus.USER),
        (
            [
                cell(A57, result("anon-reuse", "LOOP"), result("munmap", "PASS")),
                replace(GOOD, record=None, error="x"),
            ],
            ExitStatus.NOT_FIXED,
        ),
    ],
)
def test_status(cells: Sequence[Cell], status: ExitStatus) -> None:
    assert job.judge(swept(*cells)) is status


class Shop:
    """What a sweep needs, without building anything."""

    def __init__(self, root: Path) -> None:
        self.cache = Cache(root / "cache")
        self.said: list[str] = []
        self.progress = Progress(root / "timings.json", quiet=True)
        self.progress.say = self.said.append  # type: ignore[method-assign]
        self.emulator = Emulator(root / "qemu", "e", "10", "")
        self.guest_image = GuestImage(root / "i", root / "d", root / "k", "", "g")
        self.root = root
        self.elsewhere = None

    def kernel(self, name: str) -> Any:
        return NEW if name == "newest" else runs.KERNEL

    def variant(self, kernel: Any, *, setup: Setup) -> Any:
        if setup.kasan:
            raise UserError("it does not build")
        folder = self.root / "built"
        folder.mkdir(exist_ok=True)
        return replace(runs.built(Series(), folder), kernel=kernel, key=kernel.version)


def recorded(fail: Sequence[str], ran: list[str]) -> Any:
    def record(task: guests.GuestJob, _emulator: Any, _image: Any, where: Path) -> None:
        ran.append(task.name)
        if task.setup.name in fail:
            raise InfrastructureError("QEMU died")
        one = [WorkloadRun(w.path, runs.result(w.path, "PASS").ktap, 0, {}, {}, 0.1) for w in task.workloads]
        raw = RawGuest("v", task.setup.name, tuple(w.path for w in task.workloads), tuple(one), "POWEROFF", 1, 2)
        (where / "boot-0").mkdir(parents=True)
        records.save(raw, where / "boot-0")
        (where / "boot-0/console.log").write_text("")

    return record


def here(tasks: Sequence[pool.Task], *, at_once: int, on_end: pool.OnEnd | None = None) -> list[Any]:
    """`pool.run` in this process."""
    errors: list[FaultloopError | None] = []
    for number, task in enumerate(tasks):
        try:
            task()
            errors.append(None)
        except FaultloopError as error:
            errors.append(error)
        if on_end is not None:
            on_end(number, errors[-1])
    return errors


def run(root: Path, patch: pytest.MonkeyPatch, *, fail: Sequence[str] = (), setups: str = "") -> Any:
    shop, ran = Shop(root), list[str]()
    patch.setattr(guests, "record", recorded(fail, ran))
    patch.setattr(pool, "run", here)
    results = root / f"results-{len(list(root.glob('results-*')))}"  # a second is too long to tell two apart
    request = Request(setups=setups or "cortex-a57,cortex-a76", workloads="munmap", results=results)
    done, status = job.sweep(request, shop, ["6.1", "newest"])  # type: ignore[arg-type]
    return SimpleNamespace(done=done, status=status, ran=ran, said=shop.said)


def test_a_cell_that_fails_stops_no_other_and_the_rest_goes_on_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run(tmp_path, monkeypatch, fail=["cortex-a76"])
    assert [bool(c.error) for c in first.done.cells] == [False, True, False, True]
    assert "QEMU died" in report.plain(first.done)
    assert len(first.ran) == 4
    second = run(tmp_path, monkeypatch)
    assert [name.split("/")[1] for name in second.ran] == ["cortex-a76", "cortex-a76"]
    assert any("2 of 4 guests are known from earlier runs" in line for line in second.said)
    assert second.done.known == 2
    assert (second.done.folder / "sweep.json").is_file()
    sent = json.loads((first.done.folder / "kcidb.json").read_text())
    assert sorted(t["status"] for t in sent["tests"]) == ["MISS", "MISS", "PASS", "PASS", "PASS", "PASS"]
    assert len(history.course(second.done.folder.parent, "munmap")) == 4
    assert not (second.done.folder.parent / "latest").exists()


def test_what_is_done_is_kept_when_it_is_interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(tasks: Sequence[pool.Task], *, at_once: int, on_end: pool.OnEnd | None = None) -> Any:
        here(tasks[:1], at_once=at_once, on_end=on_end)
        raise KeyboardInterrupt

    shop, ran = Shop(tmp_path), list[str]()
    monkeypatch.setattr(guests, "record", recorded((), ran))
    monkeypatch.setattr(pool, "run", interrupted)
    request = Request(setups="cortex-a57,cortex-a76", workloads="munmap", results=tmp_path / "results")
    with pytest.raises(KeyboardInterrupt):
        job.sweep(request, shop, ["6.1"])  # type: ignore[arg-type]
    assert any("1 guests are done and kept; the same command goes on there" in line for line in shop.said)
    assert run(tmp_path, monkeypatch).done.known == 1


def test_a_kernel_that_does_not_build_is_a_cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = run(tmp_path, monkeypatch, setups="cortex-a57,a57-kasan")
    assert [c.error for c in found.done.cells] == ["", "it does not build", "", "it does not build"]


def test_what_is_not_as_expected_has_a_line_for_all_setups_that_have_it() -> None:
    loop, good = result("anon-reuse", "LOOP"), result("munmap", "PASS")
    wanted = {"anon-reuse": Outcome.PASS, "munmap": Outcome.PASS}
    cells = [cell(A57, loop, good, foreseen=wanted), cell(A76, loop, good, foreseen=wanted), cell(A57, loop, good)]
    text = report.plain(swept(*cells[:2]))
    assert "unlike   anon-reuse on 6.1.192 [a b]: LOOP, PASS was expected\n" in text and text.count("unlike") == 1
    assert "unlike" not in report.plain(swept(cells[2]))
    told = json.loads(report.dump(swept(cells[0]), 1))["cells"][0]["paths"]
    assert told["anon-reuse"]["expected"] == "PASS"


def test_a_setup_changes_what_is_expected() -> None:
    rows = (
        Differs(("thp-*",), {"page_kib": (64,)}, Outcome.SKIP, ""),
        Differs(("thp-reuse",), {"hw_dirty": (True,), "series": ("6.1",)}, Outcome.PASS, ""),
    )
    thp = Workload("thp-reuse", "A", "", expect={"6.1": Outcome.LOOP, "6.12": Outcome.LOOP, "7.3": Outcome.SKIP})
    assert foreseen(thp, "6.1.192", A57, rows) is Outcome.LOOP
    assert foreseen(thp, "6.1.192", replace(A57, page_kib=64), rows) is Outcome.SKIP
    assert foreseen(thp, "6.1.192", A76, rows) is Outcome.PASS
    assert foreseen(thp, "6.12.3", A76, rows) is Outcome.LOOP
    assert foreseen(thp, "6.12.3", replace(A76, iotlb=0), rows) is Outcome.PASS
    assert foreseen(thp, "7.3.4", replace(A57, page_kib=64), rows) is Outcome.SKIP
    assert foreseen(thp, "7.4-rc1", A57, rows) is None


def test_rows_of_what_differs_are_about_something(tmp_path: Path) -> None:
    row = "{paths: ['mun*'], when: {thp: [never]}, expect: SKIP, why: x}"
    good = f"workloads:\n- {{path: munmap, family: C, what: x}}\ndiffers:\n- {row}\n"
    file = tmp_path / "catalogue.yaml"
    file.write_text(good)
    assert catalogue.differences(file)[0].when == {"thp": ("never",)}
    for old, new, words in (("mun*", "mum*", "no path is called 'mum"), ("thp:", "thb:", "no field 'thb'; .*thp")):
        file.write_text(good.replace(old, new))
        with pytest.raises(UserError, match=words):
            catalogue.differences(file)
