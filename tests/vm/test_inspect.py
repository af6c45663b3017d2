# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest stops where a path goes wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import GuestError
from harness.jobs.workshop import Workshop
from harness.model import BuiltKernel
from harness.vm.inspect import LOOP, STALE, InspectedGuest, Stop
from harness.vm.machine import GuestSpec
from harness.vm.spec import CommandResult
from tests.vm.command import ROOT

HOLD = ("/faultloop/workloads", "--hold")


def spec(shop: Workshop, built: BuiltKernel) -> GuestSpec:
    from harness.sources import catalogue

    setup = catalogue.setups(ROOT / "setups.yaml", "cortex-a57")[0]
    return GuestSpec.of(shop.emulator, built, shop.guest_image, setup)


@pytest.mark.long
def test_it_stops_at_the_loop_and_not_where_all_is_well(
    shop: Workshop, base_kernel: BuiltKernel, tmp_path: Path
) -> None:
    with InspectedGuest(spec(shop, base_kernel), tmp_path) as guest:
        passed = guest.run_to_stop([*HOLD, "munmap"])
        assert isinstance(passed, CommandResult) and passed.status == 0, passed
        stop = guest.run_to_stop([*HOLD, "anon-reuse"])
        assert isinstance(stop, Stop) and stop.what == LOOP and stop.address is not None
        assert 0x5A00000000 <= stop.address < 0x5B00000000
        stalls = guest.counters()["stalls"]
        (tmp_path / "again").mkdir()
        assert guest.counters()["stalls"] == stalls, "nothing goes on"
        with pytest.raises(GuestError):
            guest.run(["true"])


@pytest.mark.long
def test_it_stops_at_a_stale_translation(shop: Workshop, tmp_path: Path) -> None:
    """A driver that is deaf to notifications leaves what munmap() took away."""
    given = shop.patches([str(ROOT / "patches" / "linux" / "7.3-deaf-driver.patch")], version=None, tree="")
    built = shop.variant(shop.kernel("7.3"), given.series)
    with InspectedGuest(spec(shop, built), tmp_path) as guest:
        assert guest.run_to_stop([*HOLD, "munmap"]) == Stop(STALE, None)
