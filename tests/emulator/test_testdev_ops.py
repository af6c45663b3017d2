# SPDX-License-Identifier: GPL-2.0-or-later
"""sva-testdev: compare-and-swap, copy, pattern, primer, single-step, and the last fault."""

from __future__ import annotations

import pytest

from .layout import DATA, UNMAPPED
from .pagetable import RO
from .smmu import Ev
from .testdev import (
    ABORT,
    ABORTED,
    ACCESSES,
    BAD_ACCESS,
    BAD_ADDR,
    BAD_COUNT,
    BAD_HOW,
    BAD_VALUE,
    BYTES_DONE,
    DATA2,
    FAILED,
    FAULT_ADDR,
    FAULT_HOW,
    FAULT_TIME,
    FAULT_WRITE,
    GO,
    RESET,
    RETRIES,
    STALLED,
    STATUS,
    STEP,
    STOP,
    Bad,
    Do,
    St,
    pattern,
)
from .world import PAGE, SSID, VA, World

BAD_PROGRAM = FAILED | St.BAD_PROGRAMMING
SEED = 0xF00D


@pytest.fixture
def mapped(world: World) -> World:
    """16 pages, writable; their frames in reverse order."""
    for page in range(16):
        world.map(VA + page * PAGE, DATA + (15 - page) * PAGE)
    return world


def at(va: int) -> int:
    """Where :func:`mapped` put it."""
    page, offset = divmod(va - VA, PAGE)
    return DATA + (15 - page) * PAGE + offset


def cas(world: World, expected: int, new: int, va: int = VA) -> St:
    world.engine.put64(DATA2, expected)
    return world.engine.run(Do.COMPARE_SWAP, va, SSID, 0, new)


def copy(world: World, source: int, target: int, length: int) -> St:
    world.engine.put64(DATA2, target)
    return world.engine.run(Do.COPY, source, SSID, length)


# Compare and swap


def test_compare_and_swap_swaps_what_is_equal_only(mapped: World) -> None:
    mapped.poke(at(VA), 0x1111)
    assert cas(mapped, 0x2222, 0x3333) == St.DONE
    assert (mapped.engine.data, mapped.peek(at(VA))) == (0x1111, 0x1111)
    assert cas(mapped, 0x1111, 0x3333) == St.DONE
    assert (mapped.engine.data, mapped.peek(at(VA))) == (0x1111, 0x3333)
    assert mapped.engine.get(BYTES_DONE) == 8


def test_compare_and_swap_is_a_write_even_if_it_will_not_swap(world: World) -> None:
    """7.3: RnW = 0 of a read-modify-write."""
    world.map(attributes=RO)
    world.poke(DATA, 0x1111)
    world.engine.put64(DATA2, 0x2222)
    event = world.stall(Do.COMPARE_SWAP, data=0x3333)
    assert (event.type, event.rnw) == (Ev.F_PERMISSION, False)
    world.map()
    assert world.finish(event) == St.DONE
    assert world.engine.data == 0x1111


def test_compare_and_swap_is_aligned(mapped: World) -> None:
    assert cas(mapped, 0, 1, VA + 4) == BAD_PROGRAM


# Copy


@pytest.mark.parametrize(
    ("source", "target", "length"), [(0, 4, 8), (0x123, 0x5FFF, 2 * PAGE + 5), (4 * PAGE, 0, PAGE)]
)
def test_copy_of_any_alignment(mapped: World, source: int, target: int, length: int) -> None:
    qtest = mapped.machine.qtest
    if target < source + length and source < target + length:
        target += 8 * PAGE
    data = bytes(n * 11 + 3 & 0xFF for n in range(length))
    for n, byte in enumerate(data):
        qtest.command(f"writeb {at(VA + source + n):#x} {byte:#x}")
    assert copy(mapped, VA + source, VA + target, length) == St.DONE
    found = bytes(int(qtest.command(f"readb {at(VA + target + n):#x}")[0], 16) for n in range(length))
    assert found == data
    assert mapped.engine.get(BYTES_DONE) == length
    assert mapped.engine.get64(ACCESSES) % 2 == 0


def test_copy_writes_what_it_read_before_it_was_stalled(world: World) -> None:
    """The data are in the device: a write that is retried does not read again."""
    world.map()
    world.poke(DATA, 0xB4)
    world.engine.put64(DATA2, VA + PAGE)
    event = world.stall(Do.COPY)
    assert (event.addr, event.rnw) == (VA + PAGE, False)
    world.poke(DATA, 0xAF7)
    world.map(VA + PAGE, DATA + PAGE)
    assert world.finish(event) == St.DONE
    assert world.peek(DATA + PAGE) == 0xB4


def test_copy_reads_as_a_read(world: World) -> None:
    world.map(VA + PAGE, DATA + PAGE)
    world.engine.put64(DATA2, VA + PAGE)
    event = world.stall(Do.COPY)
    assert (event.addr, event.rnw) == (VA, True)
    world.engine.put(ABORT, 1)
    assert world.engine.get(BYTES_DONE) == 0


@pytest.mark.parametrize(
    ("source", "target", "length"),
    [
        (VA, VA + 15, 16),
        (VA + 15, VA, 16),
        (VA, VA, 1),
        (VA, VA + PAGE, 0),
        (VA, 2**64 - 4, 8),
        (2**64 - 4, VA, 8),
    ],
)
def test_copy_that_overlaps_or_wraps_is_bad_programming(
    mapped: World, source: int, target: int, length: int
) -> None:
    assert copy(mapped, source, target, length) == BAD_PROGRAM


def test_copy_that_touches_does_not_overlap(mapped: World) -> None:
    assert copy(mapped, VA, VA + 16, 16) == St.DONE


# Pattern


def test_fill_tags_each_word_with_its_address(mapped: World) -> None:
    assert mapped.engine.run(Do.FILL, VA + 8, SSID, 2 * PAGE, SEED) == St.DONE
    for va in (VA + 8, VA + PAGE - 8, VA + PAGE, VA + 2 * PAGE):
        assert mapped.peek(at(va)) == pattern(va, SEED)
    assert mapped.peek(at(VA)) == mapped.peek(at(VA + 2 * PAGE + 8)) == 0


def test_verify_finds_the_first_and_counts_all(mapped: World) -> None:
    assert mapped.engine.run(Do.FILL, VA, SSID, 3 * PAGE, SEED) == St.DONE
    assert mapped.engine.run(Do.VERIFY, VA, SSID, 3 * PAGE, SEED) == St.DONE
    assert [mapped.engine.get(r) for r in (BAD_COUNT, BAD_HOW)] == [0, 0]
    mapped.poke(at(VA + PAGE + 16), 0xBAD)
    mapped.poke(at(VA + 3 * PAGE - 8), 0xBAD2)
    assert mapped.engine.run(Do.VERIFY, VA, SSID, 3 * PAGE, SEED) == St.DONE | St.MISMATCH
    assert mapped.engine.get64(BAD_ADDR) == VA + PAGE + 16
    assert mapped.engine.get64(BAD_VALUE) == 0xBAD
    assert mapped.engine.get64(BAD_ACCESS) == 1
    assert [mapped.engine.get(r) for r in (BAD_COUNT, BAD_HOW)] == [2, Bad.VALUE]
    assert mapped.engine.run(Do.VERIFY, VA, SSID, PAGE, SEED) == St.DONE
    assert mapped.engine.get64(BAD_ADDR) == mapped.engine.get(BAD_COUNT) == 0


def test_verify_tells_another_seed_and_another_page(mapped: World) -> None:
    """What a stale translation reads is the pattern of some other address."""
    assert mapped.engine.run(Do.FILL, VA, SSID, 2 * PAGE, SEED) == St.DONE
    assert mapped.engine.run(Do.VERIFY, VA, SSID, PAGE, SEED + 1) == St.DONE | St.MISMATCH
    mapped.map(VA, at(VA + PAGE))
    mapped.smmu.tlbi_nsnh_all()
    assert mapped.engine.run(Do.VERIFY, VA, SSID, PAGE, SEED) == St.DONE | St.MISMATCH
    assert mapped.engine.get64(BAD_VALUE) == pattern(VA + PAGE, SEED)
    assert mapped.engine.get(BAD_COUNT) == PAGE // 8


@pytest.mark.parametrize("do", [Do.FILL, Do.VERIFY, Do.HAMMER_READ, Do.HAMMER_WRITE])
@pytest.mark.parametrize(("va", "length"), [(VA + 4, 8), (VA, 12), (VA, 0), (2**64 - 8, 16)])
def test_pattern_is_of_whole_words(mapped: World, do: Do, va: int, length: int) -> None:
    assert mapped.engine.run(do, va, SSID, length) == BAD_PROGRAM


# Primer


def test_primer_caches_each_page_of_a_range(mapped: World) -> None:
    assert mapped.engine.run(Do.PRIME, VA + PAGE - 3, SSID, 4 * PAGE) == St.DONE
    cached = [page for page in range(16) if mapped.dev.probe(VA + page * PAGE, SSID).cached]
    assert cached == [0, 1, 2, 3, 4]
    assert mapped.engine.get64(ACCESSES) == 5
    assert mapped.engine.get(BYTES_DONE) == 4 * PAGE
    assert mapped.stats()["iotlb-misses"] == 5


def test_primer_faults_pages_in(mapped: World) -> None:
    mapped.table.unmap(VA + PAGE)
    mapped.engine.start(Do.PRIME, VA, SSID, 3 * PAGE)
    mapped.engine.wait_stalls(1)
    event = mapped.smmu.pop_event()
    assert (event.addr, event.rnw) == (VA + PAGE, True)
    mapped.map(VA + PAGE, DATA)
    assert mapped.finish(event) == St.DONE


# Single-step


def test_single_step_waits_before_each_access(mapped: World) -> None:
    engine = mapped.engine
    engine.put(STEP, 1)
    engine.start(Do.WRITE, VA, SSID, 4 * PAGE, 0x57E9)
    mapped.machine.until("the pause", lambda: St.PAUSED in engine.status)
    assert engine.get64(ACCESSES) == 0
    for done, go in ((1, 1), (3, 2)):
        engine.put(GO, go)
        mapped.machine.until("the pause", lambda: St.PAUSED in engine.status)
        assert engine.status == St.BUSY | St.PAUSED
        assert engine.get64(ACCESSES) == done
        assert engine.get(BYTES_DONE) == done * PAGE
        assert [bool(mapped.peek(at(VA + n * PAGE))) for n in range(4)] == [n < done for n in range(4)]
    engine.put(GO, 5)
    assert engine.wait() == St.DONE


def test_stalled_access_is_one_step(world: World) -> None:
    world.engine.put(STEP, 1)
    world.engine.start(Do.READ, VA, SSID, 2 * PAGE)
    world.machine.until("the pause", lambda: St.PAUSED in world.engine.status)
    world.engine.put(GO, 1)
    world.engine.wait_stalls(1)
    assert world.engine.status == St.BUSY
    world.map()
    world.smmu.resume(world.smmu.pop_event())
    world.machine.until("the pause", lambda: St.PAUSED in world.engine.status)
    assert world.engine.get(BYTES_DONE) == PAGE


def test_paused_command_can_be_dropped(mapped: World) -> None:
    mapped.engine.put(STEP, 1)
    mapped.engine.start(Do.READ, VA, SSID)
    mapped.machine.until("the pause", lambda: St.PAUSED in mapped.engine.status)
    mapped.engine.put(ABORT, 1)
    assert mapped.engine.status == FAILED
    mapped.engine.put(STEP, 0)
    assert mapped.read() == St.DONE


@pytest.mark.parametrize("register", [GO, STOP])
def test_go_and_stop_of_what_knows_them_not_are_bad_programming(world: World, register: int) -> None:
    event = world.stall(Do.READ)
    world.engine.put(register, 1)
    assert world.engine.status == St.BUSY | St.BAD_PROGRAMMING
    world.map()
    assert world.finish(event) == St.DONE | St.BAD_PROGRAMMING


def test_go_without_a_command_is_bad_programming(world: World) -> None:
    world.engine.put(GO, 1)
    assert world.engine.status == St.BAD_PROGRAMMING
    world.engine.put(STOP, 1)
    assert world.engine.status == St.BAD_PROGRAMMING


# The last fault


def test_last_fault_tells_where_how_and_when(world: World) -> None:
    engine = world.engine
    world.machine.qtest.clock_step(1000)
    event = world.stall(Do.WRITE)
    assert engine.get64(FAULT_ADDR) == VA
    assert (engine.get(FAULT_HOW), engine.get64(FAULT_TIME)) == (STALLED | FAULT_WRITE, 1000)
    world.machine.qtest.clock_step(500)
    world.smmu.resume(event, retry=False, abort=True)
    assert engine.wait() == FAILED
    assert (engine.get(FAULT_HOW), engine.get64(FAULT_TIME)) == (ABORTED | FAULT_WRITE, 1500)
    world.map()
    assert world.read() == St.DONE
    assert [engine.get64(r) for r in (FAULT_ADDR, FAULT_TIME)] == [0, 0]
    assert engine.get(FAULT_HOW) == 0


def test_memory_that_is_not_there_is_an_abort(world: World) -> None:
    world.map(pa=UNMAPPED)
    assert world.read() == FAILED
    assert world.engine.get(FAULT_HOW) == ABORTED


def test_last_fault_is_of_each_engine(world: World) -> None:
    first, second = world.dev.engines[:2]
    first.start(Do.READ, VA, SSID)
    first.wait_stalls(1)
    second.start(Do.WRITE, VA + PAGE, SSID)
    second.wait_stalls(1)
    assert [e.get64(FAULT_ADDR) for e in (first, second)] == [VA, VA + PAGE]
    assert [e.get(FAULT_HOW) for e in (first, second)] == [STALLED, STALLED | FAULT_WRITE]


@pytest.mark.parametrize("do", list(Do))
def test_reset_while_stalled_ends_each_command(world: World, do: Do) -> None:
    world.engine.put64(DATA2, VA + PAGE)
    world.engine.start(do, VA, SSID, 8)
    world.engine.wait_stalls(1)
    world.smmu.pop_event()
    world.dev.put(RESET, 1)
    assert world.engine.status == FAILED
    assert world.stats()["stalls-outstanding"] == 0
    world.map()
    assert world.read() == St.DONE
    assert world.engine.get(RETRIES) == 0
    assert world.engine.get(STATUS) == St.DONE


@pytest.mark.parametrize("do", [0, 11, 0xFFFF_FFFF])
def test_unknown_command_is_bad_programming(mapped: World, do: int) -> None:
    mapped.engine.put(0x20, do)
    assert mapped.engine.wait() == BAD_PROGRAM
