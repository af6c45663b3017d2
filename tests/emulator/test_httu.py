# SPDX-License-Identifier: GPL-2.0-or-later
"""Hardware update of translation tables (IHI 0070 3.13, 5.4 HA and HD; Arm ARM D8.5)."""

from __future__ import annotations

from pathlib import Path

import pytest

from .audit import audit
from .conftest import MachineMaker
from .cpu import Cpu, kernel
from .layout import DATA
from .pagetable import (
    ACCESSED,
    APTABLE_READ_ONLY,
    CLEAN,
    DIRTY_MODIFIER,
    G4K,
    G16K,
    G64K,
    NOT_GLOBAL,
    READ_ONLY,
    RO,
    RW,
    TABLE_OR_PAGE,
    USER,
    VALID,
    Context,
    Granule,
)
from .qtest import Options
from .smmu import Ev
from .testdev import NOTHING, PROBE_ADDR, Do, St, TestDevice
from .world import ASID, PAGE, SSID, SVA, VA, World

ACCESS: Options = {**SVA, "httu": "access"}
DIRTY: Options = {**SVA, "httu": "dirty"}
YOUNG = USER | NOT_GLOBAL
"""Attributes of a page that nobody has accessed yet."""


def build(start: MachineMaker, granule: Granule = G4K, smmu: Options = DIRTY, **fields: bool) -> World:
    """The world with CD.HA and CD.HD set for :data:`SSID`, or ``fields`` instead."""
    world = World.build(start(smmu=smmu), granule)
    context = world.context().but(**(fields or {"ha": True, "hd": True}))
    world.set_cd(SSID, context)
    return world


def descriptor(world: World, level: int = 3) -> int:
    return world.peek(world.table.entry(VA, level))


@pytest.mark.parametrize("do", [Do.READ, Do.WRITE, Do.FETCH_ADD])
def test_access_flag_is_set_in_memory(start: MachineMaker, do: Do) -> None:
    """3.13.2."""
    world = build(start, smmu=ACCESS, ha=True)
    world.map(attributes=YOUNG)
    before = descriptor(world)
    assert world.engine.run(do, VA, SSID) == St.DONE
    assert descriptor(world) == before | ACCESSED
    stats = world.stats()
    assert (stats["httu-access"], stats["httu-dirty"], stats["stalls"]) == (1, 0, 0)
    assert world.dev.probe(VA, SSID).cached


def test_access_flag_is_set_once_and_only_where_it_is_clear(start: MachineMaker) -> None:
    world = build(start)
    world.map()
    world.map(VA + PAGE, DATA + PAGE, YOUNG)
    for _ in range(3):
        assert world.read(VA, length=2 * PAGE) == St.DONE
    assert world.stats()["httu-access"] == 1


def test_ha_overrides_affd(start: MachineMaker) -> None:
    """3.13.1: AFFD is only relevant where HTTU is not used."""
    world = build(start, ha=True, affd=True)
    world.map(attributes=YOUNG)
    assert world.read() == St.DONE
    assert descriptor(world) & ACCESSED


def test_permission_fault_leaves_the_access_flag_alone(start: MachineMaker) -> None:
    """3.13.2: UNKNOWN; here it stays."""
    world = build(start)
    world.map(attributes=YOUNG | READ_ONLY)
    before = descriptor(world)
    assert world.stall(Do.WRITE).type == Ev.F_PERMISSION
    assert descriptor(world) == before


def test_without_ha_a_clear_access_flag_faults(start: MachineMaker) -> None:
    world = build(start, ha=False, hd=False)
    world.map(attributes=YOUNG)
    before = descriptor(world)
    assert world.stall(Do.READ).type == Ev.F_ACCESS
    assert descriptor(world) == before


@pytest.mark.parametrize("do", [Do.WRITE, Do.FETCH_ADD])
def test_write_makes_a_clean_page_dirty(start: MachineMaker, do: Do) -> None:
    """3.13.3: AP[2] is cleared, DBM stays, nothing faults."""
    world = build(start)
    world.map(attributes=CLEAN)
    before = descriptor(world)
    assert world.engine.run(do, VA, SSID, data=7) == St.DONE
    assert world.peek(DATA) == 7
    assert descriptor(world) == before & ~READ_ONLY
    assert descriptor(world) & DIRTY_MODIFIER
    stats = world.stats()
    assert (stats["httu-access"], stats["httu-dirty"], stats["events"]) == (0, 1, 0)
    assert world.dev.probe(VA, SSID).write


def test_write_sets_both_flags_in_one_update(start: MachineMaker) -> None:
    world = build(start)
    world.map(attributes=YOUNG | READ_ONLY | DIRTY_MODIFIER)
    assert world.write() == St.DONE
    assert descriptor(world) & (ACCESSED | READ_ONLY) == ACCESSED
    stats = world.stats()
    assert (stats["httu-access"], stats["httu-dirty"]) == (1, 1)


def test_read_of_a_clean_page_leaves_it_clean_and_caches_it_read_only(start: MachineMaker) -> None:
    world = build(start)
    world.map(attributes=CLEAN)
    before = descriptor(world)
    assert world.read() == St.DONE
    assert descriptor(world) == before
    probe = world.dev.probe(VA, SSID)
    assert (probe.read, probe.write) == (True, False)


def test_write_hit_on_a_cached_clean_entry_updates_the_descriptor_and_never_stalls(start: MachineMaker) -> None:
    """3.13.3: the entry says that it may become writable, so the hit is not final."""
    world = build(start)
    world.map(attributes=CLEAN)
    assert world.read() == St.DONE
    before = world.stats()
    assert world.write(data=0xD1) == St.DONE
    after = world.stats()
    assert not descriptor(world) & READ_ONLY
    assert world.peek(DATA) == 0xD1
    assert after["stalls"] == after["events"] == after["iotlb-hit-perm-faults"] == 0
    assert after["httu-dirty"] == 1
    assert after["iotlb-entries"] == before["iotlb-entries"], "one entry replaces the other"
    assert world.dev.probe(VA, SSID).write
    assert world.write(data=0xD2) == St.DONE
    assert world.stats()["httu-dirty"] == 1
    assert world.stats()["iotlb-inserts"] == after["iotlb-inserts"], "the second write is a plain hit"


def test_restrictive_entry_without_dbm_still_faults_from_the_cache(start: MachineMaker) -> None:
    """3.21.1: HTTU heals no forgotten invalidation of what was read-only."""
    world = build(start)
    world.map(attributes=RO)
    assert world.read() == St.DONE
    event = world.stall(Do.WRITE)
    for attributes in (RW, CLEAN):
        world.map(attributes=attributes)
        event = world.retry(event)
        assert event.type == Ev.F_PERMISSION
    assert world.stats()["iotlb-hit-perm-faults"] == 3
    world.smmu.tlbi_nh_va(ASID, VA)
    assert world.finish(event) == St.DONE


def test_cached_clean_entry_of_a_page_that_is_read_only_now_faults_by_its_walk(start: MachineMaker) -> None:
    """D8.5: the update needs the descriptor as it is, not as it was."""
    world = build(start)
    world.map(attributes=CLEAN)
    assert world.read() == St.DONE
    world.map(attributes=RO)
    before = descriptor(world)
    event = world.stall(Do.WRITE, engine=1)
    assert event.type == Ev.F_PERMISSION
    assert descriptor(world) == before
    assert world.stats()["iotlb-hit-perm-faults"] == 0
    assert world.read() == St.DONE, "reads still hit the entry"
    world.map()
    assert world.finish(event, engine=1) == St.DONE


def test_cached_clean_entry_of_a_page_that_is_gone_faults_on_write(start: MachineMaker) -> None:
    world = build(start)
    world.map(attributes=CLEAN)
    assert world.read() == St.DONE
    world.table.unmap(VA)
    assert world.stall(Do.WRITE, engine=1).type == Ev.F_TRANSLATION
    assert descriptor(world) == 0
    assert world.read() == St.DONE


@pytest.mark.parametrize("fields", [{"ha": True}, {"hd": True}, {"ha": False}], ids=["HA", "HD", "none"])
def test_without_ha_and_hd_a_clean_page_is_read_only(start: MachineMaker, fields: dict[str, bool]) -> None:
    """5.4 HA: HD alone does nothing."""
    world = build(start)
    world.set_cd(SSID, world.context().but(**fields))
    world.map(attributes=CLEAN)
    before = descriptor(world)
    assert world.read() == St.DONE
    event = world.stall(Do.WRITE)
    assert event.type == Ev.F_PERMISSION
    assert world.retry(event).type == Ev.F_PERMISSION
    assert world.stats()["iotlb-hit-perm-faults"] == 2
    assert descriptor(world) == before


def test_hd_alone_sets_no_access_flag(start: MachineMaker) -> None:
    """5.4 HA: 0b10 behaves as 0b00."""
    world = build(start, hd=True)
    world.map(attributes=YOUNG)
    assert world.stall(Do.READ).type == Ev.F_ACCESS


def test_aptable_read_only_makes_no_page_dirty(start: MachineMaker) -> None:
    """3.13.3.1: hierarchical permissions are none of HTTU's business."""
    world = build(start)
    world.table.map(VA, DATA, CLEAN, table_attributes=APTABLE_READ_ONLY)
    before = descriptor(world)
    assert world.stall(Do.WRITE, engine=1).type == Ev.F_PERMISSION
    assert world.read() == St.DONE
    assert world.stall(Do.WRITE, engine=2).type == Ev.F_PERMISSION
    assert world.stats()["iotlb-hit-perm-faults"] == 1, "the entry is not clean, but read-only"
    assert descriptor(world) == before


@pytest.mark.parametrize(
    ("granule", "level"),
    [(G4K, 3), (G4K, 2), (G4K, 1), (G16K, 3), (G16K, 2), (G64K, 3), (G64K, 2)],
    ids=["4K", "4K-2M", "4K-1G", "16K", "16K-32M", "64K", "64K-512M"],
)
def test_pages_and_blocks_of_each_size_are_updated(start: MachineMaker, granule: Granule, level: int) -> None:
    world = build(start, granule)
    size = 1 << granule.level_shift(level)
    base = DATA & -size
    va = 0x5540_0000_0000
    world.map(va, base, YOUNG | READ_ONLY | DIRTY_MODIFIER, level)
    assert world.read(va + (DATA - base)) == St.DONE
    assert world.peek(world.table.entry(va, level)) & (ACCESSED | READ_ONLY) == ACCESSED | READ_ONLY
    assert world.write(va + (DATA - base)) == St.DONE
    assert world.peek(world.table.entry(va, level)) & (ACCESSED | READ_ONLY) == ACCESSED
    assert world.stats()["iotlb-entries"] == 1


def test_with_iotlb_off_each_access_updates_what_it_finds(start: MachineMaker) -> None:
    world = build(start, smmu={**DIRTY, "iotlb-size": 0})
    for _ in range(2):
        world.map(attributes=YOUNG | READ_ONLY | DIRTY_MODIFIER)
        assert world.read() == St.DONE
        assert world.write() == St.DONE
        assert descriptor(world) & (ACCESSED | READ_ONLY) == ACCESSED
    stats = world.stats()
    assert (stats["httu-access"], stats["httu-dirty"], stats["iotlb-hits"]) == (2, 2, 0)


def test_full_iotlb_gives_nothing_up_for_an_entry_that_becomes_dirty(start: MachineMaker) -> None:
    world = build(start, smmu={**DIRTY, "iotlb-size": 2})
    world.map(attributes=CLEAN)
    world.map(VA + PAGE, DATA + PAGE)
    assert world.read(length=2 * PAGE) == St.DONE
    assert world.write() == St.DONE
    stats = world.stats()
    assert (stats["iotlb-entries"], stats["iotlb-evictions"]) == (2, 0)
    assert world.dev.probe(VA + PAGE, SSID).cached


def test_descriptor_that_cannot_be_written_atomically_is_f_walk_eabt(start: MachineMaker) -> None:
    """7.3.12: a table in a device's registers. It can be walked, and used where nothing has to be updated."""
    world = World.build(start(smmu=DIRTY, devices=[{"addr": "2.0"}, {"addr": "3.0"}]))
    world.set_cd(SSID, world.context().but(ha=True, hd=True))
    registers = TestDevice(world.machine, 3).bar
    world.map()
    world.table.set(VA, registers | TABLE_OR_PAGE | VALID, 2)
    va = VA + PROBE_ADDR // 8 * PAGE
    world.poke(registers + PROBE_ADDR, DATA | YOUNG | TABLE_OR_PAGE | VALID)
    event = world.fault(Do.READ, va, SSID)
    assert (event.type, event.addr, event.addr2, event.cls) == (Ev.F_WALK_EABT, va, registers + PROBE_ADDR, 1)
    assert world.peek(registers + PROBE_ADDR) == DATA | YOUNG | TABLE_OR_PAGE | VALID
    world.poke(registers + PROBE_ADDR, DATA | RW | TABLE_OR_PAGE | VALID)
    assert world.read(va) == St.DONE


def test_httu_beyond_what_is_told_is_c_bad_cd(start: MachineMaker) -> None:
    """5.4 HA: HD with HTTU of access alone; either of them with none."""
    world = build(start, smmu=ACCESS, ha=True, hd=True)
    world.map()
    world.config_error()
    world.set_cd(SSID, world.context().but(ha=True))
    assert world.read() == St.DONE


def test_probe_updates_nothing(start: MachineMaker) -> None:
    world = build(start)
    world.map(attributes=YOUNG)
    before = descriptor(world)
    assert world.dev.probe(VA, SSID) == NOTHING
    assert descriptor(world) == before


def test_context_of_another_substream_has_its_own_flags(start: MachineMaker) -> None:
    world = build(start)
    world.map(attributes=YOUNG)
    world.set_cd(7, Context(world.table, 107))
    assert world.stall(Do.READ, ssid=7, engine=1).type == Ev.F_ACCESS
    assert world.read() == St.DONE


def test_audit_of_a_clean_entry_expects_that_a_write_asks_the_table(start: MachineMaker) -> None:
    """Whatever the table permits by now; but a page that was cleaned under a dirty entry loses a write."""
    world = build(start)
    world.map(attributes=CLEAN)
    assert world.read() == St.DONE
    for attributes in (CLEAN, RW, RO):
        world.map(attributes=attributes)
        assert audit(world.machine) == []
    world.map(attributes=CLEAN)
    assert world.write() == St.DONE
    assert audit(world.machine) == []
    world.map(attributes=CLEAN)
    assert [difference.kind for difference in audit(world.machine)] == ["permissive"]


COUNT_AND_CLEAN = [0xD2E0_1004, 0xD280_1005, 0xF824_005F, 0xF825_305F, 0xF100_0463, 0x54FF_FFA1]
"""x3 times: count in bits 63:55 of [x2], which no walk looks at, and set AP[2]; each atomically."""


def test_update_loses_nothing_that_a_cpu_writes_meanwhile(start: MachineMaker, tmp_path: Path) -> None:
    """3.13.3, D8.5: atomic. The CPU makes a block clean again and again, while the device makes it dirty."""
    count = 300_000
    world = World.build(start(smmu={**DIRTY, "iotlb-size": 0}, cpu="max", kernel=kernel(tmp_path)))
    world.set_cd(SSID, world.context().but(ha=True, hd=True))
    world.map(attributes=CLEAN, level=2)
    cpu = Cpu(world.machine)
    commands = rounds = 0
    while commands < 100:  # on a busy host, one round may see hardly any
        cpu.start(*COUNT_AND_CLEAN, x2=world.table.entry(VA, 2), x3=count)
        rounds += 1
        while not cpu.idle:
            assert world.engine.run(Do.WRITE, VA, SSID, 2 << 20) == St.DONE
            commands += 1
    assert descriptor(world, 2) >> 55 == rounds * count % 512
    stats = world.stats()
    assert 0 < stats["httu-dirty"] <= stats["iotlb-misses"]
    assert stats["stalls"] == stats["events"] == 0
