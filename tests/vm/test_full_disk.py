# SPDX-License-Identifier: GPL-2.0-or-later
"""The disk is full all of a sudden, in each phase: one message that says so, nothing half made, then it goes on.

Two disks: the cache's and that of the results. Each call is made on what the one before has left, with room again.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.jobs.workshop import Workshop
from tests import leftovers
from tests.leftovers import Host, Place
from tests.vm import at, debian_mirror, miniature, own_cache, small_disk
from tests.vm.command import Called, outcomes

pytestmark = [pytest.mark.long, small_disk.needs_root]

WORDS = ("--base", "6.1", "--setup", "cortex-a57", "--workloads", "anon-reuse", "--json")

CACHE_FULL = {
    "the index is read": "harness.sources.debian:run~update",
    "the package is fetched": "harness.sources.debian:run~download-file",
    "the package is unpacked": "harness.build.sandbox:_stream~dpkg-deb",
    "the source is unpacked": "harness.build.sandbox:_stream~--no-same-owner",
    "the source goes into the cache": "harness.build.cache:_write_manifest~/sources/",
    "the base is built": "harness.build.compile_log:is_object~.o",
    "the image is taken out": "harness.build.products:keep",
    "the base goes into the cache": "harness.build.cache:_write_manifest~/kernels/",
    "the driver is built": "harness.build.sandbox:_stream~M=/build/driver",
    "the patched kernel is built": "harness.build.objects:Start.lay_out",
}
RESULTS_FULL = {
    "a guest starts": "harness.vm.machine:Guest._start",
    "a workload runs": "harness.vm.machine:Guest._relay",
    "a record is written": "harness.jobs.guests:_one_boot",
    "the reports are written": "harness.jobs.report:write",
}


def refused(called: Called, phase: str, disk: Path) -> None:
    told = f"{phase}\n{called.stderr}"
    assert called.status == 4, told
    assert "Traceback" not in called.stderr and called.stdout == "", told
    (message,) = [line for line in called.stderr.splitlines() if line.startswith("faultloop:")]
    assert "no space left" in message.lower() and str(disk) in message, told


def test_full_in_each_phase_and_called_again(shop: Workshop, tmp_path: Path) -> None:
    cache, results = tmp_path / "cache", tmp_path / "results"
    ready = own_cache.make(tmp_path / "ready", shop)
    debian_mirror.ask_again(ready)
    tarball = miniature.of(shop).tarball(tmp_path)
    with (
        debian_mirror.serve(tmp_path, tarball) as mirror,
        small_disk.disks(cache, results, entries=ready) as disks,
        leftovers.reaper(),
    ):
        place = Place(tmp_path, disks.seen(cache))
        place.temporary.mkdir()
        before = Host.now(place)

        def call(*behind: str, mark: str = "one") -> Called:
            return place.run(
                "test-patch",
                miniature.patch(tmp_path, mark),
                *WORDS,
                behind=[*disks.behind, *mirror.trusted(), *behind],
                **{**mirror.environment, "FAULTLOOP_CACHE": str(cache)},
            )

        for disk, phases in ((cache, CACHE_FULL), (results, RESULTS_FULL)):
            for phase, where in phases.items():
                refused(call(*at.behind(where, small_disk.fill(disk))), phase, disk)
                disks.clear(disk)
                assert Host.now(place).beyond(before) == [], phase
        called = call()
        assert called.status == 0, called.stderr
        assert outcomes(called.run, "patched") == {("anon-reuse", "cortex-a57"): "PASS"}
        assert Host.now(place).beyond(before) == []
        # What is only kept for later is not worth the run: it ends, and says what it could not keep.
        for disk, where, said in (
            (cache, "harness.build.cache:_write_manifest~/records/", "note: patched/cortex-a57 will be run again"),
            (results, "harness.jobs.history:remember", "note: this run is not in the history"),
        ):
            called = call(*at.behind(where, small_disk.fill(disk)), mark="two")
            disks.clear(disk)
            assert called.status == 0 and said in called.stderr, called.stderr
