# SPDX-License-Identifier: GPL-2.0-or-later
"""sva-testdev: whatever a guest writes into its registers, QEMU lives, and the device works after a reset."""

from __future__ import annotations

import random

import pytest

from .layout import DATA
from .pagetable import RO, RW
from .testdev import RESET, Do, St
from .world import OTHER, PAGE, SSID, VA, World

WRITES = 1500
PAGES = 8


def values(rng: random.Random) -> int:
    """Values that registers make sense of, and others."""
    return rng.choice(
        [
            *(0, 1, 2, 3, 8, 64, PAGE, 0xFFFF_FFFF, rng.getrandbits(32)),
            *(SSID, OTHER, rng.randrange(11), VA & 0xFFFF_FFFF, VA >> 32, VA + PAGE - 4 & 0xFFFF_FFFF),
        ]
    )


def offset(rng: random.Random) -> int:
    """A register of the device, or more often of one of two engines."""
    if rng.random() < 0.2:
        return rng.randrange(0, 0x100, 4)
    return 0x1000 + rng.randrange(2) * 0x100 + rng.randrange(0, 0xA0, 4)


@pytest.mark.parametrize("seed", range(4))
def test_random_writes_do_no_harm(world: World, seed: int) -> None:
    rng = random.Random(seed)
    for page in range(PAGES):
        world.map(VA + page * PAGE, DATA + page * PAGE, RW if page & 1 else RO)
    for number in range(WRITES):
        world.dev.put(offset(rng), values(rng))
        if not number % 50:
            world.machine.qtest.clock_step(20_000)
        while world.smmu.event_count and rng.random() < 0.5:
            event = world.smmu.pop_event()
            if event.stall:
                world.smmu.resume(event, retry=rng.random() < 0.5)
    world.dev.put(RESET, 1)
    assert world.stats()["stalls-outstanding"] == 0
    world.dev.configure()
    world.smmu.consume(world.smmu.event_count, ack_overflow=True)
    world.smmu.tlbi_nsnh_all()
    world.map()
    for engine in world.dev.engines[:2]:
        engine.put(0x88, 0)
        engine.put(0x34, 0)
        assert engine.run(Do.WRITE, VA, SSID, 8, 0x600D) == St.DONE
    assert world.peek(DATA) == 0x600D
