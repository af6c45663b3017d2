# SPDX-License-Identifier: GPL-2.0-or-later
"""What is known to mend a path that loops: our patches, and the upstream commit."""

from __future__ import annotations

from dataclasses import replace

from harness.jobs.mended import mended, series_of
from harness.layout import project
from harness.model import GuestRecord
from harness.sources import catalogue
from tests.unit import runs

WORKLOADS = catalogue.workloads(project().workloads)
COMMIT = "upstream 6bbd42e2df8f"


def record(**outcomes: str) -> GuestRecord:
    results = tuple(runs.result(path.replace("_", "-"), outcome) for path, outcome in outcomes.items())
    return GuestRecord("base", "cortex-a57", results, "POWEROFF")


def test_what_loops_is_mended_by_our_patches_and_upstream() -> None:
    found = mended(runs.KERNEL, WORKLOADS, [record(anon_reuse="LOOP", munmap="STALE", shmem_clean="PASS")])
    assert set(found) == {"anon-reuse"}
    assert found["anon-reuse"].startswith("our 6.1-fix-fault-paths, ")
    assert COMMIT in found["anon-reuse"]


def test_a_patch_that_leaves_a_path_is_not_named_for_it() -> None:
    found = mended(runs.KERNEL, WORKLOADS, [record(anon_reuse="LOOP", shmem_clean="LOOP")])
    assert "6.1-incomplete" not in found["anon-reuse"]


def test_a_kernel_that_has_the_commit_is_not_told_of_it() -> None:
    new = replace(runs.KERNEL, name="newest", version="7.3.4")
    assert not mended(new, WORKLOADS, [record(anon_reuse="LOOP")])


def test_each_path_that_loops_has_its_commit() -> None:
    for workload in WORKLOADS:
        loops = {series for series, o in workload.expect.items() if o.bad and not workload.unmended}
        assert set(workload.mended) == loops, workload.path


def test_series() -> None:
    assert [series_of(v) for v in ("6.1.192", "6.12", "7.4-rc1", "7.4.0-rc1")] == ["6.1", "6.12", "7.4", "7.4"]
