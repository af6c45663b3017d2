# SPDX-License-Identifier: GPL-2.0-or-later
"""The guest's driver and the device behind it, on a real kernel: `workloads --selftest`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.model import BuiltKernel, Emulator, GuestImage, Setup
from harness.oracle import ktap, splat
from harness.vm.machine import Guest, GuestSpec

SETUP = Setup(name="cortex-a57", cpu="cortex-a57")


@pytest.fixture
def spec(emulator: Emulator, base_kernel: BuiltKernel, guest_image: GuestImage) -> GuestSpec:
    return GuestSpec.of(emulator, base_kernel, guest_image, SETUP)


def test_driver_and_device_do_what_they_are_told(spec: GuestSpec, tmp_path: Path) -> None:
    """Each point of the self-test; and its sync points reach whoever listens to QMP."""
    with Guest(spec, tmp_path) as guest:
        done = guest.run(["/faultloop/workloads", "--selftest"])
    found = ktap.parse(done.stdout.splitlines())
    assert [point.name for point in found.points if not point.ok] == []
    assert (done.status, len(found.points)) == (0, found.plan)
    assert not found.problems
    messages = [json.loads(line.split(maxsplit=2)[2]) for line in (tmp_path / "qmp.log").read_text().splitlines()]
    syncs = [message["data"] for message in messages if message.get("event") == "SVA_TESTDEV_SYNC"]
    assert [(sync["number"], sync["count"]) for sync in syncs] == [(1, 1), (1, 2)]
    assert syncs[0]["time"] < syncs[1]["time"]
    lines = (tmp_path / "console.log").read_text(encoding="utf-8", errors="replace").splitlines()
    assert splat.find(lines) == []
