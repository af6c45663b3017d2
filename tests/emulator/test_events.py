# SPDX-License-Identifier: GPL-2.0-or-later
"""The event queue: overflow and aborts (IHI 0070 7.2, 7.4)."""

from __future__ import annotations

from .layout import EVENTQ, UNMAPPED
from .smmu import (
    CMDQEN,
    CR0,
    EVENTQ_BASE,
    EVENTQ_BITS,
    EVENTQ_PROD,
    EVENTQEN,
    GERROR,
    GERROR_EVENTQ_ABT_ERR,
    GERRORN,
    OVERFLOW,
    SMMUEN,
    Ev,
)
from .testdev import FAILED, NO_PASID, Do
from .world import PAGE, VA, World

ROOM = 1 << EVENTQ_BITS
NO_EVENTQ = SMMUEN | CMDQEN


def record(world: World, count: int) -> None:
    """Cause events of accesses that do not stall."""
    for n in range(count):
        assert world.read(VA + n * PAGE, NO_PASID) == FAILED


def test_event_without_substream_says_so(world: World) -> None:
    event = world.fault(Do.WRITE)
    assert (event.type, event.sid, event.ssv, event.ssid) == (Ev.F_TRANSLATION, world.dev.sid, False, 0)
    assert (event.stall, event.stag, event.rnw) == (False, 0, False)


def test_overflow_toggles_ovflg_and_is_no_global_error(world: World) -> None:
    """7.4."""
    record(world, ROOM)
    assert not world.smmu.read(EVENTQ_PROD) & OVERFLOW
    record(world, 1)
    assert world.smmu.read(EVENTQ_PROD) & OVERFLOW
    assert not world.smmu.read(GERROR) & GERROR_EVENTQ_ABT_ERR
    stats = world.stats()
    assert (stats["events"], stats["events-lost"]) == (ROOM, 1)


def test_records_before_an_overflow_stay_as_they_are(world: World) -> None:
    record(world, ROOM + 3)
    assert [world.smmu.peek_event(n).addr for n in range(ROOM)] == [VA + n * PAGE for n in range(ROOM)]


def test_unacknowledged_overflow_is_not_toggled_back(world: World) -> None:
    """7.4: there is one condition, until OVACKFLG follows."""
    record(world, ROOM + 2)
    assert world.smmu.read(EVENTQ_PROD) & OVERFLOW
    assert world.stats()["events-lost"] == 2


def test_events_are_recorded_again_before_overflow_is_acknowledged(world: World) -> None:
    """7.4; and the producer index keeps OVFLG while it moves on."""
    record(world, ROOM + 1)
    world.smmu.consume(ROOM)
    record(world, 2)
    assert world.smmu.event_count == 2
    assert world.smmu.read(EVENTQ_PROD) & OVERFLOW


def test_next_overflow_after_acknowledgement_toggles_again(world: World) -> None:
    record(world, ROOM + 1)
    world.smmu.consume(ROOM, ack_overflow=True)
    record(world, ROOM + 1)
    assert not world.smmu.read(EVENTQ_PROD) & OVERFLOW
    assert world.stats()["events-lost"] == 2


def test_disabled_queue_loses_events_without_overflow(world: World) -> None:
    """7.4: EVENTQEN == 0."""
    record(world, ROOM)
    world.smmu.write(CR0, NO_EVENTQ)
    record(world, 1)
    assert not world.smmu.read(EVENTQ_PROD) & OVERFLOW
    assert world.stats()["events-lost"] == 1


def test_aborted_write_is_a_global_error_and_stops_the_queue(world: World) -> None:
    """7.2.2, and 7.2.1: nothing is written until the error is acknowledged."""
    world.smmu.write(CR0, NO_EVENTQ)
    world.smmu.write64(EVENTQ_BASE, UNMAPPED | EVENTQ_BITS)
    world.smmu.write(CR0, NO_EVENTQ | EVENTQEN)
    record(world, 1)
    assert world.smmu.read(GERROR) & GERROR_EVENTQ_ABT_ERR
    assert world.smmu.event_count == 0
    world.smmu.write(CR0, NO_EVENTQ)
    world.smmu.write64(EVENTQ_BASE, EVENTQ | EVENTQ_BITS)
    world.smmu.write(CR0, NO_EVENTQ | EVENTQEN)
    record(world, 1)
    assert world.smmu.event_count == 0
    world.smmu.write(GERRORN, GERROR_EVENTQ_ABT_ERR)
    record(world, 1)
    assert world.smmu.event_count == 1
    assert world.stats()["events-lost"] == 2


def test_each_event_is_counted_under_its_name(world: World) -> None:
    record(world, 1)
    world.set_cd(5, world.context().but(valid=False))
    world.fault(Do.READ, VA, 5)
    world.fault(Do.READ, VA, 64)
    world.fault(Do.READ, VA, 0)
    stats = world.stats()
    named = {name: value for name, value in stats.items() if name.startswith("event-") and value}
    assert named == {
        "event-f-translation": 1,
        "event-c-bad-cd": 1,
        "event-c-bad-substreamid": 1,
        "event-f-stream-disabled": 1,
    }
    assert stats["events"] == 4
