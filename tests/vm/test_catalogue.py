# SPDX-License-Identifier: GPL-2.0-or-later
"""Every patch of ours, and the patch of the thread, against what reading the kernel's source says of it.

Real kernels, real guests. `newest` and `6.12` need kernel builds of their own: `newest` is part of `make test`, as
the patch that takes the notification out again is for it; 6.12 is in `make test-long`, and so is the patch of a
header that nearly every object includes.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.expected import Expectation
from harness.oracle.verdict import STATUS
from harness.sources import catalogue as workloads
from harness.sources import expectations
from tests.vm.command import ROOT, THREAD, faultloop, outcomes

SETUPS = ("cortex-a57", "cortex-a76")
CATALOGUE = expectations.load(
    ROOT / "patches/linux/catalogue.yaml",
    [w.path for w in workloads.workloads(ROOT / "guest-tests/workloads/catalogue.yaml")],
)


def rows() -> list[Any]:
    """A parameter for each row; those whose kernel costs a new machine too much are `long`."""
    return [
        pytest.param(row, id=row.name, marks=[pytest.mark.long] if row.long else []) for row in CATALOGUE.patches
    ]


@pytest.mark.parametrize("row", rows())
def test_verdict_and_paths(row: Expectation, tmp_path: Path) -> None:
    called = faultloop("catalogue", row.name, "--kernel", row.base, "--json", results=tmp_path)
    (told,) = called.run["patches"]
    run = json.loads((tmp_path / "latest" / "run.json").read_text(encoding="utf-8"))
    assert run["verdict"] == told["got"] == row.verdict, run["summary"]
    assert run["exit_status"] == STATUS[row.verdict]
    check_paths(outcomes(run, "base"), outcomes(run, "patched"), row)
    check_log(run, row, tmp_path)
    assert (told["result"], told["differences"], called.status) == ("as expected", [], 0)


def check_paths(base: dict[tuple[str, str], str], patched: dict[tuple[str, str], str], row: Expectation) -> None:
    assert {setup for _, setup in base} == set(SETUPS)
    for path, setup in base:
        assert base[path, setup] == row.base_outcome(path, setup), (path, setup)
    for path, setup in patched:
        assert patched[path, setup] == (row.patched_outcome(path, setup) or patched[path, setup]), (path, setup)


def check_log(run: dict[str, Any], row: Expectation, results: Path) -> None:
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


@pytest.mark.long
def test_all_apply_to_the_present_sources(tmp_path: Path) -> None:
    """Of every series that they are meant for: that brings the source of 6.12."""
    called = faultloop("catalogue", "--drift", results=tmp_path)
    assert called.status == 0, called.stdout
    assert not tmp_path.joinpath("latest").exists()


@pytest.mark.skipif(not THREAD.exists(), reason=f"{THREAD.parent}: not beside the project")
def test_the_thread_as_it_was_saved(tmp_path: Path) -> None:
    """v1 as posted is PARTIAL: it does not cover wp_page_reuse(), nor mm/huge_memory.c."""
    called = faultloop("test-patch", THREAD, "--json", results=tmp_path)
    run = called.run
    assert (run["verdict"], called.status) == ("PARTIAL", 1), run["summary"]
    mended = {(p["path"], p["setup"]) for p in run["paths"] if p["change"] == "mended"}
    left = {(p["path"], p["setup"]) for p in run["paths"] if p["change"] == "not mended"}
    assert mended == _pairs("by-pte-fault", "by-hugetlb", "by-hugetlb-contiguous", "by-driver") | {
        ("hugetlb-shared-table", "cortex-a76")
    }
    assert left == _pairs("by-wp-reuse", "by-thp", "by-thp-clean", "with-linux-dirty-bits", "by-populate")
    assert run["builds"]["patched"]["objects"] < run["builds"]["base"]["objects"] / 10
    (patch,) = run["patch"]["patches"]
    assert patch["files"] == ["include/linux/mmu_notifier.h", "mm/hugetlb.c", "mm/memory.c"]


def _pairs(*names: str) -> set[tuple[str, str]]:
    """Paths of sets, each on the setups that are meant."""
    found = {name.partition("@")[::2] for key in names for name in CATALOGUE.sets[key]}
    return {(path, setup) for path, only in found for setup in SETUPS if only in ("", setup)}


@pytest.mark.parametrize("kernel", ["newest", pytest.param("6.12", marks=pytest.mark.long)])
def test_a_kernel_with_the_notification(kernel: str, tmp_path: Path) -> None:
    """Nothing loops but what no kernel mends yet."""
    called = faultloop("run", "--kernel", kernel, "--json", results=tmp_path)
    assert called.status == 1, called.run["summary"]
    base = outcomes(called.run, "base")
    assert {key for key, outcome in base.items() if outcome == "LOOP"} == _pairs(
        "with-linux-dirty-bits", "by-populate"
    )
    assert {path for (path, _), outcome in base.items() if outcome == "CORRUPT"} == CATALOGUE.damaged[kernel]
    skipped = {key for key, outcome in base.items() if outcome == "SKIP"}
    assert skipped == {key for key in base if _skipped(kernel, *key)}
    assert set(base.values()) == {"PASS", "LOOP", "SKIP", "CORRUPT"}


def _skipped(kernel: str, path: str, setup: str) -> bool:
    return not CATALOGUE.skips[kernel].isdisjoint({path, f"{path}@{setup}"})


@pytest.mark.long
def test_a_second_cpu_changes_nothing(tmp_path: Path) -> None:
    more = "+cpus=2"
    (row,) = (row for row in CATALOGUE.patches if row.name == "6.1-fix-fault-paths")
    patch = ROOT / "patches/linux" / f"{row.name}.patch"
    setups = ",".join(name + more for name in SETUPS)
    called = faultloop("test-patch", patch, "--base", "6.1", "--setup", setups, "--json", results=tmp_path)
    run = called.run
    assert (run["verdict"], called.status) == ("FIXES", 0), run["summary"]
    base, patched = (
        {(path, setup.removesuffix(more)): outcome for (path, setup), outcome in outcomes(run, variant).items()}
        for variant in ("base", "patched")
    )
    check_paths(base, patched, row)


def test_controls_are_clean(tmp_path: Path) -> None:
    """Where the IOTLB holds nothing, or hears the CPU's broadcasts, nothing loops: 6.1 shares the CPU's ASIDs."""
    called = faultloop("run", "--kernel", "6.1", "--json", results=tmp_path)
    for variant in ("base-iotlb-off", "base-btm"):
        again = [g for g in called.run["guests"] if g["variant"] == variant]
        assert {g["setup"] for g in again} == set(SETUPS)
        for guest in again:
            unheard = CATALOGUE.sets["by-shared-table"] | CATALOGUE.sets["by-populate"]
            other = unheard if variant == "base-btm" else frozenset()
            assert set(guest["outcomes"]) == CATALOGUE.loops["6.1"] - other
            assert set(guest["outcomes"].values()) == {"PASS"}
