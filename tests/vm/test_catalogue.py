# SPDX-License-Identifier: GPL-2.0-or-later
"""Every patch of ours, and the patch of the thread, against what reading the kernel's source says of it.

Real kernels, real guests. `newest` and `6.12` need kernel builds of their own: `newest` is part of `make test`, as
the patch that takes the notification out again is for it; 6.12 is in `make test-long`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel, ConfigDict

from harness.model import Verdict
from harness.oracle.verdict import STATUS
from tests.vm.command import ROOT, THREAD, faultloop, outcomes

SETUPS = ("cortex-a57", "cortex-a76")
LOOPS_ON_6_1 = {
    "anon-reuse",
    "anon-reuse-cpu-first",
    "shmem-clean",
    "file-mkwrite",
    "madv-free",
    "madv-free-cpu-first",
    "hugetlb-reuse",
    "thp-reuse",
}


class Row(BaseModel):
    """A row of ``patches/linux/catalogue.yaml``."""

    model_config = ConfigDict(extra="forbid")

    file: str
    base: str
    title: str
    approach: str
    verdict: Verdict
    mends: tuple[str, ...]
    leaves: tuple[str, ...]
    breaks: tuple[str, ...]
    splat: str
    end: str
    thread: str
    reason: str


def rows() -> Iterator[Any]:
    data = yaml.safe_load((ROOT / "patches" / "linux" / "catalogue.yaml").read_text(encoding="utf-8"))
    for entry in data["patches"]:
        row = Row.model_validate(entry)
        yield pytest.param(row, id=row.file.removesuffix(".patch"))


def test_every_patch_has_a_row() -> None:
    files = {p.name for p in (ROOT / "patches" / "linux").glob("*.patch")}
    assert files == {param.values[0].file for param in rows()}


@pytest.mark.parametrize("row", list(rows()))
def test_verdict_and_paths(row: Row, tmp_path: Path) -> None:
    patch = ROOT / "patches" / "linux" / row.file
    called = faultloop("test-patch", patch, "--base", row.base, "--json", results=tmp_path)
    run = called.run
    assert run["verdict"] == row.verdict, run["summary"]
    assert called.status == STATUS[row.verdict] == run["exit_status"]
    check_paths(run, row)
    check_log(run, row, tmp_path)


def check_paths(run: dict[str, Any], row: Row) -> None:
    base, patched = outcomes(run, "base"), outcomes(run, "patched")
    loops_on_base = {*row.mends, *row.leaves} or (LOOPS_ON_6_1 if row.base == "6.1" else set())
    assert {setup for _, setup in base} == set(SETUPS)
    for path, setup in base:
        assert base[path, setup] == ("LOOP" if path in loops_on_base else "PASS"), (path, setup)
    if row.splat:
        return
    for path, setup in patched:
        loops = path in row.leaves or path in row.breaks
        assert patched[path, setup] == ("LOOP" if loops else "PASS"), (path, setup)


def check_log(run: dict[str, Any], row: Row, results: Path) -> None:
    """The expected splat, on the patched variant and only there; the way its guests ended."""
    latest = results / "latest"
    consoles = {
        variant: "".join(p.read_text(errors="replace") for p in latest.glob(f"{variant}/*/boot-*/console.log"))
        for variant in ("base", "patched")
    }
    assert "Booting Linux" in consoles["base"]
    if row.splat:
        assert row.splat in consoles["patched"] and row.splat not in consoles["base"]
    ends = {g["end"] for g in run["guests"] if g["variant"] == "patched"}
    assert ends == {row.end}
    for guest in run["guests"]:
        if guest["variant"] == "base":
            assert guest["boot_splats"] == [], guest["boot_splats"][:1]


@pytest.mark.skipif(not THREAD.exists(), reason=f"{THREAD.parent}: not beside the project")
def test_the_thread_as_it_was_saved(tmp_path: Path) -> None:
    """v1 as posted is PARTIAL: it does not cover wp_page_reuse(), nor mm/huge_memory.c."""
    called = faultloop("test-patch", THREAD, "--json", results=tmp_path)
    run = called.run
    assert (run["verdict"], called.status) == ("PARTIAL", 1), run["summary"]
    mended = {p["path"] for p in run["paths"] if p["change"] == "mended"}
    left = {p["path"] for p in run["paths"] if p["change"] == "not mended"}
    assert mended == {"shmem-clean", "madv-free", "madv-free-cpu-first", "hugetlb-reuse"}
    assert left == {"anon-reuse", "anon-reuse-cpu-first", "file-mkwrite", "thp-reuse"}
    assert run["builds"]["patched"]["objects"] < run["builds"]["base"]["objects"] / 10
    (patch,) = run["patch"]["patches"]
    assert patch["files"] == ["include/linux/mmu_notifier.h", "mm/hugetlb.c", "mm/memory.c"]


@pytest.mark.long
@pytest.mark.parametrize("kernel", ["6.12"])
def test_a_kernel_with_the_notification_is_not_affected(kernel: str, tmp_path: Path) -> None:
    called = faultloop("run", "--kernel", kernel, "--json", results=tmp_path)
    assert called.status == 0, called.run["summary"]
    assert {p["base"]["outcome"] for p in called.run["paths"]} == {"PASS"}


@pytest.mark.long
def test_a_second_cpu_changes_nothing(tmp_path: Path) -> None:
    setups = ",".join(f"{name}+cpus=2" for name in SETUPS)
    patch = ROOT / "patches/linux/6.1-fix-fault-paths.patch"
    called = faultloop("test-patch", patch, "--base", "6.1", "--setup", setups, "--json", results=tmp_path)
    run = called.run
    assert (run["verdict"], called.status) == ("FIXES", 0), run["summary"]
    base = outcomes(run, "base")
    assert {path for (path, _), outcome in base.items() if outcome == "LOOP"} == LOOPS_ON_6_1
    assert {setup for _, setup in base} == set(setups.split(","))
    assert set(outcomes(run, "patched").values()) == {"PASS"}


def test_controls_are_clean(tmp_path: Path) -> None:
    """Where the IOTLB holds nothing, or hears the CPU's broadcasts, nothing loops: 6.1 shares the CPU's ASIDs."""
    called = faultloop("run", "--kernel", "6.1", "--json", results=tmp_path)
    for variant in ("base-iotlb-off", "base-btm"):
        again = [g for g in called.run["guests"] if g["variant"] == variant]
        assert {g["setup"] for g in again} == set(SETUPS)
        for guest in again:
            assert set(guest["outcomes"]) == LOOPS_ON_6_1
            assert set(guest["outcomes"].values()) == {"PASS"}
