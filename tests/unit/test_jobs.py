# SPDX-License-Identifier: GPL-2.0-or-later
"""What a run concludes without a patch, when a base does not boot, and which controls it asks for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.errors import ExitStatus, UserError
from harness.jobs import controls
from harness.jobs import test_patch as job
from harness.jobs.guests import GuestJob
from harness.model import BuiltKernel, GuestRecord, Outcome, PathResult, Series, Setup, Splat, Workload
from harness.oracle import sva
from harness.progress import Progress
from tests.unit.runs import built

SETUPS = (Setup("cortex-a57", "cortex-a57"), Setup("cortex-a76", "cortex-a76"))
WORKLOADS = tuple(Workload(name, "A", "what") for name in ("anon-reuse", "thp-reuse", "unmapped"))


def record(setup: str, *outcomes: str, variant: str = "base") -> GuestRecord:
    results = tuple(
        PathResult(w.path, setup, Outcome(o), reason="why") for w, o in zip(WORKLOADS, outcomes, strict=True)
    )
    return GuestRecord(variant, setup, results, "POWEROFF")


@pytest.mark.parametrize(
    ("outcomes", "status", "words"),
    [
        (["PASS", "PASS", "PASS"], ExitStatus.FIXES, "not affected: all 3 pass"),
        (["PASS", "SKIP", "PASS"], ExitStatus.FIXES, "not affected: all 2 pass, 1 do not apply"),
        (["LOOP", "PASS", "ERROR"], ExitStatus.NOT_FIXED, "affected: anon-reuse LOOP"),
        (["PASS", "INVALID", "PASS"], ExitStatus.UNDECIDED, "undecided: thp-reuse INVALID"),
    ],
)
def test_is_my_kernel_affected(outcomes: list[str], status: ExitStatus, words: str) -> None:
    assert job._affected([record("cortex-a57", *outcomes)]) == (status, words)


def test_a_splat_outside_any_path_affects_a_kernel() -> None:
    clean = record("cortex-a57", "PASS", "PASS", "PASS")
    noisy = replace(clean, boot_splats=(Splat("warning", "WARNING: at x", "", 1),))
    assert job._affected([noisy])[0] is ExitStatus.NOT_FIXED


def test_a_base_that_does_not_boot_is_the_users_with_its_trace(tmp_path: Path) -> None:
    dead = replace(
        record("cortex-a76", "SPLAT", "SPLAT", "SPLAT"),
        booted=False,
        boot_splats=(Splat("panic", "Kernel panic", "Kernel panic - not syncing: x\nCall trace:", 1),),
    )
    with pytest.raises(UserError, match=r"6\.1\.192 .* does not boot on cortex-a76: why") as caught:
        job._check_boots([record("cortex-a57", "PASS", "PASS", "PASS"), dead], built(Series(), tmp_path))
    assert "Call trace" in caught.value.detail


def test_a_patched_kernel_that_does_not_boot_is_judged(tmp_path: Path) -> None:
    dead = replace(record("cortex-a57", "SPLAT", "SPLAT", "SPLAT", variant="patched"), booted=False)
    job._check_boots([record("cortex-a57", "PASS", "PASS", "PASS"), dead], built(Series(), tmp_path))


@pytest.fixture
def base(tmp_path: Path) -> BuiltKernel:
    """A base kernel with a source tree of its own."""
    made = built(Series(), tmp_path)
    return replace(made, kernel=replace(made.kernel, tree=tmp_path))


def share_asids(tree: Path, text: str) -> None:
    source = tree / "drivers/iommu/arm/arm-smmu-v3/arm-smmu-v3-sva.c"
    source.parent.mkdir(parents=True)
    source.write_text(text)


def test_controls_are_for_what_loops_on_the_base(base: BuiltKernel) -> None:
    share_asids(base.kernel.tree, "static struct x *\narm_smmu_share_asid(struct mm_struct *mm, u16 asid)\n")
    records = [
        record("cortex-a57", "LOOP", "STALE", "PASS"),
        record("cortex-a76", "PASS", "PASS", "PASS"),
        record("cortex-a76", "LOOP", "LOOP", "LOOP", variant="patched"),
    ]
    off, btm = controls.jobs(records, base, SETUPS, WORKLOADS)
    assert (off.name, off.setup.iotlb, off.setup.btm) == ("base-iotlb-off/cortex-a57", 0, "off")
    assert (btm.name, btm.setup.iotlb, btm.setup.btm) == ("base-btm/cortex-a57", 65536, "force")
    for control in (off, btm):
        assert [w.path for w in control.workloads] == ["anon-reuse", "thp-reuse"]


@pytest.mark.parametrize("text", ["no such function", None])
def test_btm_is_no_control_where_the_smmu_has_asids_of_its_own(base: BuiltKernel, text: str | None) -> None:
    if text is not None:
        share_asids(base.kernel.tree, text)
    (off,) = controls.jobs([record("cortex-a57", "LOOP", "PASS", "PASS")], base, SETUPS, WORKLOADS)
    assert off.setup.iotlb == 0


class Runner:
    """Its guests of the base loop on ``looping``, the others pass."""

    def __init__(self, looping: set[str]) -> None:
        self.looping, self.ran, self.rounds = looping, 0, list[list[str]]()

    def run(self, jobs: Sequence[GuestJob], where: Path, **_: object) -> list[GuestRecord]:
        found = []
        for one in jobs:
            (where / one.name).mkdir(parents=True)  # as a guest's logs: not twice
            bad = self.looping if one.variant == "base" else set()
            results = tuple(
                PathResult(w.path, one.setup.name, Outcome.LOOP if w.path in bad else Outcome.PASS)
                for w in one.workloads
            )
            found.append(GuestRecord(one.variant, one.setup.name, results, "POWEROFF"))
        self.rounds.append([f"{one.name}: {' '.join(w.path for w in one.workloads)}" for one in jobs])
        return found


@pytest.mark.parametrize("looping", [{"anon-reuse"}, {"anon-reuse", "thp-reuse"}, set()])
@pytest.mark.parametrize("at_once", [1, 2])
def test_an_idle_cpu_runs_the_control_that_is_expected(
    base: BuiltKernel, tmp_path: Path, looping: set[str], at_once: int
) -> None:
    """And where the base does not as expected, that control is forgotten, and the right one is run."""
    expect = {"6.1": Outcome.LOOP}
    workloads = tuple(replace(w, expect=expect if w.path == "anon-reuse" else {}) for w in WORKLOADS)
    runner, where = Runner(looping), tmp_path / "results"
    shop = SimpleNamespace(progress=Progress(tmp_path / "timings.json", quiet=True))
    request = job.Request(guests_at_once=at_once)
    records = job._guests(runner, request, shop, where, (base, None), SETUPS[:1], workloads)  # type: ignore[arg-type]
    control = [f"base-iotlb-off/cortex-a57: {' '.join(sorted(looping))}"] if looping else []
    assert [[r.path for r in rec.results] for rec in records[1:]] == ([sorted(looping)] if looping else [])
    first = ["base/cortex-a57: anon-reuse thp-reuse unmapped"]
    if at_once == 1:
        assert runner.rounds == ([first, control] if control else [first])
    else:
        ahead = ["base-iotlb-off/cortex-a57: anon-reuse"]
        assert runner.rounds == ([[*first, *ahead], control] if control not in ([], ahead) else [[*first, *ahead]])
    assert (where / "base-iotlb-off/cortex-a57").is_dir() == bool(control)


def test_one_run_has_one_kernel() -> None:
    assert job.one_kernel(SETUPS) == SETUPS[0]
    for other in ({"page_kib": 64}, {"kasan": True}, {"debug": True}, {"contpte": False}):
        with pytest.raises(UserError, match=r"cortex-a57 \(4k sva lockdep\), .*, big \(.*\); run them one"):
            job.one_kernel([*SETUPS, replace(SETUPS[0], name="big", **other)])  # type: ignore[arg-type]


CONFIG = "\n".join(
    f"{name}=y" for name in ("CONFIG_ARM_SMMU_V3", "CONFIG_ARM_SMMU_V3_SVA", "CONFIG_PCI_PASID", "CONFIG_PCI_ATS")
)
PROBED = "[    3.2] arm-smmu-v3 9050000.smmuv3: ias 44-bit, oas 44-bit (features 0x000a8f07)"


@pytest.mark.parametrize(
    ("console", "config", "setup", "words"),
    [
        ([PROBED], CONFIG.replace("CONFIG_ARM_SMMU_V3_SVA=y", ""), SETUPS[0], "CONFIG_ARM_SMMU_V3_SVA"),
        ([PROBED], CONFIG, replace(SETUPS[0], ssidsize=0), "SSIDSIZE"),
        ([PROBED], CONFIG, replace(SETUPS[0], stall="off"), "stall=off"),
        ([PROBED], CONFIG, replace(SETUPS[0], oas=40), "PARange"),
        ([], CONFIG, SETUPS[0], "did not probe"),
        ([PROBED, "[ 4.0] sva_testdev 0000:00:02.0: no PASID"], CONFIG, SETUPS[0], "no PASID"),
        ([PROBED], CONFIG, SETUPS[0], "did not load"),
        ([PROBED.replace("ias 44-bit, ", "")], CONFIG, SETUPS[0], "did not load"),
    ],
)
def test_why_there_is_no_sva(console: list[str], config: str, setup: Setup, words: str) -> None:
    assert words in sva.diagnose(console, config, setup)
