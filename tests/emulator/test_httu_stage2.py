# SPDX-License-Identifier: GPL-2.0-or-later
"""Hardware update of flags where stage 2 translates (IHI 0070 3.13.5, 5.2 S2HA, S2HD)."""

from __future__ import annotations

import pytest

from .audit import audit
from .conftest import MachineMaker
from .layout import CD_TABLE, DATA, RAM, STAGE2
from .pagetable import (
    ACCESSED,
    CLEAN,
    DIRTY_MODIFIER,
    READ_ONLY,
    S2_READ,
    S2_RW,
    S2_WRITE,
    TABLE_OR_PAGE,
    VALID,
)
from .smmu import Config, Ev, Stage2
from .test_httu import DIRTY, YOUNG, build, descriptor
from .testdev import Do, St
from .world import PAGE, SSID, SVA, VA, World


def stage2(world: World, attributes: int = S2_RW, tables: int = S2_RW, **fields: bool) -> Stage2:
    """Stage 2 in blocks of 2 MiB: of ``attributes`` for the data, of ``tables`` for the translation tables."""
    level2 = STAGE2 + PAGE
    world.poke(STAGE2 + (RAM >> 30) * 8, level2 | TABLE_OR_PAGE | VALID)
    for n in range(64):
        block = RAM + (n << 21)
        kind = attributes if block == DATA else tables if RAM + (16 << 20) <= block < DATA else S2_RW
        world.poke(level2 + n * 8, block | kind | VALID)
    return Stage2(root=STAGE2, vmid=7, **fields)


def block(world: World, ipa: int) -> int:
    """Stage 2's descriptor."""
    return world.peek(STAGE2 + PAGE + (ipa - RAM >> 21) * 8)


def nested(start: MachineMaker, **fields: object) -> World:
    world = build(start, smmu={**DIRTY, "stage": "nested"})
    world.set_ste(config=Config.NESTED, stage2=stage2(world, **fields))  # type: ignore[arg-type]
    return world


def test_both_stages_are_updated(start: MachineMaker) -> None:
    """3.13.5."""
    clean = S2_READ | DIRTY_MODIFIER
    world = nested(start, attributes=clean, tables=clean, ha=True, hd=True)
    world.map(attributes=YOUNG | READ_ONLY | DIRTY_MODIFIER)
    assert world.write(data=0x22) == St.DONE
    assert world.peek(DATA) == 0x22
    assert descriptor(world) & (ACCESSED | READ_ONLY) == ACCESSED
    table = world.table.entry(VA)
    for ipa in (DATA, table & -(2 << 20)):
        assert block(world, ipa) & (ACCESSED | S2_WRITE) == ACCESSED | S2_WRITE


def test_walk_that_updates_nothing_leaves_its_tables_clean_at_stage_2(start: MachineMaker) -> None:
    clean = S2_READ | DIRTY_MODIFIER
    world = nested(start, attributes=clean, tables=clean, ha=True, hd=True)
    world.map()
    assert world.read() == St.DONE
    for ipa in (DATA, world.table.entry(VA) & -(2 << 20)):
        assert block(world, ipa) & (ACCESSED | S2_WRITE) == ACCESSED


def test_write_hit_makes_what_is_clean_at_either_stage_dirty(start: MachineMaker) -> None:
    world = nested(start, attributes=S2_READ | DIRTY_MODIFIER | ACCESSED, ha=True, hd=True)
    world.map(attributes=CLEAN)
    assert world.read() == St.DONE
    assert world.write() == St.DONE
    assert not descriptor(world) & READ_ONLY
    assert block(world, DATA) & S2_WRITE
    assert world.stats()["httu-dirty"] == 2


def test_stage_1_update_needs_write_permission_of_stage_2(start: MachineMaker) -> None:
    """3.13.5; 7.3.16 CLASS TT. Stage 2 terminates."""
    world = nested(start, tables=S2_READ | ACCESSED)
    world.map(attributes=CLEAN)
    before = descriptor(world)
    event = world.fault(Do.WRITE, VA, SSID)
    assert (event.type, event.s2, event.cls, event.stall) == (Ev.F_PERMISSION, True, 1, False)
    assert event.addr2 == world.table.entry(VA) & -PAGE
    assert descriptor(world) == before
    assert world.read() == St.DONE, "a read updates nothing"


def test_read_only_stage_2_is_no_clean_page(start: MachineMaker) -> None:
    world = nested(start, attributes=S2_READ | ACCESSED, ha=True, hd=True)
    world.map(attributes=CLEAN)
    assert world.read() == St.DONE
    event = world.fault(Do.WRITE, VA, SSID)
    assert (event.type, event.s2, event.cls, event.addr2) == (Ev.F_PERMISSION, True, 2, DATA)
    assert block(world, DATA) == DATA | S2_READ | ACCESSED | VALID


def test_cd_fetch_sets_the_access_flag_of_stage_2_and_makes_nothing_dirty(start: MachineMaker) -> None:
    """3.13.2 note; 3.13.3.1."""
    world = nested(start, ha=True, hd=True)
    cds = CD_TABLE & -(2 << 20)
    world.poke(STAGE2 + PAGE + (cds - RAM >> 21) * 8, cds | S2_READ | DIRTY_MODIFIER | VALID)
    world.map()
    assert world.write() == St.DONE
    assert block(world, cds) & (ACCESSED | S2_WRITE) == ACCESSED


@pytest.mark.parametrize(("httu", "fields"), [("none", {"ha": True}), ("access", {"ha": True, "hd": True})])
def test_stage_2_httu_beyond_what_is_told_is_c_bad_ste(
    start: MachineMaker, httu: str, fields: dict[str, bool]
) -> None:
    """5.2 S2HA."""
    world = World.build(start(smmu={**SVA, "httu": httu, "stage": "nested"}))
    world.set_ste(config=Config.NESTED, stage2=stage2(world, **fields))
    world.config_error(SSID, Ev.C_BAD_STE)


def test_audit_updates_no_descriptor(start: MachineMaker) -> None:
    """Of stage 2 neither, where the way to the CD leads through it."""
    world = nested(start, ha=True, hd=True)
    cds = CD_TABLE & -(2 << 20)
    world.map()
    assert world.read() == St.DONE
    young = cds | S2_READ | VALID
    world.poke(STAGE2 + PAGE + (cds - RAM >> 21) * 8, young)
    world.map(attributes=YOUNG)
    before = world.stats()
    assert audit(world.machine) == []
    assert block(world, cds) == young
    assert not descriptor(world) & ACCESSED
    assert world.stats() == before
