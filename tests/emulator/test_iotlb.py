# SPDX-License-Identifier: GPL-2.0-or-later
"""The IOTLB: a hit is final, faults are not cached, and what its size does (IHI 0070 3.17, 3.21.1, 16.2)."""

from __future__ import annotations

import pytest

from .conftest import MachineMaker
from .layout import DATA
from .pagetable import G4K, NOT_GLOBAL, RO, RW, USER
from .smmu import Ev
from .testdev import FULL_FLUSHES, HIT_PERM_FAULTS, NOTHING, Do, Probe, St
from .world import ASID, OTHER, PAGE, SSID, SVA, VA, World

DEFAULT_SIZE = 256


def sized(start: MachineMaker, size: int | None) -> World:
    """The world with an IOTLB of ``size`` entries."""
    smmu = SVA if size is None else {**SVA, "iotlb-size": size}
    return World.build(start(smmu=smmu))


def fill(world: World, first: int, count: int) -> None:
    """Cache ``count`` pages from page ``first`` on: one command, one access a page."""
    for page in range(first, first + count):
        world.map(VA + page * PAGE, DATA + page * PAGE)
    assert world.read(VA + first * PAGE, length=count * PAGE) == St.DONE


def cached(world: World, pages: range) -> list[int]:
    return [page for page in pages if world.dev.probe(VA + page * PAGE, SSID).cached]


def test_write_faults_on_a_cached_read_only_entry_without_a_walk(world: World) -> None:
    """The loop: the table has become writable, the entry has not, and no retry can tell (3.21.1)."""
    world.map(attributes=RO)
    assert world.read() == St.DONE
    event = world.stall(Do.WRITE, data=0x57A7)
    world.map(attributes=RW)
    before = world.stats()
    for _ in range(20):
        event = world.retry(event)
        assert event.type == Ev.F_PERMISSION
    after = world.stats()
    assert after["iotlb-misses"] == before["iotlb-misses"]
    assert after["iotlb-inserts"] == before["iotlb-inserts"]
    assert after["iotlb-hits"] == before["iotlb-hits"] + 20
    assert after["iotlb-hit-perm-faults"] == before["iotlb-hit-perm-faults"] + 20
    assert world.dev.get64(HIT_PERM_FAULTS) == after["iotlb-hit-perm-faults"]
    world.smmu.tlbi_nh_va(ASID, VA)
    assert world.finish(event) == St.DONE
    assert world.peek(DATA) == 0x57A7


def test_read_modify_write_faults_on_a_cached_read_only_entry_as_a_write(world: World) -> None:
    world.map(attributes=RO)
    assert world.read() == St.DONE
    event = world.stall(Do.FETCH_ADD)
    assert (event.type, event.rnw) == (Ev.F_PERMISSION, False)


def test_entry_is_used_after_its_page_is_unmapped(world: World) -> None:
    """Until it is invalidated: that is what STALE means."""
    world.map()
    world.poke(DATA, 0x57A1E)
    assert world.read() == St.DONE
    world.table.unmap(VA)
    assert world.read() == St.DONE
    assert world.engine.data == 0x57A1E
    world.smmu.tlbi_nh_va(ASID, VA)
    assert world.stall(Do.READ).type == Ev.F_TRANSLATION


@pytest.mark.parametrize(
    ("descriptor", "type_"),
    [(0, Ev.F_TRANSLATION), (DATA | USER | NOT_GLOBAL | 3, Ev.F_ACCESS)],
    ids=["translation", "access-flag"],
)
def test_translation_and_access_flag_faults_are_not_cached(world: World, descriptor: int, type_: Ev) -> None:
    """Arm ARM D8 "Caching of translation table entries": no invalidation is due when they are mended."""
    world.map()
    world.table.set(VA, descriptor)
    event = world.stall(Do.READ)
    assert event.type == type_
    assert world.dev.probe(VA, SSID) == NOTHING
    world.map()
    assert world.finish(event) == St.DONE


def test_walk_that_ends_in_a_permission_fault_is_not_cached(world: World) -> None:
    """A choice of the model; an implementation may cache it (docs/emulator.md)."""
    world.map(attributes=RO)
    event = world.stall(Do.WRITE)
    assert world.dev.probe(VA, SSID) == NOTHING
    world.map(attributes=RW)
    assert world.finish(event) == St.DONE


def test_block_is_one_entry(world: World) -> None:
    world.map(VA, DATA, RW, level=2)
    assert world.read(VA, length=64 * PAGE) == St.DONE
    stats = world.stats()
    assert (stats["iotlb-inserts"], stats["iotlb-hits"], stats["iotlb-entries"]) == (1, 63, 1)


def test_entries_are_of_one_asid(world: World) -> None:
    world.map(pa=DATA)
    world.other.map(VA, DATA + PAGE)
    world.poke(DATA + PAGE, 0x07E)
    assert world.read(ssid=SSID) == St.DONE
    assert world.read(ssid=OTHER) == St.DONE
    assert world.engine.data == 0x07E
    assert world.stats()["iotlb-entries"] == 2


def test_probe_tells_what_is_cached_and_changes_nothing(world: World) -> None:
    world.map(attributes=RO)
    world.map(VA + PAGE, DATA + PAGE, RW)
    assert world.read(VA, length=2 * PAGE) == St.DONE
    before = world.stats()
    assert world.dev.probe(VA, SSID) == Probe(True, True, False, 3, G4K.shift)
    assert world.dev.probe(VA + 0x123, SSID) == Probe(True, True, False, 3, G4K.shift)
    assert world.dev.probe(VA + PAGE, SSID) == Probe(True, True, True, 3, G4K.shift)
    assert world.dev.probe(VA + 2 * PAGE, SSID) == NOTHING
    assert world.dev.probe(VA, OTHER) == NOTHING
    assert world.stats() == before
    assert world.smmu.event_count == 0


def test_probe_needs_no_cached_configuration_and_caches_none(world: World) -> None:
    world.map()
    assert world.read() == St.DONE
    world.smmu.cfgi_cd_all(world.dev.sid)
    assert world.dev.probe(VA, SSID).cached
    world.set_cd(SSID, world.context().but(valid=False))
    assert world.dev.probe(VA, SSID) == NOTHING
    world.config_error()


def test_probe_of_nonsense_finds_nothing_and_records_nothing(world: World) -> None:
    for addr, ssid in ((VA, 63), (VA, 1 << 30), (0xFFFF_0000_0000_0000, SSID), (2**64 - 1, SSID)):
        assert world.dev.probe(addr, ssid) == NOTHING
    world.smmu.write(0x20, 0)
    assert world.dev.probe(VA, SSID) == NOTHING
    assert world.smmu.event_count == 0


def test_size_0_walks_for_each_access(start: MachineMaker) -> None:
    world = sized(start, 0)
    world.map(attributes=RO)
    for _ in range(3):
        assert world.read() == St.DONE
    stats = world.stats()
    assert (stats["iotlb-hits"], stats["iotlb-misses"], stats["iotlb-entries"]) == (0, 3, 0)
    assert world.dev.probe(VA, SSID) == NOTHING
    event = world.stall(Do.WRITE)
    world.map(attributes=RW)
    assert world.finish(event) == St.DONE
    world.table.unmap(VA)
    assert world.stall(Do.READ).type == Ev.F_TRANSLATION
    stats = world.stats()
    assert (stats["iotlb-hits"], stats["iotlb-hit-perm-faults"]) == (0, 0)
    assert (stats["iotlb-evictions"], stats["iotlb-full-flushes"]) == (0, 0)


@pytest.mark.parametrize("size", [1, 4])
def test_full_iotlb_evicts_its_oldest_entry_only(start: MachineMaker, size: int) -> None:
    world = sized(start, size)
    fill(world, 0, size)
    assert world.stats()["iotlb-evictions"] == 0
    fill(world, size, 1)
    stats = world.stats()
    assert (stats["iotlb-entries"], stats["iotlb-evictions"], stats["iotlb-full-flushes"]) == (size, 1, 0)
    assert cached(world, range(size + 1)) == list(range(1, size + 1))
    assert world.dev.get64(FULL_FLUSHES) == 1


def test_invalidated_entry_makes_room(start: MachineMaker) -> None:
    world = sized(start, 4)
    fill(world, 0, 4)
    world.smmu.tlbi_nh_va(ASID, VA + 2 * PAGE)
    fill(world, 4, 1)
    assert world.stats()["iotlb-evictions"] == 0
    assert cached(world, range(5)) == [0, 1, 3, 4]
    fill(world, 5, 1)
    assert cached(world, range(6)) == [1, 3, 4, 5]


def test_default_size_flushes_everything_as_stock_qemu_does(start: MachineMaker) -> None:
    world = sized(start, None)
    fill(world, 0, DEFAULT_SIZE)
    stats = world.stats()
    assert (stats["iotlb-size"], stats["iotlb-entries"]) == (DEFAULT_SIZE, DEFAULT_SIZE)
    assert stats["iotlb-full-flushes"] == 0
    fill(world, DEFAULT_SIZE, 1)
    stats = world.stats()
    assert (stats["iotlb-entries"], stats["iotlb-full-flushes"], stats["iotlb-evictions"]) == (1, 1, 0)
    assert world.dev.get64(FULL_FLUSHES) == 1


def test_larger_iotlb_holds_more(start: MachineMaker) -> None:
    world = sized(start, 4096)
    fill(world, 0, 2 * DEFAULT_SIZE)
    stats = world.stats()
    assert stats["iotlb-entries"] == 2 * DEFAULT_SIZE
    assert (stats["iotlb-evictions"], stats["iotlb-full-flushes"]) == (0, 0)


def test_reset_empties_the_iotlb_and_keeps_the_counters(world: World) -> None:
    """3.16 says nothing of caches on reset; Linux invalidates all anyway."""
    world.map()
    assert world.read() == St.DONE
    before = world.stats()
    world.machine.qmp("system_reset")
    world.machine.until("the reset", lambda: world.smmu.read(0x20) == 0)
    after = world.stats()
    assert after["iotlb-entries"] == 0
    assert {k: v for k, v in after.items() if k != "iotlb-entries"} == {
        k: v for k, v in before.items() if k != "iotlb-entries"
    }
