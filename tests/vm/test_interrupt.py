# SPDX-License-Identifier: GPL-2.0-or-later
"""Interrupted in any phase: the right status, and no process, half-written entry or folder left behind."""

from __future__ import annotations

import signal
from pathlib import Path
from uuid import uuid4

import pytest

from harness.model import BuiltKernel
from tests.leftovers import Command, Place, alive, below, nothing_left, wait, wait_for

_SECONDS = 120.0

PATCH = """\
--- a/drivers/iommu/arm/arm-smmu-v3/arm-smmu-v3-sva.c
+++ b/drivers/iommu/arm/arm-smmu-v3/arm-smmu-v3-sva.c
@@ -1,4 +1,5 @@
 // SPDX-License-Identifier: GPL-2.0
+// {mark}
 /*
  * Implementation of the IOMMU SVA API for the ARM SMMUv3
  */
"""


def check_ended(command: Command, place: Place, status: int) -> None:
    assert command.end(_SECONDS).status == status
    assert not place.results.exists() or list(place.results.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_while_guests_run(base_kernel: BuiltKernel, tmp_path: Path, number: signal.Signals) -> None:
    with nothing_left(tmp_path) as place:
        command = place.start("run", "--fresh", until="2 guests")
        wait_for("qemu-system-aar")
        command.process.send_signal(number)
        check_ended(command, place, 128 + number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_while_a_kernel_is_built(base_kernel: BuiltKernel, tmp_path: Path, number: signal.Signals) -> None:
    patch = tmp_path / "x.patch"
    patch.write_text(PATCH.format(mark=uuid4()))
    with nothing_left(tmp_path) as place:
        command = place.start("test-patch", patch, until="patched kernel")
        wait_for("make")
        command.process.send_signal(number)
        check_ended(command, place, 128 + number)


def test_while_the_catalogue_is_checked(base_kernel: BuiltKernel, tmp_path: Path) -> None:
    with nothing_left(tmp_path) as place:
        command = place.start("catalogue", "--fresh", "6.1-fix-fault-paths", until="4 guests")
        wait_for("qemu-system-aar")
        command.process.send_signal(signal.SIGINT)
        check_ended(command, place, 130)


def test_killed_while_guests_run(base_kernel: BuiltKernel, tmp_path: Path) -> None:
    """Nothing can be cleaned up then, but no guest may outlive the harness, and the next run sweeps the rest."""
    with nothing_left(tmp_path) as place:
        command = place.start("run", "--fresh", until="2 guests")
        wait_for("qemu-system-aar")
        command.process.kill()
        command.process.wait(_SECONDS)
        wait(lambda: not any(map(alive, below())), "something outlives the harness", 20)
        (left,) = place.results.iterdir()
        assert left.name.startswith(".partial-")
        assert place.run("run", "--setup", "cortex-a57", "--workloads", "anon-reuse").status == 1
        assert not left.exists()


def test_a_second_ctrl_c_changes_nothing(base_kernel: BuiltKernel, tmp_path: Path) -> None:
    with nothing_left(tmp_path) as place:
        command = place.start("run", "--fresh", until="2 guests")
        wait_for("qemu-system-aar")
        command.process.send_signal(signal.SIGINT)
        command.process.send_signal(signal.SIGINT)
        check_ended(command, place, 130)
