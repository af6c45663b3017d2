# SPDX-License-Identifier: GPL-2.0-or-later
"""Substreams and stalls where stage 2 translates too (IHI 0070 3.12.5, 5.2, 16.2.1)."""

from __future__ import annotations

import pytest

from .layout import CD_TABLE, DATA, RAM, STAGE2, TABLES
from .pagetable import RO, S2_RW, S2_WRITE, TABLE_OR_PAGE, VALID
from .smmu import Config, Dss, Ev, Stage2
from .testdev import FAILED, NO_PASID, NOTHING, Do, St
from .world import ASID, PAGE, SSID, VA, World

VMID = 7
BLOCK = 2 << 20


def identity(world: World, *, holes: tuple[int, ...] = (), read_only: tuple[int, ...] = ()) -> Stage2:
    """Stage 2 that maps the RAM to itself in blocks of 2 MiB, but for ``holes``."""
    level2 = STAGE2 + PAGE
    world.poke(STAGE2 + (RAM >> 30) * 8, level2 | TABLE_OR_PAGE | VALID)
    for n in range(64):
        block = RAM + n * BLOCK
        attributes = S2_RW & ~S2_WRITE if block in read_only else S2_RW
        world.poke(level2 + n * 8, 0 if block in holes else block | attributes | VALID)
    return Stage2(root=STAGE2, vmid=VMID)


def nest(world: World, **fields: object) -> None:
    """Both stages for the device's stream."""
    world.set_ste(config=Config.NESTED, stage2=identity(world), **fields)


def test_tables_data_and_cd_are_found_through_both_stages(world: World) -> None:
    world.map()
    world.poke(DATA, 0x2B07)
    nest(world)
    assert world.read() == St.DONE
    assert world.engine.data == 0x2B07


def test_two_level_cd_tables_are_of_ipas(world: World) -> None:
    """5.2 S1Fmt: the pointers in the first level are IPAs if stage 2 is on."""
    leaves = CD_TABLE + 0x10_0000
    world.map()
    world.smmu.set_l1cd(1, leaves)
    world.smmu.set_cd(2, world.context(), leaves)
    nest(world, s1fmt=1, s1cdmax=10)
    assert world.read(ssid=66) == St.DONE


def test_stage_1_fault_stalls(world: World) -> None:
    """3.12.5: stage 1 stalls, stage 2 terminates."""
    nest(world)
    event = world.stall(Do.READ)
    assert (event.type, event.s2) == (Ev.F_TRANSLATION, False)
    world.map()
    assert world.finish(event) == St.DONE


def test_cached_read_only_entry_faults_at_stage_1_without_a_walk(world: World) -> None:
    world.map(attributes=RO)
    nest(world)
    assert world.read() == St.DONE
    event = world.stall(Do.WRITE)
    world.map()
    misses = world.stats()["iotlb-misses"]
    event = world.retry(event)
    assert (event.type, event.s2) == (Ev.F_PERMISSION, False)
    assert world.stats()["iotlb-misses"] == misses
    world.smmu.tlbi_nh_va(ASID, VA, vmid=0)
    event = world.retry(event)
    world.smmu.tlbi_nh_va(ASID, VA, vmid=VMID)
    assert world.finish(event) == St.DONE


@pytest.mark.parametrize(("hole", "cls"), [(DATA, 2), (CD_TABLE, 0), (TABLES, 1)], ids=["access", "CD", "table"])
def test_stage_2_fault_is_terminated_though_stage_1_stalls(world: World, hole: int, cls: int) -> None:
    """3.12.5; 7.3.13: CLASS, IPA; RnW is of the access."""
    world.map()
    world.set_ste(config=Config.NESTED, stage2=identity(world, holes=(hole & -BLOCK,)))
    event = world.fault(Do.WRITE, VA, SSID)
    assert (event.type, event.stall, event.s2, event.cls) == (Ev.F_TRANSLATION, False, True, cls)
    assert event.addr2 & -BLOCK == hole
    assert event.addr2 & (PAGE - 1) == 0, "IPA[51:12]"
    assert (event.addr, event.rnw, event.ssv, event.ssid) == (VA, False, True, SSID)


def test_write_to_what_stage_2_made_read_only_is_terminated(world: World) -> None:
    world.map()
    world.set_ste(config=Config.NESTED, stage2=identity(world, read_only=(DATA,)))
    assert world.read() == St.DONE
    for _ in range(2):
        event = world.fault(Do.WRITE, VA, SSID)
        assert (event.type, event.stall, event.s2) == (Ev.F_PERMISSION, False, True)
        assert event.addr2 == DATA, "the IPA, from the cached entry too"


def test_aarch32_stage_2_is_illegal_and_no_reason_to_abort(world: World) -> None:
    """5.2 S2AA64."""
    stage2 = identity(world)
    world.set_ste(config=Config.S2, stage2=Stage2(root=stage2.root, aa64=False))
    world.config_error(NO_PASID, Ev.C_BAD_STE)


def test_s1dss_bypass_leaves_stage_2(world: World) -> None:
    """5.2 S1DSS 0b01."""
    nest(world, s1dss=Dss.BYPASS)
    world.poke(DATA, 0x0152)
    assert world.read(DATA, NO_PASID) == St.DONE
    assert world.engine.data == 0x0152
    assert world.read(RAM + (1 << 28), NO_PASID) == FAILED
    assert world.smmu.pop_event().s2


def test_stage_2_alone_translates_what_has_no_substream(world: World) -> None:
    world.set_ste(config=Config.S2, stage2=identity(world))
    world.poke(DATA, 0x0252)
    assert world.read(DATA, NO_PASID) == St.DONE
    assert world.engine.data == 0x0252
    assert world.dev.probe(DATA, NO_PASID).cached


def test_probe_walks_no_stage_2(world: World) -> None:
    world.map()
    nest(world)
    assert world.read() == St.DONE
    assert world.dev.probe(VA, SSID).cached
    world.smmu.cfgi_ste(world.dev.sid)
    before = world.stats()
    assert world.dev.probe(VA, SSID) == NOTHING
    assert world.stats() == before


def test_read_only_stage_2_shows_in_the_probe(world: World) -> None:
    world.map()
    world.set_ste(config=Config.NESTED, stage2=identity(world, read_only=(DATA,)))
    assert world.read() == St.DONE
    probe = world.dev.probe(VA, SSID)
    assert (probe.read, probe.write) == (True, False)
