# SPDX-License-Identifier: GPL-2.0-or-later
"""Stalls of stage 2 (STE.S2S), and the model that has no other answer (IHI 0070 3.12.2, 5.5, 7.3.13)."""

from __future__ import annotations

import pytest

from .conftest import MachineMaker
from .layout import CD_TABLE, DATA, TABLES
from .pagetable import S2_RW, S2_WRITE
from .smmu import Config, Dss, Ev
from .stage2 import BLOCK, identity, set_block
from .testdev import FAILED, NO_PASID, Do, St
from .world import ASID, OTHER, PAGE, SSID, SVA, VA, World

VMID = 7
READ_ONLY = S2_RW & ~S2_WRITE
FORCE = {**SVA, "stall": "force"}


def nest(world: World, but: dict[int, int | None] | None = None, **fields: object) -> None:
    """Both stages, and stage 2 stalls."""
    world.set_ste(config=Config.NESTED, stage2=identity(world, but, **{"s2s": True, **fields}))


@pytest.mark.parametrize(("hole", "cls"), [(DATA, 2), (CD_TABLE, 0), (TABLES, 1)], ids=["access", "CD", "table"])
def test_stage_2_fault_stalls_wherever_the_address_comes_from(world: World, hole: int, cls: int) -> None:
    """7.3.13: S2, IPA[51:12], CLASS; NSIPA is 0 for a Non-secure stream."""
    world.map()
    nest(world, {hole & -BLOCK: None})
    event = world.stall(Do.WRITE, VA + 0x128)
    assert (event.type, event.stall, event.s2, event.cls) == (Ev.F_TRANSLATION, True, True, cls)
    assert event.addr2 & -BLOCK == hole & -BLOCK
    assert (event.addr2 & (PAGE - 1), event.nsipa) == (0, False)
    assert (event.addr, event.rnw, event.ssv, event.ssid) == (VA + 0x128, False, True, SSID)
    set_block(world, hole, S2_RW)
    assert world.finish(event) == St.DONE


def test_each_stage_stalls_by_its_own_bit(world: World) -> None:
    """5.5: CD.S of substream 5 alone; S2S of the stream."""
    world.set_cd(OTHER, world.context().but(table=world.other, asid=106, s=False))
    nest(world, {DATA: None})
    event = world.fault(Do.READ, VA, OTHER)
    assert (event.s2, event.stall) == (False, False)
    world.other.map(VA, DATA)
    event = world.stall(Do.READ, ssid=OTHER)
    assert (event.s2, event.stall) == (True, True)
    set_block(world, DATA, S2_RW)
    assert world.finish(event) == St.DONE


def test_stage_2_without_s2s_terminates_though_stage_1_stalls(world: World) -> None:
    world.map()
    nest(world, {DATA: None}, s2s=False)
    assert not world.fault(Do.READ, VA, SSID).stall


def test_cached_configuration_remembers_s2s(world: World) -> None:
    world.map()
    nest(world, {DATA: None})
    events = [world.stall(Do.READ, engine=engine) for engine in range(2)]
    assert all(event.s2 for event in events)


def test_stall_of_stage_2_is_recorded_whatever_s2r_says(world: World) -> None:
    """5.5: R is ignored if S == 1."""
    world.map()
    nest(world, {DATA: None}, s2r=False)
    assert world.stall(Do.READ).s2


def test_cached_read_only_entry_of_stage_2_loops_until_it_is_invalidated(world: World) -> None:
    """3.21.1; the IPA is that of the access, from the cached entry too."""
    world.map(VA, DATA + 3 * PAGE)
    nest(world, {DATA: READ_ONLY})
    assert world.read() == St.DONE
    event = world.stall(Do.WRITE, VA + 8)
    set_block(world, DATA, S2_RW)
    before = world.stats()
    event = world.retry(event)
    assert (event.type, event.s2, event.cls, event.addr2) == (Ev.F_PERMISSION, True, 2, DATA + 3 * PAGE)
    assert world.stats()["iotlb-misses"] == before["iotlb-misses"]
    world.smmu.tlbi_s2_ipa(DATA + 3 * PAGE, VMID)
    event = world.retry(event)
    assert event.s2, "the combined entry is of stage 1: 4.4.3 Note"
    world.smmu.tlbi_nh_va(ASID, VA, vmid=VMID)
    assert world.finish(event) == St.DONE


def test_stage_2_alone_stalls(world: World) -> None:
    world.set_ste(config=Config.S2, stage2=identity(world, {DATA: None}, s2s=True))
    event = world.stall(Do.READ, DATA + 0x1238, NO_PASID)
    assert (event.type, event.s2, event.ssv, event.addr) == (Ev.F_TRANSLATION, True, False, DATA + 0x1238)
    assert event.addr2 == DATA + 0x1000
    set_block(world, DATA, S2_RW)
    assert world.finish(event) == St.DONE


def test_what_bypasses_stage_1_stalls_at_stage_2(world: World) -> None:
    """5.2 S1DSS 0b01."""
    nest(world, {DATA: None})
    world.set_ste(config=Config.NESTED, stage2=identity(world, {DATA: None}, s2s=True), s1dss=Dss.BYPASS)
    event = world.stall(Do.READ, DATA, NO_PASID)
    assert event.s2
    set_block(world, DATA, S2_RW)
    assert world.finish(event) == St.DONE


def test_stage_2_walk_abort_never_stalls(world: World) -> None:
    """3.12: not one of the four faults that may."""
    world.map()
    nest(world)
    world.poke(identity(world).root + (DATA >> 30) * 8, 0x3_0000_0000 | 3)
    event = world.fault(Do.READ, VA, SSID)
    assert (event.type, event.stall) == (Ev.F_WALK_EABT, False)


def test_terminate_ends_a_stall_of_stage_2(world: World) -> None:
    world.map()
    nest(world, {DATA: None})
    event = world.stall(Do.READ)
    world.smmu.resume(event, retry=False, abort=True)
    assert world.engine.wait() == FAILED


def test_without_the_stall_model_s2s_is_illegal(start: MachineMaker) -> None:
    """5.5."""
    world = World.build(start(smmu={"ssidsize": 16}))
    world.set_cd(SSID, world.context().but(s=False))
    world.map()
    nest(world)
    world.config_error(SSID, Ev.C_BAD_STE)


def test_forced_model_stalls(start: MachineMaker) -> None:
    """5.5 with IDR0.STALL_MODEL == 0b10."""
    world = World.build(start(smmu=FORCE))
    event = world.stall(Do.READ)
    world.map()
    assert world.finish(event) == St.DONE


def test_forced_model_makes_a_terminating_cd_illegal(start: MachineMaker) -> None:
    """5.5."""
    world = World.build(start(smmu=FORCE))
    world.map()
    world.set_cd(SSID, world.context().but(s=False))
    world.config_error()


def test_forced_model_makes_a_terminating_stage_2_illegal(start: MachineMaker) -> None:
    """5.5."""
    world = World.build(start(smmu=FORCE))
    world.map()
    nest(world, s2s=False)
    world.config_error(SSID, Ev.C_BAD_STE)
    nest(world)
    assert world.read() == St.DONE


def test_forced_model_makes_s1stalld_illegal(start: MachineMaker) -> None:
    """5.5."""
    world = World.build(start(smmu=FORCE))
    world.map()
    world.set_ste(s1stalld=True)
    world.config_error(SSID, Ev.C_BAD_STE)


def test_configuration_errors_do_not_stall_in_the_forced_model_either(start: MachineMaker) -> None:
    world = World.build(start(smmu=FORCE))
    world.set_cd(SSID, world.context().but(valid=False))
    assert not world.config_error().stall
