# SPDX-License-Identifier: GPL-2.0-or-later
"""What an IOTLB entry stands for: a run of descriptors, every ASID, 52 bits of address, a fault.

IHI 0070 3.4, 3.17.1, 3.21.1; Arm ARM D8.3, D8.7.1.
"""

from __future__ import annotations

import pytest

from .audit import audit
from .conftest import MachineMaker
from .layout import DATA, UNMAPPED
from .pagetable import (
    CLEAN,
    CONTIGUOUS,
    G4K,
    G16K,
    G64K,
    NOT_GLOBAL,
    READ_ONLY,
    RO,
    RW,
    S2_RW,
    TABLE_OR_PAGE,
    USER,
    VALID,
    Context,
    Granule,
)
from .qtest import Options
from .smmu import Config, Ev
from .stage2 import BLOCK, identity
from .testdev import FAILED, NO_PASID, NOTHING, Do, St
from .world import ASID, OTHER, OTHER_ASID, PAGE, SSID, SVA, VA, World

RUNS: Options = {**SVA, "contiguous": True}
FAULTS: Options = {**SVA, "cache-faults": True}
GLOBAL = RW & ~NOT_GLOBAL

SIZES = pytest.mark.parametrize(
    ("granule", "level", "count"),
    [(G4K, 3, 16), (G4K, 2, 16), (G4K, 1, 16), (G16K, 3, 128), (G16K, 2, 32), (G64K, 3, 32), (G64K, 2, 32)],
    ids=["4K", "4K-2M", "4K-1G", "16K", "16K-32M", "64K", "64K-512M"],
)


def map_run(world: World, va: int, count: int, level: int = 3, attributes: int = RW, pa: int = DATA) -> None:
    """Map ``count`` consecutive pages or blocks, all with the bit."""
    size = 1 << world.table.granule.level_shift(level)
    for n in range(count):
        world.map(va + n * size, (pa & -(size * count)) + n * size, attributes | CONTIGUOUS, level)


@SIZES
def test_run_is_one_entry(start: MachineMaker, granule: Granule, level: int, count: int) -> None:
    """Of any granule and level that has runs; an access anywhere fills it, any other hits it."""
    world = World.build(start(smmu=RUNS), granule)
    size = 1 << granule.level_shift(level)
    va = VA & -(size * count)
    map_run(world, va, count, level)
    inside = va + (DATA & size * count - 1)
    world.poke(DATA, 0xC0)
    world.poke(DATA + granule.page, 0xC1)
    assert world.read(inside) == St.DONE
    assert world.engine.data == 0xC0
    assert world.read(inside + granule.page) == St.DONE
    assert world.engine.data == 0xC1
    stats = world.stats()
    assert (stats["iotlb-entries"], stats["iotlb-inserts"], stats["iotlb-hits"]) == (1, 1, 1)
    for where in (va, va + size * count - 1):
        assert world.dev.probe(where, SSID).cached
    for where in (va - 1, va + size * count):
        assert not world.dev.probe(where, SSID).cached


@SIZES
def test_run_goes_with_any_address_in_it(start: MachineMaker, granule: Granule, level: int, count: int) -> None:
    world = World.build(start(smmu=RUNS), granule)
    size = 1 << granule.level_shift(level)
    va = VA & -(size * count)
    map_run(world, va, count, level)
    for page in (0, 1, count - 1):
        assert world.read(va + (DATA & size * count - 1)) == St.DONE
        world.smmu.tlbi_nh_va(ASID, va + page * size)
        assert not world.dev.probe(va, SSID).cached
        assert world.read(va + (DATA & size * count - 1)) == St.DONE
        world.smmu.tlbi_nh_va_range(ASID, va + page * size, granule.ril_tg, 0, ttl=level)
        assert world.stats()["iotlb-entries"] == 0


def test_stale_run_denies_what_each_of_its_tables_permits(start: MachineMaker) -> None:
    """What contiguous mappings add to the loop: one forgotten invalidation, sixteen pages."""
    world = World.build(start(smmu=RUNS))
    map_run(world, VA, 16, attributes=RO)
    assert world.read() == St.DONE
    map_run(world, VA, 16, attributes=RW)
    event = world.stall(Do.WRITE, VA + 9 * PAGE)
    event = world.retry(event)
    assert event.type == Ev.F_PERMISSION
    assert [difference.short for difference in audit(world.machine)] == [("restrictive", VA, 16 * PAGE)]
    world.smmu.tlbi_nh_va(ASID, VA + 3 * PAGE)
    assert world.finish(event) == St.DONE


@pytest.mark.parametrize("broken", ["bit", "address", "invalid"])
def test_what_is_no_run_is_cached_by_the_descriptor(start: MachineMaker, broken: str) -> None:
    world = World.build(start(smmu=RUNS))
    map_run(world, VA, 16)
    base = DATA & -(16 * PAGE)
    if broken == "bit":
        world.map(VA + 5 * PAGE, base + 5 * PAGE)
    elif broken == "address":
        world.map(VA + 5 * PAGE, base + 6 * PAGE, RW | CONTIGUOUS)
    else:
        world.table.unmap(VA + 5 * PAGE)
    assert world.read() == St.DONE
    assert not world.dev.probe(VA + PAGE, SSID).cached
    assert world.stats()["iotlb-entries"] == 1


def test_by_default_an_entry_is_one_descriptor(world: World) -> None:
    map_run(world, VA, 16)
    assert world.read(length=16 * PAGE) == St.DONE
    assert world.stats()["iotlb-entries"] == 16


def test_write_to_a_clean_run_updates_the_descriptor_of_its_page(start: MachineMaker) -> None:
    """3.13.3, D8.5.3: software takes the run as dirty if one of it is."""
    world = World.build(start(smmu={**RUNS, "httu": "dirty"}))
    world.set_cd(SSID, world.context().but(ha=True, hd=True))
    map_run(world, VA, 16, attributes=CLEAN)
    assert world.read() == St.DONE
    assert world.write(VA + 7 * PAGE) == St.DONE
    dirty = [n for n in range(16) if not world.peek(world.table.entry(VA + n * PAGE)) & READ_ONLY]
    assert dirty == [7]
    assert world.stats()["iotlb-entries"] == 1


def test_run_of_stage_2_is_one_entry(start: MachineMaker) -> None:
    world = World.build(start(smmu=RUNS))
    world.set_ste(
        config=Config.S2, stage2=identity(world, {DATA + n * BLOCK: S2_RW | CONTIGUOUS for n in range(16)})
    )
    for n in (0, 3, 15):
        assert world.read(DATA + n * BLOCK, NO_PASID) == St.DONE
    assert world.stats()["iotlb-entries"] == 1
    world.smmu.tlbi_s2_ipa(DATA + 5 * BLOCK, 7)
    assert world.stats()["iotlb-entries"] == 0


def test_invalidation_of_a_page_of_stage_1_reaches_all_its_pieces(start: MachineMaker) -> None:
    """4.4.2: stage 2's blocks of 2 MiB cut stage 1's block of 1 GiB."""
    world = World.build(start())
    world.set_ste(config=Config.NESTED, stage2=identity(world))
    va = 0x5540_0000_0000
    world.map(va, DATA & -(1 << 30), RW, level=1)
    offset = DATA & (1 << 30) - 1
    for n in range(4):
        assert world.read(va + offset + n * BLOCK) == St.DONE
        assert world.dev.probe(va + offset + n * BLOCK, SSID).cached
    world.smmu.tlbi_nh_va(ASID, va + offset + BLOCK, vmid=7)
    assert not any(world.dev.probe(va + offset + n * BLOCK, SSID).cached for n in range(4))


# Global entries


def share(world: World, aset: bool = True) -> None:
    """Both substreams have one table; the second one's ASID has ``aset``."""
    world.set_cd(OTHER, Context(world.table, OTHER_ASID, aset=aset))


def test_global_entry_is_of_every_asid(world: World) -> None:
    """3.17.1."""
    share(world)
    world.map(attributes=GLOBAL)
    assert world.read(ssid=SSID) == world.read(ssid=OTHER) == St.DONE
    stats = world.stats()
    assert (stats["iotlb-entries"], stats["iotlb-hits"]) == (1, 1)


def test_global_entry_is_of_one_aset(world: World) -> None:
    """3.17.1: shared and private ASIDs have nothing in common."""
    share(world, aset=False)
    world.map(attributes=GLOBAL)
    assert world.read(ssid=SSID) == world.read(ssid=OTHER) == St.DONE
    stats = world.stats()
    assert (stats["iotlb-entries"], stats["iotlb-hits"]) == (2, 0)


def test_invalidation_by_asid_leaves_global_entries(world: World) -> None:
    """3.17.1, 4.4.2.1."""
    world.map(attributes=GLOBAL)
    world.map(VA + PAGE, DATA + PAGE)
    assert world.read(length=2 * PAGE) == St.DONE
    world.smmu.tlbi_nh_asid(ASID)
    assert world.dev.probe(VA, SSID).cached
    assert not world.dev.probe(VA + PAGE, SSID).cached


@pytest.mark.parametrize("how", ["VA", "VA-TTL", "VAA", "ALL"])
def test_invalidation_by_address_reaches_global_entries(world: World, how: str) -> None:
    """4.4.2.3: of any ASID."""
    world.map(attributes=GLOBAL)
    assert world.read() == St.DONE
    match how:
        case "VA":
            world.smmu.tlbi_nh_va(ASID + 1, VA)
        case "VA-TTL":
            world.smmu.tlbi_nh_va_range(ASID + 1, VA, G4K.ril_tg, 0, ttl=3)
        case "VAA":
            world.smmu.tlbi_nh_vaa(VA)
        case _:
            world.smmu.tlbi_nh_all()
    assert world.dev.probe(VA, SSID) == NOTHING


def test_audit_knows_global_entries(world: World) -> None:
    world.map(attributes=GLOBAL)
    assert world.read() == St.DONE
    assert audit(world.machine) == []
    world.table.unmap(VA)
    (difference,) = audit(world.machine)
    assert (difference.short, difference.asid) == (("unmapped", VA, PAGE), None)


# 52 bits


@pytest.mark.parametrize(("oas", "faults"), [(52, False), (48, True)])
def test_64k_granule_has_52_bits_of_output(start: MachineMaker, oas: int, faults: bool) -> None:
    """3.4, FEAT_LPA: OA[51:48] is in bits 15:12. Nothing is behind such an address: the access fails, no walk."""
    world = World.build(start(smmu={**SVA, "oas": oas}), G64K)
    world.set_cd(SSID, world.context().but(ips=6))
    world.map(VA, DATA | 0xA << 12)
    if faults:
        assert world.read() == St.DONE, "48 bits: 15:12 are RES0"
        return
    assert world.read() == FAILED
    assert world.smmu.event_count == 0
    world.table.unmap(VA)
    (difference,) = audit(world.machine)
    assert difference.cached.address == DATA | 0xA << 48


def test_ips_below_52_makes_it_an_address_size_fault_no_more(start: MachineMaker) -> None:
    """5.4 IPS: 48 bits of 52: the bits are not part of the address."""
    world = World.build(start(smmu={**SVA, "oas": 52}), G64K)
    world.set_cd(SSID, world.context().but(ips=5))
    world.map(VA, DATA | 0xA << 12)
    assert world.read() == St.DONE


def test_smaller_granules_have_48_bits(start: MachineMaker) -> None:
    """3.4; 5.4 TTB0: an address that does not fit is ILLEGAL."""
    world = World.build(start(smmu={**SVA, "oas": 52}))
    world.map()
    world.set_cd(SSID, world.context().but(ips=6))
    assert world.read() == St.DONE
    world.set_cd(SSID, world.context().but(ips=6, ttb0=1 << 50))
    world.smmu.cfgi_cd(world.dev.sid, SSID)
    world.config_error()


def test_table_beyond_48_bits_is_fetched_from_there(start: MachineMaker) -> None:
    world = World.build(start(smmu={**SVA, "oas": 52}), G64K)
    world.set_cd(SSID, world.context().but(ips=6))
    world.map()
    world.table.set(VA, UNMAPPED & ~0xFFFF | 3 << 12 | TABLE_OR_PAGE | VALID, 2)
    event = world.fault(Do.READ, VA, SSID)
    assert event.type == Ev.F_WALK_EABT
    assert event.addr2 >> 48 == 3


@pytest.mark.parametrize(("granule", "level"), [(G4K, 0), (G16K, 1)], ids=["4K-512G", "16K-64G"])
def test_block_where_there_is_none_is_a_translation_fault(
    start: MachineMaker, granule: Granule, level: int
) -> None:
    """D8.3.1: Reserved."""
    world = World.build(start(), granule)
    world.map(VA & -(1 << granule.level_shift(level)), 0, RW, level)
    assert world.stall(Do.READ).type == Ev.F_TRANSLATION


# Faults


def test_permission_fault_is_cached_if_so_chosen(start: MachineMaker) -> None:
    """A device that wrote first loops too; by default only one that has read (test_iotlb)."""
    world = World.build(start(smmu=FAULTS))
    world.map(attributes=RO)
    event = world.stall(Do.WRITE)
    probe = world.dev.probe(VA, SSID)
    assert (probe.cached, probe.read, probe.write) == (True, True, False)
    world.map(attributes=RW)
    event = world.retry(event)
    assert world.stats()["iotlb-hit-perm-faults"] == 1
    world.smmu.tlbi_nh_va(ASID, VA)
    assert world.finish(event) == St.DONE


def test_cached_fault_of_what_only_the_kernel_may_access_denies_reads(start: MachineMaker) -> None:
    world = World.build(start(smmu=FAULTS))
    world.map(attributes=RW & ~USER)
    event = world.stall(Do.READ)
    world.map()
    event = world.retry(event)
    assert event.type == Ev.F_PERMISSION
    world.smmu.tlbi_nh_va(ASID, VA)
    assert world.finish(event) == St.DONE


@pytest.mark.parametrize("attributes", [0, USER | NOT_GLOBAL | READ_ONLY], ids=["translation", "access-flag"])
def test_other_faults_are_never_cached(start: MachineMaker, attributes: int) -> None:
    """D8: "Caching of translation table entries"."""
    world = World.build(start(smmu=FAULTS))
    world.map()
    world.table.set(VA, DATA | attributes | 3 if attributes else 0)
    event = world.stall(Do.WRITE)
    assert event.type in (Ev.F_TRANSLATION, Ev.F_ACCESS)
    assert world.dev.probe(VA, SSID) == NOTHING
    world.map()
    assert world.finish(event) == St.DONE


def test_write_only_entry_of_stage_2_denies_reads_from_the_cache(world: World) -> None:
    """S2AP 0b10."""
    world.set_ste(config=Config.S2, stage2=identity(world, {DATA: S2_RW & ~(1 << 6)}))
    assert world.write(DATA, NO_PASID) == St.DONE
    event = world.fault(Do.READ, DATA)
    assert (event.type, event.s2, event.rnw) == (Ev.F_PERMISSION, True, True)
