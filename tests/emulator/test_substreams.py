# SPDX-License-Identifier: GPL-2.0-or-later
"""Substreams: from StreamID and SubstreamID to a CD (IHI 0070 3.3.2, 5.2 to 5.4)."""

from __future__ import annotations

import pytest

from .conftest import MachineMaker
from .layout import CD_TABLE, DATA, STREAM_TABLE, UNMAPPED
from .smmu import (
    CMDQEN,
    CR0,
    EVENTQEN,
    SID_BITS,
    SMMUEN,
    STRTAB_BASE,
    STRTAB_BASE_CFG,
    Config,
    Dss,
    Ev,
    Stage2,
)
from .testdev import NO_PASID, Do, St
from .world import KERNEL_ASID, OTHER, SSID, VA, World

LEAVES = CD_TABLE + 0x10_0000
TWO_LEVEL = pytest.mark.parametrize(("s1fmt", "split"), [(1, 6), (2, 10)], ids=["4K", "64K"])


def test_each_substream_has_its_own_tables(world: World) -> None:
    world.map(pa=DATA)
    world.other.map(VA, DATA + 0x1000)
    world.kernel.map(VA, DATA + 0x2000)
    for offset, value in ((0, 5), (0x1000, 6), (0x2000, 0)):
        world.poke(DATA + offset, value)
    for ssid, value in ((SSID, 5), (OTHER, 6), (NO_PASID, 0)):
        assert world.read(ssid=ssid) == St.DONE
        assert world.engine.data == value


@TWO_LEVEL
def test_two_level_table_is_indexed_by_both_halves_of_the_ssid(world: World, s1fmt: int, split: int) -> None:
    """5.2 S1Fmt, 5.3 L1CD."""
    ssid = (3 << split) + (1 << split) - 1
    world.map()
    world.smmu.set_l1cd(3, LEAVES)
    world.smmu.set_cd((1 << split) - 1, world.context(), LEAVES)
    world.set_ste(s1fmt=s1fmt, s1cdmax=split + 2)
    assert world.read(ssid=ssid) == St.DONE
    assert world.config_error(ssid - 1).ssid == ssid - 1


@TWO_LEVEL
def test_invalid_l1cd_is_c_bad_substreamid(world: World, s1fmt: int, split: int) -> None:
    """7.3.9."""
    ssid = (2 << split) + 1
    world.smmu.set_l1cd(2, LEAVES, valid=False)
    world.smmu.set_cd(1, world.context(), LEAVES)
    world.set_ste(s1fmt=s1fmt, s1cdmax=split + 2)
    event = world.config_error(ssid, Ev.C_BAD_SUBSTREAMID)
    assert (event.sid, event.ssid, event.ssv) == (world.dev.sid, ssid, False)


def test_l2ptr_out_of_range_is_c_bad_substreamid(world: World) -> None:
    """7.3.9; OAS is 44."""
    world.smmu.set_l1cd(0, 1 << 45)
    world.set_ste(s1fmt=1, s1cdmax=10)
    assert world.config_error(SSID, Ev.C_BAD_SUBSTREAMID).ssid == SSID
    assert world.config_error(NO_PASID, Ev.C_BAD_SUBSTREAMID).ssid == 0


def test_reserved_s1fmt_behaves_as_linear(world: World) -> None:
    """5.2 S1Fmt 0b11."""
    world.map()
    world.set_ste(s1fmt=3)
    assert world.read() == St.DONE


def test_ssid_within_s1cdmax_is_used_and_the_next_one_is_c_bad_substreamid(world: World) -> None:
    """5.2 S1CDMax."""
    world.map()
    world.set_ste(s1cdmax=3)
    world.set_cd(7, world.context())
    world.set_cd(8, world.context())
    assert world.read(ssid=7) == St.DONE
    event = world.config_error(8, Ev.C_BAD_SUBSTREAMID)
    assert (event.ssid, event.ssv) == (8, False)


def test_s1cdmax_0_has_no_substreams_and_one_cd(world: World) -> None:
    world.kernel.map(VA, DATA)
    world.set_ste(s1cdmax=0, s1dss=Dss.TERMINATE)
    assert world.read(ssid=NO_PASID) == St.DONE
    assert world.config_error(SSID, Ev.C_BAD_SUBSTREAMID).ssid == SSID
    assert world.config_error(0, Ev.C_BAD_SUBSTREAMID).ssid == 0


def test_s1cdmax_beyond_ssidsize_is_c_bad_ste(start: MachineMaker) -> None:
    """5.2 S1CDMax: ILLEGAL."""
    world = World.build(start(smmu={"ssidsize": 8, "stall": True}))
    world.map()
    world.set_ste(s1cdmax=8)
    assert world.read() == St.DONE
    world.set_ste(s1cdmax=9)
    world.smmu.cfgi_ste(world.dev.sid)
    event = world.config_error(SSID, Ev.C_BAD_STE)
    assert (event.sid, event.ssv, event.ssid) == (world.dev.sid, True, SSID)


def test_without_substreams_s1cdmax_is_ignored(start: MachineMaker) -> None:
    """5.2 S1CDMax with IDR1.SSIDSIZE == 0; 7.3.9."""
    world = World.build(start(smmu={"stall": True}))
    world.kernel.map(VA, DATA)
    world.set_ste(s1cdmax=31, s1fmt=2, s1dss=Dss.TERMINATE)
    assert world.read(ssid=NO_PASID) == St.DONE
    assert world.config_error(SSID, Ev.C_BAD_SUBSTREAMID).ssid == SSID


@pytest.mark.parametrize("config", [Config.BYPASS, Config.S2])
def test_ssid_without_stage_1_is_c_bad_substreamid(world: World, config: Config) -> None:
    """7.3.9."""
    world.set_ste(config=config, stage2=Stage2(root=DATA))
    assert world.config_error(SSID, Ev.C_BAD_SUBSTREAMID).ssid == SSID


@pytest.mark.parametrize("dss", [Dss.TERMINATE, Dss.RESERVED])
def test_s1dss_terminates_what_has_no_substream(world: World, dss: Dss) -> None:
    """5.2 S1DSS 0b00, and 0b11 which behaves so; 7.3.7."""
    world.map()
    world.set_ste(s1dss=dss)
    event = world.config_error(NO_PASID, Ev.F_STREAM_DISABLED)
    assert event.sid == world.dev.sid
    assert world.read() == St.DONE


def test_s1dss_bypasses_stage_1_for_what_has_no_substream(world: World) -> None:
    """5.2 S1DSS 0b01."""
    world.map(pa=DATA + 0x1000)
    world.poke(DATA, 0xBA55)
    world.poke(DATA + 0x1000, 0x57A6)
    world.set_ste(s1dss=Dss.BYPASS)
    assert world.read(DATA, NO_PASID) == St.DONE
    assert world.engine.data == 0xBA55
    assert world.read() == St.DONE
    assert world.engine.data == 0x57A6


def test_s1dss_ssid0_keeps_cd_0_for_what_has_no_substream(world: World) -> None:
    """5.2 S1DSS 0b10; 7.3.7."""
    world.kernel.map(VA, DATA)
    assert world.read(ssid=NO_PASID) == St.DONE
    assert world.config_error(0, Ev.F_STREAM_DISABLED).sid == world.dev.sid


@pytest.mark.parametrize("dss", [Dss.TERMINATE, Dss.BYPASS])
def test_ssid_0_is_a_substream_like_any_other_unless_s1dss_takes_it(world: World, dss: Dss) -> None:
    world.kernel.map(VA, DATA)
    world.set_ste(s1dss=dss)
    assert world.read(ssid=0) == St.DONE


def test_invalid_cd_is_c_bad_cd_of_its_substream(world: World) -> None:
    """7.3.11."""
    world.set_cd(SSID, world.context().but(valid=False))
    event = world.config_error()
    assert (event.sid, event.ssv, event.ssid) == (world.dev.sid, True, SSID)
    world.set_cd(0, world.context().but(valid=False))
    event = world.config_error(NO_PASID)
    assert (event.ssv, event.ssid) == (False, 0)


def test_abort_of_a_cd_fetch_is_f_cd_fetch_of_its_substream(world: World) -> None:
    """7.3.10."""
    world.set_ste(cd_table=UNMAPPED)
    event = world.config_error(SSID, Ev.F_CD_FETCH)
    assert (event.ssv, event.ssid, event.addr) == (True, SSID, UNMAPPED + SSID * 64)


def test_abort_of_an_l1cd_fetch_is_f_cd_fetch(world: World) -> None:
    world.set_ste(s1fmt=1, s1cdmax=16, cd_table=UNMAPPED)
    assert world.config_error(0x1234, Ev.F_CD_FETCH).addr == UNMAPPED + (0x1234 >> 6) * 8


def test_invalid_ste_is_c_bad_ste_of_the_substream(world: World) -> None:
    """7.3.5."""
    world.set_ste(valid=False)
    event = world.config_error(SSID, Ev.C_BAD_STE)
    assert (event.ssv, event.ssid) == (True, SSID)


def test_stream_beyond_the_table_is_c_bad_streamid(world: World) -> None:
    """7.3.3."""
    world.smmu.write(0x88, 2)
    event = world.config_error(SSID, Ev.C_BAD_STREAMID)
    assert (event.sid, event.ssv, event.ssid) == (world.dev.sid, True, SSID)


@pytest.mark.parametrize(("span", "found"), [(0, False), (5, False), (6, True)])
def test_span_of_a_second_level_stream_table(world: World, span: int, found: bool) -> None:
    """5.1: 2 ^ (Span - 1) entries, the device's is number 16; 7.3.3."""
    world.map()
    world.smmu.write(CR0, 0)
    level1 = STREAM_TABLE + 0x8000
    world.poke(level1, STREAM_TABLE | span)
    world.smmu.write64(STRTAB_BASE, level1)
    world.smmu.write(STRTAB_BASE_CFG, 1 << 16 | 6 << 6 | SID_BITS)
    world.smmu.write(CR0, SMMUEN | EVENTQEN | CMDQEN)
    if found:
        assert world.read() == St.DONE
    else:
        world.config_error(SSID, Ev.C_BAD_STREAMID)


def test_substreams_of_one_asid_share_the_iotlb(world: World) -> None:
    """3.17: entries are tagged with ASID and VMID, not with the stream."""
    world.kernel.map(VA, DATA)
    for ssid in (SSID, OTHER):
        world.set_cd(ssid, world.context().but(table=world.kernel, asid=KERNEL_ASID))
    assert world.read(ssid=SSID) == St.DONE
    misses = world.stats()["iotlb-misses"]
    assert world.read(ssid=OTHER) == St.DONE
    assert world.stats()["iotlb-misses"] == misses


def test_stall_is_a_choice_of_each_substream(world: World) -> None:
    """5.5: CD.S."""
    world.set_cd(OTHER, world.context().but(s=False))
    assert not world.fault(Do.READ, VA, OTHER).stall
    assert world.stall(Do.READ).stall
