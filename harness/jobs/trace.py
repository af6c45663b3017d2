# SPDX-License-Identifier: GPL-2.0-or-later
"""``faultloop trace``: one path with more of the kernel's functions probed, as a table and for Perfetto."""

from __future__ import annotations

import re
from pathlib import Path

from harness import layout, timeline, whole
from harness.errors import UserError
from harness.jobs import guests
from harness.jobs.base import base_of
from harness.jobs.guests import GuestJob
from harness.jobs.records import load
from harness.jobs.results import RunFolder
from harness.jobs.workshop import Workshop
from harness.model import Series, Setup, Workload
from harness.report import chrome
from harness.sources import catalogue
from harness.sources.patch_input import Given
from harness.timeline import Traced

MOST_EVENTS = 4000

FUNCTIONS = (
    # the SMMU driver: a fault comes, and is answered
    "arm_smmu_handle_evt",
    "iommu_queue_iopf",
    "iommu_report_device_fault",
    "handle_mm_fault address=%x1",
    "iommu_page_response",
    "iopf_group_response",
    "arm_smmu_page_response",
    # the page table
    "__ptep_set_access_flags address=%x1",
    "huge_ptep_set_access_flags address=%x1",
    "pmdp_set_access_flags address=%x1",
    "ptep_clear_flush address=%x1",
    # whoever is told of it
    "__mmu_notifier_invalidate_range start=%x1 end=%x2",
    "__mmu_notifier_invalidate_range_start",
    "__mmu_notifier_invalidate_range_end",
    "__mmu_notifier_arch_invalidate_secondary_tlbs start=%x1 end=%x2",
    # what the driver makes of it
    "arm_smmu_tlb_inv_range_asid",
    "arm_smmu_domain_inv_range",
    "arm_smmu_tlb_inv_asid",
    "arm_smmu_cmdq_issue_cmdlist",
)
"""Symbol and arguments, as kprobe_events takes them; those that a kernel does not have are left out."""


def trace(
    shop: Workshop, *, workload: str, kernel: str, patches: tuple[str, ...], setup: str, accel: str, results: Path
) -> Traced:
    """Boot, run one path, merge what was recorded, write it for Perfetto."""
    path = one_path(workload)
    chosen = catalogue.setups(layout.project().setups, setup, accel=accel)[0]
    given = shop.patches(patches, version=None, tree="") if patches else Given(Series())
    base = base_of(given, shop, asked=kernel, tree="").kernel
    emulator, image = shop.emulator, shop.guest_image
    built = shop.variant(base, given.series, setup=chosen)
    variant = "patched" if patches else "base"
    job = GuestJob(variant, built, chosen, (path,), also=FUNCTIONS, most_events=MOST_EVENTS)
    folder = RunFolder(results, f"trace {path.path}")
    with folder.open() as where, shop.progress.step("guest") as step:
        guests.record(job, emulator, image, where / job.name)
        step.note = path.path
        record = load(where / job.name)
        found = timeline.load(where / job.name)
        about = _about(built.release, variant, chosen)
        name = _file(variant, chosen.name)
        kept = folder.keep_files(lambda at: whole.write(at / name, chrome.dump(found, about=about)))
    result = record.results[0]
    return Traced(
        path=path.path,
        kernel=built.release,
        variant=variant,
        setup=chosen.name,
        outcome=str(result.outcome),
        reason=result.reason,
        timeline=found,
        exported=kept / name,
    )


def export(run: Path) -> tuple[Path, ...]:
    """``trace-<variant>-<setup>.json`` for each guest of a run, in its folder."""
    found = sorted({logs.parent.parent for logs in run.glob(f"*/*/boot-*/{timeline.FILE}")})
    if not found:
        raise UserError(f"{run}: no run with timelines (results/<run>; those of older versions have none)")
    written = []
    for guest in found:
        variant, setup = guest.parent.name, guest.name
        about = {"run": run.resolve().name, "variant": variant, "setup": setup}
        target = run / _file(variant, setup)
        whole.write(target, chrome.dump(timeline.load(guest), about=about))
        written.append(target)
    return tuple(written)


def one_path(name: str) -> Workload:
    """The path of that name; UserError when it is not one."""
    rows = catalogue.workloads(layout.project().workloads, name)
    if not name or len(rows) != 1:
        what = f"{len(rows)} paths" if name else "no path"
        raise UserError(f"'{name}' names {what}: name one (`make workloads` lists them)")
    return rows[0]


def _about(release: str, variant: str, setup: Setup) -> dict[str, str]:
    return {"kernel": release, "variant": variant, "setup": setup.name}


def _file(variant: str, setup: str) -> str:
    return f"trace-{re.sub(r'[^A-Za-z0-9._-]', '_', variant)}-{re.sub(r'[^A-Za-z0-9._-]', '_', setup)}.json"
