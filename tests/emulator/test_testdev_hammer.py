# SPDX-License-Identifier: GPL-2.0-or-later
"""sva-testdev: the hammer, which goes on in virtual time until it is told to stop."""

from __future__ import annotations

import pytest

from .audit import audit
from .layout import DATA
from .pagetable import RO
from .testdev import (
    ABORT,
    ABORTS,
    ACCESSES,
    BAD_ACCESS,
    BAD_ADDR,
    BAD_COUNT,
    BAD_HOW,
    BAD_VALUE,
    DATA2,
    EXPECT,
    FAILED,
    FAULT_ADDR,
    MAX_STALLS,
    PERIOD_NS,
    STEP,
    STOP,
    Bad,
    Do,
    Engine,
    Expect,
    St,
    pattern,
)
from .world import ASID, PAGE, SSID, VA, World

SEED = 77
PAGES = 4
WORDS = PAGES * PAGE // 8
PERIOD = 20_000


@pytest.fixture
def hammered(world: World) -> World:
    """Four pages, that hold the pattern."""
    for page in range(PAGES):
        world.map(VA + page * PAGE, DATA + page * PAGE)
    assert world.engine.run(Do.FILL, VA, SSID, PAGES * PAGE, SEED) == St.DONE
    return world


def start(world: World, do: Do = Do.HAMMER_READ, expect: Expect = Expect.PATTERN, order: int = 1) -> Engine:
    engine = world.engine
    engine.put(EXPECT, expect)
    engine.put64(DATA2, order)
    engine.start(do, VA, SSID, PAGES * PAGE, SEED)
    world.machine.until("an access", lambda: engine.get64(ACCESSES) == 1 or bool(engine.stalls))
    return engine


def tick(world: World, count: int = 1, period: int = PERIOD) -> None:
    """One more access each."""
    for _ in range(count):
        before = world.engine.get64(ACCESSES)
        world.machine.qtest.clock_step(period)
        world.machine.until("an access", lambda n=before: world.engine.get64(ACCESSES) == n + 1)  # type: ignore[misc]


def stop(world: World) -> St:
    world.engine.put(STOP, 1)
    return world.engine.wait()


def test_hammer_goes_on_with_the_virtual_clock_until_it_is_stopped(hammered: World) -> None:
    engine = start(hammered)
    assert engine.status == St.BUSY
    tick(hammered, 20)
    hammered.machine.qtest.clock_step(PERIOD - 1)
    for _ in range(20):
        assert engine.get64(ACCESSES) == 21
    hammered.machine.qtest.clock_step(1)
    hammered.machine.until("an access", lambda: engine.get64(ACCESSES) == 22)
    assert stop(hammered) == St.DONE
    hammered.machine.qtest.clock_step(10 * PERIOD)
    assert engine.get64(ACCESSES) == 22
    assert [engine.get(r) for r in (BAD_COUNT, BAD_HOW, ABORTS)] == [0, 0, 0]


def test_period_is_a_register(hammered: World) -> None:
    hammered.engine.put(PERIOD_NS, 7)
    start(hammered)
    tick(hammered, 3, period=7)
    assert stop(hammered) == St.DONE


def written(world: World, order: int) -> list[int]:
    """The words that 12 accesses of a writer touch, in their order."""
    for page in range(PAGES):
        world.machine.qtest.command(f"memset {DATA + page * PAGE:#x} {PAGE:#x} 0")
    start(world, Do.HAMMER_WRITE, order=order)
    seen: list[int] = []
    for _ in range(12):
        data = world.machine.qtest.read(DATA, PAGES * PAGE)
        words = [int.from_bytes(data[8 * n : 8 * n + 8], "little") for n in range(WORDS)]
        assert all(word in (0, pattern(VA + 8 * n, SEED)) for n, word in enumerate(words))
        seen += [n for n, word in enumerate(words) if word and n not in seen]
        tick(world)
    assert stop(world) == St.DONE
    return seen


def test_order_is_that_of_the_seed(hammered: World) -> None:
    first, again, other = (written(hammered, order) for order in (1, 1, 2))
    assert first == again != other
    assert len(set(first)) > 8
    assert sorted(first) != first
    assert len({n * 8 // PAGE for n in first + other}) >= PAGES - 1


def test_read_of_another_value_is_recorded(hammered: World) -> None:
    hammered.machine.qtest.command(f"memset {DATA:#x} {PAGES * PAGE:#x} 0x5a")
    engine = start(hammered)
    tick(hammered, 2)
    assert stop(hammered) == St.DONE | St.MISMATCH
    assert [engine.get(r) for r in (BAD_COUNT, BAD_HOW)] == [3, Bad.VALUE]
    assert engine.get64(BAD_ACCESS) == 0
    assert engine.get64(BAD_VALUE) == 0x5A5A_5A5A_5A5A_5A5A
    assert VA <= engine.get64(BAD_ADDR) < VA + PAGES * PAGE


@pytest.mark.parametrize("expect", [Expect.ANY, Expect.DONE])
def test_other_values_are_fine_if_no_pattern_is_expected(hammered: World, expect: Expect) -> None:
    hammered.machine.qtest.command(f"memset {DATA:#x} {PAGES * PAGE:#x} 0x5a")
    start(hammered, expect=expect)
    assert stop(hammered) == St.DONE


def refuse(world: World) -> None:
    """Faults are terminated from now on."""
    for page in range(PAGES):
        world.table.unmap(VA + page * PAGE)
    world.smmu.tlbi_nh_asid(ASID)
    world.set_cd(SSID, world.context().but(s=False))
    world.smmu.cfgi_cd(world.dev.sid, SSID)


@pytest.mark.parametrize(
    ("expect", "how"),
    [(Expect.ANY, 0), (Expect.DONE, Bad.ABORTED), (Expect.PATTERN, Bad.ABORTED), (Expect.ABORT, 0)],
)
def test_abort_does_not_end_it_and_may_be_expected(hammered: World, expect: Expect, how: int) -> None:
    engine = start(hammered, expect=Expect.ANY)
    engine.put(EXPECT, expect)
    refuse(hammered)
    tick(hammered, 3)
    assert stop(hammered) == (St.DONE | St.MISMATCH if how else St.DONE)
    assert [engine.get(r) for r in (ABORTS, BAD_HOW, BAD_COUNT)] == [3, how, 3 if how else 0]
    assert engine.get64(BAD_ACCESS) == (1 if how else 0)


def test_access_that_should_have_been_refused_is_recorded(hammered: World) -> None:
    """EXPECT may change while it runs: what a test does when the page is gone."""
    engine = start(hammered)
    tick(hammered, 4)
    for page in range(PAGES):
        hammered.table.unmap(VA + page * PAGE)
    engine.put(EXPECT, Expect.ABORT)
    tick(hammered)
    assert stop(hammered) == St.DONE | St.MISMATCH
    assert (engine.get(BAD_HOW), engine.get64(BAD_ACCESS)) == (Bad.DONE, 5)
    addr = engine.get64(BAD_ADDR)
    assert engine.get64(BAD_VALUE) == pattern(addr, SEED)


def test_stalled_hammer_goes_on_where_it_was(hammered: World) -> None:
    for page in range(PAGES):
        hammered.map(VA + page * PAGE, DATA + page * PAGE, RO)
    hammered.smmu.tlbi_nh_asid(ASID)
    engine = start(hammered, Do.HAMMER_WRITE)
    event = hammered.smmu.pop_event()
    assert event.addr == engine.get64(FAULT_ADDR)
    hammered.machine.qtest.clock_step(100 * PERIOD)
    assert (engine.get64(ACCESSES), engine.stalls) == (0, 1)
    for page in range(PAGES):
        hammered.map(VA + page * PAGE, DATA + page * PAGE)
    hammered.smmu.resume(event)
    hammered.machine.until("the access", lambda: engine.get64(ACCESSES) == 1)
    tick(hammered, 2)
    assert stop(hammered) == St.DONE


def test_stop_waits_for_the_access_that_is_stalled(hammered: World) -> None:
    refuse(hammered)
    hammered.set_cd(SSID, hammered.context())
    hammered.smmu.cfgi_cd(hammered.dev.sid, SSID)
    engine = start(hammered)
    engine.put(STOP, 1)
    assert engine.busy
    for page in range(PAGES):
        hammered.map(VA + page * PAGE, DATA + page * PAGE)
    assert hammered.finish(hammered.smmu.pop_event()) == St.DONE
    assert engine.get64(ACCESSES) == 1


def test_stalled_hammer_gives_up_at_its_bound(hammered: World) -> None:
    refuse(hammered)
    hammered.set_cd(SSID, hammered.context())
    hammered.smmu.cfgi_cd(hammered.dev.sid, SSID)
    engine = hammered.engine
    start(hammered)
    event = hammered.retry(hammered.smmu.pop_event())
    engine.put(ABORT, 1)
    assert engine.status == FAILED
    engine.start(Do.HAMMER_READ, VA, SSID, PAGES * PAGE, SEED, max_stalls=1)
    engine.wait_stalls(1)
    assert engine.get(MAX_STALLS) == 1
    assert hammered.finish(hammered.smmu.pop_event()) == FAILED | St.GAVE_UP
    assert event.addr >= VA


@pytest.mark.parametrize("step", [False, True])
def test_hammer_can_be_dropped(hammered: World, step: bool) -> None:
    hammered.engine.put(STEP, step)
    engine = hammered.engine
    engine.start(Do.HAMMER_READ, VA, SSID, PAGES * PAGE, SEED)
    if step:
        hammered.machine.until("the pause", lambda: St.PAUSED in engine.status)
        assert engine.get64(ACCESSES) == 0
    engine.put(ABORT, 1)
    assert engine.status == FAILED
    hammered.machine.qtest.clock_step(10 * PERIOD)
    assert engine.status == FAILED


def test_paused_hammer_can_be_stopped(hammered: World) -> None:
    hammered.engine.put(STEP, 1)
    hammered.engine.start(Do.HAMMER_READ, VA, SSID, PAGES * PAGE, SEED)
    hammered.machine.until("the pause", lambda: St.PAUSED in hammered.engine.status)
    assert stop(hammered) == St.DONE


@pytest.mark.parametrize("value", [4, 0xFFFF_FFFF])
def test_unknown_expectation_is_bad_programming(hammered: World, value: int) -> None:
    engine = start(hammered, expect=Expect.DONE)
    engine.put(EXPECT, value)
    assert engine.get(EXPECT) == Expect.DONE
    assert stop(hammered) == St.DONE | St.BAD_PROGRAMMING


def test_hammers_side_by_side_leave_the_machine_responsive(hammered: World) -> None:
    """They share the main loop with QMP, other engines and the audit."""
    for index, engine in enumerate(hammered.dev.engines[:4]):
        engine.put(PERIOD_NS, 1)
        engine.put64(DATA2, index)
        engine.put(EXPECT, Expect.PATTERN)
        engine.start(Do.HAMMER_READ if index & 1 else Do.HAMMER_WRITE, VA, SSID, PAGES * PAGE, SEED)
    for _ in range(50):
        hammered.machine.qtest.clock_step(1)
        assert audit(hammered.machine) == []
    assert hammered.dev.engines[5].run(Do.VERIFY, VA, SSID, PAGES * PAGE, SEED) == St.DONE
    for engine in hammered.dev.engines[:4]:
        engine.put(STOP, 1)
        assert engine.wait() == St.DONE
        assert engine.get64(ACCESSES) > 5
