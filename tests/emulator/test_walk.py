# SPDX-License-Identifier: GPL-2.0-or-later
"""Stage-1 walks: granules, blocks, permissions, and the faults they may end in (Arm ARM D8; IHI 0070 7.3)."""

from __future__ import annotations

import pytest

from .conftest import MachineMaker
from .layout import DATA, UNMAPPED
from .pagetable import (
    APTABLE_NO_USER,
    APTABLE_READ_ONLY,
    G4K,
    G16K,
    G64K,
    KERNEL_RW,
    NOT_GLOBAL,
    RO,
    RW,
    USER,
    Granule,
)
from .smmu import GBPA, Config, Ev
from .testdev import FAILED, NO_PASID, NOTHING, Do, St
from .world import ASID, PAGE, SSID, VA, World

GRANULES = pytest.mark.parametrize("granule", [G4K, G16K, G64K], ids=["4K", "16K", "64K"])


@GRANULES
def test_page_of_each_granule_is_translated_to_its_last_byte(start: MachineMaker, granule: Granule) -> None:
    world = World.build(start(), granule)
    world.map(VA, DATA)
    world.map(VA + granule.page, DATA + 8 * granule.page)
    world.poke(DATA + granule.page - 8, 0x1111)
    world.poke(DATA + 8 * granule.page, 0x2222)
    assert world.read(VA + granule.page - 8) == St.DONE
    assert world.engine.data == 0x1111
    assert world.read(VA + granule.page) == St.DONE
    assert world.engine.data == 0x2222
    assert world.dev.probe(VA, SSID).granule == granule.shift


@pytest.mark.parametrize(
    ("granule", "level"),
    [(G4K, 2), (G4K, 1), (G16K, 2), (G64K, 2)],
    ids=["4K-2M", "4K-1G", "16K-32M", "64K-512M"],
)
def test_block_of_each_size_is_translated(start: MachineMaker, granule: Granule, level: int) -> None:
    """The block may begin below the RAM: only what is in it counts."""
    world = World.build(start(), granule)
    size = 1 << granule.level_shift(level)
    base = DATA & -size
    va = 0x5540_0000_0000
    world.map(va, base, RW, level)
    world.poke(DATA + 0x12340, 0xB10C)
    assert world.read(va + (DATA - base) + 0x12340) == St.DONE
    assert world.engine.data == 0xB10C
    assert world.dev.probe(va, SSID).level == level


def test_unmapped_address_is_f_translation(world: World) -> None:
    event = world.stall(Do.READ)
    assert (event.type, event.addr, event.cls) == (Ev.F_TRANSLATION, VA, 2)


@pytest.mark.parametrize("level", [0, 1, 2])
def test_invalid_table_descriptor_is_f_translation(world: World, level: int) -> None:
    world.map()
    world.table.unmap(VA, level)
    assert world.stall(Do.READ).type == Ev.F_TRANSLATION


def test_reserved_descriptor_at_the_last_level_is_f_translation(world: World) -> None:
    world.map()
    world.table.set(VA, DATA | RW | 1)
    assert world.stall(Do.READ).type == Ev.F_TRANSLATION


def test_address_outside_both_ranges_is_f_translation(world: World) -> None:
    world.map()
    event = world.stall(Do.READ, 0x00FF_0000_0000_0000)
    assert (event.type, event.addr) == (Ev.F_TRANSLATION, 0x00FF_0000_0000_0000)


def test_top_byte_is_ignored_where_the_cd_says_so(world: World) -> None:
    """5.4 TBI0, Arm ARM D8.8; the record has the address as it came."""
    world.map()
    tagged = VA | 0xA5 << 56
    assert world.stall(Do.READ, tagged, engine=1).addr == tagged
    world.set_cd(SSID, world.context().but(tbi0=True))
    world.smmu.cfgi_cd(world.dev.sid, SSID)
    assert world.read(tagged) == St.DONE
    assert world.stall(Do.READ, tagged + PAGE, engine=2).addr == tagged + PAGE


def test_invalidation_reaches_what_an_address_with_a_tag_has_cached(world: World) -> None:
    """Arm ARM D8.8: the tag is no part of the address."""
    world.map()
    world.set_cd(SSID, world.context().but(tbi0=True))
    assert world.read(VA | 0xA5 << 56) == St.DONE
    assert world.dev.probe(VA, SSID).cached
    assert world.dev.probe(VA | 0x11 << 56, SSID).cached
    world.smmu.tlbi_nh_va(ASID, VA)
    assert world.dev.probe(VA | 0xA5 << 56, SSID) == NOTHING


def test_access_flag_clear_is_f_access(world: World) -> None:
    world.map(attributes=USER | NOT_GLOBAL)
    assert world.stall(Do.READ).type == Ev.F_ACCESS


def test_access_flag_fault_goes_before_permission_fault(world: World) -> None:
    world.map(attributes=NOT_GLOBAL)
    assert world.stall(Do.READ).type == Ev.F_ACCESS


def test_affd_turns_access_flag_faults_off(world: World) -> None:
    """CD.AFFD (5.4)."""
    world.map(attributes=USER | NOT_GLOBAL)
    world.set_cd(SSID, world.context().but(affd=True))
    assert world.read() == St.DONE


def test_write_to_a_read_only_page_is_f_permission(world: World) -> None:
    world.map(attributes=RO)
    world.poke(DATA, 0x1111)
    assert world.stall(Do.WRITE, data=0x2222).type == Ev.F_PERMISSION
    assert world.peek(DATA) == 0x1111


def test_access_with_pasid_is_unprivileged(world: World) -> None:
    """13.7; AP[1] (Arm ARM D8.4): memory of the kernel alone, or that may only be executed."""
    world.map(attributes=KERNEL_RW)
    event = world.stall(Do.READ)
    assert event.type == Ev.F_PERMISSION
    assert not event.pnu
    assert world.dev.probe(VA, SSID) == NOTHING


def test_access_without_pasid_is_unprivileged_too(world: World) -> None:
    """13.7."""
    world.kernel.map(VA, DATA, KERNEL_RW)
    event = world.fault(Do.READ)
    assert (event.type, event.pnu) == (Ev.F_PERMISSION, False)


def test_hardware_update_of_the_access_flag_is_not_there_to_be_asked_for(world: World) -> None:
    """5.4 CD.HA with IDR0.HTTU == 0."""
    world.map()
    world.set_cd(SSID, world.context().but(ha=True))
    world.config_error()


def test_aptable_read_only_applies_to_the_entry_that_a_read_caches(world: World) -> None:
    """Hierarchical permissions (Arm ARM D8.4): of the walk, not only of the access that walked."""
    world.table.map(VA, DATA, RW, table_attributes=APTABLE_READ_ONLY)
    assert world.read() == St.DONE
    assert not world.dev.probe(VA, SSID).write
    assert world.stall(Do.WRITE).type == Ev.F_PERMISSION


def test_aptable_no_user_faults_unprivileged_accesses(world: World) -> None:
    world.table.map(VA, DATA, RW, table_attributes=APTABLE_NO_USER)
    assert world.stall(Do.READ).type == Ev.F_PERMISSION


def test_aptable_is_ignored_with_had(world: World) -> None:
    """CD.HAD0 (5.4)."""
    world.table.map(VA, DATA, RW, table_attributes=APTABLE_READ_ONLY | APTABLE_NO_USER)
    world.set_cd(SSID, world.context().but(had0=True))
    assert world.write() == St.DONE


def test_translation_fault_goes_before_permissions_of_the_tables_above(world: World) -> None:
    world.table.map(VA, DATA, RW, table_attributes=APTABLE_READ_ONLY)
    world.table.unmap(VA)
    assert world.stall(Do.WRITE).type == Ev.F_TRANSLATION


def test_output_beyond_ips_is_f_addr_size(world: World) -> None:
    """CD.IPS (5.4): 32 bits here."""
    world.map(pa=UNMAPPED)
    world.set_cd(SSID, world.context().but(ips=0))
    event = world.stall(Do.READ)
    assert (event.type, event.s2) == (Ev.F_ADDR_SIZE, False)


@pytest.mark.parametrize("ips", [5, 6, 7])
def test_ips_beyond_oas_is_capped(world: World, ips: int) -> None:
    """5.4 IPS: 48 and 52 bits and a reserved value, with an OAS of 44."""
    world.map()
    world.set_cd(SSID, world.context().but(ips=ips))
    assert world.read() == St.DONE
    world.map(VA + PAGE, 1 << 45)
    assert world.stall(Do.READ, VA + PAGE).type == Ev.F_ADDR_SIZE


def test_table_beyond_the_output_size_is_f_addr_size(world: World) -> None:
    """Arm ARM D8.2: a fault that stalls; not a fetch from some other place."""
    world.map()
    world.table.set(VA, 1 << 45 | 3, level=2)
    event = world.stall(Do.READ)
    assert (event.type, event.s2, event.addr2) == (Ev.F_ADDR_SIZE, False, 0)


@pytest.mark.parametrize("attributes", [USER | NOT_GLOBAL, KERNEL_RW], ids=["access-flag", "permission"])
def test_address_size_fault_goes_before_other_faults_of_the_page(world: World, attributes: int) -> None:
    """Arm ARM D8.15, priority of faults."""
    world.map(pa=1 << 45, attributes=attributes)
    assert world.stall(Do.READ).type == Ev.F_ADDR_SIZE


@pytest.mark.parametrize(
    ("granule", "level"), [(G4K, 0), (G16K, 1), (G64K, 1)], ids=["4K-level-0", "16K-level-1", "64K-level-1"]
)
def test_block_at_a_level_that_has_none_is_f_translation(
    start: MachineMaker, granule: Granule, level: int
) -> None:
    """Arm ARM D8.3.1: the encoding is reserved there."""
    world = World.build(start(), granule)
    world.map(VA, 0, RW, level)
    assert world.stall(Do.READ).type == Ev.F_TRANSLATION


def test_abort_of_a_descriptor_fetch_is_f_walk_eabt_and_never_stalls(world: World) -> None:
    """7.3.12; 3.12: not one of the four faults that may stall."""
    world.map()
    world.table.set(VA, UNMAPPED | 3, level=2)
    event = world.fault(Do.READ, VA, SSID)
    assert (event.type, event.stall, event.addr, event.cls) == (Ev.F_WALK_EABT, False, VA, 1)
    assert event.addr2 == UNMAPPED + (VA >> 12 & 511) * 8
    assert (event.ssv, event.ssid) == (True, SSID)


def test_abort_of_the_access_itself_is_an_error_without_event(world: World) -> None:
    world.map(pa=UNMAPPED)
    assert world.read() == FAILED
    assert world.engine.get64(0x40) == VA
    assert world.smmu.event_count == 0


def test_config_bypass_passes_what_has_no_pasid(world: World) -> None:
    """5.2 STE.Config."""
    world.set_ste(config=Config.BYPASS)
    world.poke(DATA, 0xBA55)
    assert world.read(DATA, NO_PASID) == St.DONE
    assert world.engine.data == 0xBA55


@pytest.mark.parametrize("ssid", [NO_PASID, SSID])
def test_config_abort_terminates_without_event(world: World, ssid: int) -> None:
    world.set_ste(config=Config.ABORT)
    assert world.read(DATA, ssid) == FAILED
    assert world.smmu.event_count == 0


@pytest.mark.parametrize("ssid", [NO_PASID, SSID])
def test_smmuen_0_bypasses_or_aborts_as_gbpa_says(world: World, ssid: int) -> None:
    """6.3.9.6: with a SubstreamID too."""
    world.poke(DATA, 0x6B9A)
    world.smmu.write(0x20, 0)
    assert world.read(DATA, ssid) == St.DONE
    assert world.engine.data == 0x6B9A
    world.smmu.write(GBPA, 1 << 31 | 1 << 20)
    assert world.read(DATA, ssid) == FAILED
