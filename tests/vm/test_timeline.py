# SPDX-License-Identifier: GPL-2.0-or-later
"""What a run keeps of a path: a loop is a staircase, and its mending a step, with all in the right order."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness import timeline
from harness.timeline import Kind, Source
from tests.vm.command import ROOT, faultloop

FIX = ROOT / "patches" / "linux" / "6.1-fix-fault-paths.patch"
MENDED = [Kind.STALL, Kind.HANDLER, Kind.FUNCTION, Kind.NOTIFIER, Kind.INVALIDATION, Kind.RETRY]


def kinds(path: timeline.PathTimeline) -> list[Kind]:
    """In order; functions in a row are one."""
    found = [event.kind for event in path.events]
    return [kind for n, kind in enumerate(found) if kind is not Kind.FUNCTION or found[n - 1] is not kind]


def test_the_staircase_and_the_step(tmp_path: Path) -> None:
    words = ("--setup", "cortex-a57", "--workloads", "anon-reuse", "--json")
    called = faultloop("test-patch", FIX, *words, results=tmp_path)
    assert called.status == 0, called.stderr
    base, patched = (timeline.load(tmp_path / "latest" / side / "cortex-a57") for side in ("base", "patched"))

    loop = base.paths["anon-reuse"]
    rounds = [event for event in loop.events if event.source is not Source.GUEST]
    assert [e.kind for e in rounds] == [Kind.STALL, Kind.RETRY] * 50 + [Kind.GAVE_UP]
    assert sum(event.kind is Kind.HANDLER for event in loop.events) == 50
    assert not {Kind.NOTIFIER, Kind.INVALIDATION} & set(kinds(loop)), "nobody is told"
    before, after = loop.views
    assert (before.means.split(",")[0], after.means.split(",")[0]) == ("read-only", "writable")
    assert (before.iotlb, after.iotlb) == ("r-,level=3,granule=4096",) * 2, "it stays stale"

    step = patched.paths["anon-reuse"]
    assert kinds(step) == MENDED and step.lost == 0
    assert step.views[-1].iotlb == "rw,level=3,granule=4096"
    for one in (base, patched):
        assert one.clock.offset_ns is not None and 0 < one.clock.uncertainty_ns < 200_000
        assert "the counter is the virtual clock" in one.clock.how

    exported = faultloop("trace", "--export", tmp_path / "latest", results=tmp_path)
    files = sorted(Path(line).name for line in exported.stdout.splitlines())
    assert exported.status == 0 and {"trace-base-cortex-a57.json", "trace-patched-cortex-a57.json"} <= set(files)
    trace = json.loads((tmp_path / "latest" / "trace-base-cortex-a57.json").read_text())
    assert sum(record["ph"] == "b" for record in trace["traceEvents"]) == 50


@pytest.mark.long
@pytest.mark.parametrize("kernel", ["6.1", "7.3"])
def test_a_trace_has_more_functions(kernel: str, tmp_path: Path) -> None:
    called = faultloop("trace", "munmap", "--kernel", kernel, results=tmp_path)
    assert called.status == 0, called.stderr
    for word in ("notifier callback", "arm_smmu_cmdq_issue_cmdlist()", "CMD_TLBI_NH_VA", "OUTCOME  munmap PASS"):
        assert word in called.stdout, called.stdout
    assert len(list(tmp_path.glob("*/trace-base-cortex-a57.json"))) == 1
