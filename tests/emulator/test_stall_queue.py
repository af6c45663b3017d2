# SPDX-License-Identifier: GPL-2.0-or-later
"""Stalls while the event queue is not writable: they wait, and nothing is lost (IHI 0070 3.12.2, 7.2.1, 7.4)."""

from __future__ import annotations

from .conftest import MachineMaker
from .layout import EVENTQ, UNMAPPED
from .smmu import (
    CMDQEN,
    CR0,
    EVENTQ_BASE,
    EVENTQ_BITS,
    EVENTQ_CONS,
    EVENTQ_PROD,
    EVENTQEN,
    GERROR,
    GERROR_EVENTQ_ABT_ERR,
    GERRORN,
    OVERFLOW,
    SMMUEN,
)
from .testdev import FAILED, NO_PASID, Do, St, TestDevice
from .world import PAGE, SSID, VA, World

NO_EVENTQ = SMMUEN | CMDQEN
ALL_ON = SMMUEN | EVENTQEN | CMDQEN


def fill_event_queue(world: World) -> int:
    """With records of terminated accesses; how many."""
    for _ in range(1 << EVENTQ_BITS):
        assert world.read(ssid=NO_PASID) == FAILED
    return 1 << EVENTQ_BITS


def test_full_queue_delays_the_record_of_a_stall_and_is_no_overflow(world: World) -> None:
    """7.4: only what is discarded overflows."""
    full = fill_event_queue(world)
    world.engine.start(Do.READ, VA, SSID)
    world.engine.wait_stalls(1)
    stats = world.stats()
    assert (stats["stalls-unrecorded"], stats["events-lost"]) == (1, 0)
    assert not world.smmu.read(EVENTQ_PROD) & OVERFLOW
    world.smmu.consume(full)
    world.engine.wait_stalls(2)
    event = world.smmu.pop_event()
    assert (event.stall, event.ssid) == (True, SSID)
    world.map()
    assert world.finish(event) == St.DONE


def test_stalls_get_their_records_one_by_one_as_the_queue_drains(world: World) -> None:
    full = fill_event_queue(world)
    for n in range(3):
        world.dev.engines[n].start(Do.READ, VA + n * PAGE, SSID)
        world.dev.engines[n].wait_stalls(1)
    seen = []
    world.smmu.consume(full - 1)
    for left in (3, 2, 1):
        world.machine.until("a record", lambda: world.smmu.event_count > 1)
        assert world.stats()["stalls-outstanding"] == left
        world.smmu.consume()
        event = world.smmu.peek_event()
        seen.append(event.addr)
        world.smmu.resume(event, retry=False)
    assert sorted(seen) == [VA + n * PAGE for n in range(3)]


def test_disabled_queue_delays_the_record(world: World) -> None:
    world.smmu.write(CR0, NO_EVENTQ)
    world.engine.start(Do.READ, VA, SSID)
    world.engine.wait_stalls(1)
    assert world.stats()["stalls-unrecorded"] == 1
    world.smmu.write(CR0, ALL_ON)
    world.engine.wait_stalls(2)
    assert world.smmu.pop_event().stall


def test_access_that_no_longer_faults_when_the_queue_is_writable_just_completes(world: World) -> None:
    """7.2.1: it is retried, and no event is recorded."""
    world.smmu.write(CR0, NO_EVENTQ)
    world.engine.start(Do.READ, VA, SSID)
    world.engine.wait_stalls(1)
    world.map()
    world.smmu.write(CR0, ALL_ON)
    assert world.engine.wait() == St.DONE
    assert world.smmu.event_count == 0


def test_stall_without_record_cannot_be_resumed(world: World) -> None:
    """No STAG was told; every one is tried that a record could have had so far."""
    recorded = world.stall(Do.READ, engine=1)
    world.smmu.write(CR0, NO_EVENTQ)
    world.engine.start(Do.READ, VA + PAGE, SSID)
    world.engine.wait_stalls(1)
    for stag in {0, recorded.stag + 1}:
        if stag != recorded.stag:
            world.smmu.resume_raw(world.dev.sid, stag)
    assert world.stats()["stalls-outstanding"] == 2


def test_stall_term_ends_stalls_without_record_too(world: World) -> None:
    world.smmu.write(CR0, NO_EVENTQ)
    world.engine.start(Do.READ, VA, SSID)
    world.engine.wait_stalls(1)
    world.smmu.stall_term(world.dev.sid)
    assert world.engine.wait() == FAILED
    world.smmu.write(CR0, ALL_ON)
    assert world.smmu.event_count == 0


def test_unacknowledged_queue_abort_delays_the_record(world: World) -> None:
    """7.2.1, 7.2.2: not writable until GERRORN says that software knows."""
    world.smmu.write(CR0, NO_EVENTQ)
    world.smmu.write64(EVENTQ_BASE, UNMAPPED | EVENTQ_BITS)
    world.smmu.write(CR0, ALL_ON)
    assert world.read(ssid=NO_PASID) == FAILED
    assert world.smmu.read(GERROR) & GERROR_EVENTQ_ABT_ERR
    world.smmu.write(CR0, NO_EVENTQ)
    world.smmu.write64(EVENTQ_BASE, EVENTQ | EVENTQ_BITS)
    world.smmu.write(CR0, ALL_ON)
    world.engine.start(Do.READ, VA, SSID)
    world.engine.wait_stalls(1)
    assert world.smmu.event_count == 0
    world.smmu.write(GERRORN, GERROR_EVENTQ_ABT_ERR)
    world.engine.wait_stalls(2)
    assert world.smmu.pop_event().stall


def test_no_more_than_stall_max_stalls_are_recorded(start: MachineMaker) -> None:
    """6.3.6 STALL_MAX, 3.12.2.3: the rest wait like accesses that have not arrived."""
    machine = start(devices=[{"addr": "2.0", "engines": 240}, {"addr": "3.0", "engines": 240}])
    world = World.build(machine)
    second = TestDevice(machine, 3)
    world.smmu.set_ste(second.sid, s1cdmax=6)
    bits = 9
    world.smmu.write(CR0, NO_EVENTQ)
    world.smmu.write64(EVENTQ_BASE, EVENTQ | bits)
    world.smmu.write(CR0, ALL_ON)
    engines = (world.dev.engines + second.engines)[:257]
    for engine in engines:
        engine.start(Do.READ, VA, SSID)
    engines[-1].wait_stalls(1)
    stats = world.stats()
    assert (stats["stalls-outstanding"], stats["stalls-unrecorded"]) == (257, 1)
    assert world.smmu.read(EVENTQ_PROD) == 256
    world.map()
    world.smmu.resume(world.smmu.peek_event())
    assert engines[0].wait() == St.DONE
    assert engines[-1].wait() == St.DONE


def test_event_queue_register_alias_is_the_same_register(world: World) -> None:
    """The model makes page 1 an alias of page 0, for which the retry must not differ."""
    full = fill_event_queue(world)
    world.engine.start(Do.READ, VA, SSID)
    world.engine.wait_stalls(1)
    world.smmu.write(EVENTQ_CONS & 0xFFFF, full)
    world.engine.wait_stalls(2)
