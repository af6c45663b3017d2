# SPDX-License-Identifier: GPL-2.0-or-later
"""The IOTLB audit: cached entries against the tables they came from (IHI 0070 3.17, 3.21.1; Arm ARM D8)."""

from __future__ import annotations

import pytest
from qemu.qmp.error import QMPError

from .audit import Difference, Side, audit
from .conftest import MachineMaker
from .layout import DATA, RAM_END, UNMAPPED
from .pagetable import (
    ACCESSED,
    APTABLE_NO_USER,
    APTABLE_READ_ONLY,
    G4K,
    G16K,
    G64K,
    KERNEL_RW,
    NOT_GLOBAL,
    READ_ONLY,
    RO,
    RW,
    TABLE_OR_PAGE,
    USER,
    VALID,
    Granule,
)
from .smmu import CR0
from .testdev import FAILED, NO_PASID, Do, St
from .world import ASID, PAGE, SSID, SVA, VA, World

SIZES = [(g, level) for g in (G4K, G16K, G64K) for level in (3, 2)] + [(G4K, 1)]
IDS = [f"{g.page >> 10}K-level-{level}" for g, level in SIZES]
PA = 1 << 30
"""A frame for the largest block; nothing of it beyond the RAM is accessed."""
ELSEWHERE = 2 << 30


def cache(world: World, va: int = VA, pa: int = DATA, attributes: int = RW, level: int = 3) -> None:
    """Map and read: the entry is in the IOTLB."""
    world.map(va, pa, attributes, level)
    assert world.read(va) == St.DONE


def kinds(world: World) -> list[tuple[str, int, int]]:
    return [difference.short for difference in audit(world.machine)]


def sized_world(start: MachineMaker, granule: Granule) -> World:
    return World.build(start(), granule)


# Kinds


def test_nothing_differs_after_what_the_device_did(world: World) -> None:
    cache(world)
    cache(world, VA + PAGE, DATA + PAGE, RO)
    world.kernel.map(VA, DATA, RW)
    assert world.read(ssid=NO_PASID) == St.DONE
    assert world.write() == St.DONE
    assert audit(world.machine) == []


@pytest.mark.parametrize(("granule", "level"), SIZES, ids=IDS)
@pytest.mark.parametrize(
    ("was", "pa", "now", "kind"),
    [
        (RO, PA, RW, "restrictive"),
        (RW, PA, RO, "permissive"),
        (RW, PA, KERNEL_RW, "permissive"),
        (RW, ELSEWHERE, RW, "wrong-page"),
        (RW, ELSEWHERE, RO, "wrong-page"),
    ],
    ids=["restrictive", "permissive", "kernel-only", "wrong-page", "wrong-page-read-only"],
)
def test_each_kind_in_each_size(
    start: MachineMaker, granule: Granule, level: int, was: int, pa: int, now: int, kind: str
) -> None:
    world = sized_world(start, granule)
    size = 1 << granule.level_shift(level)
    leaf = VALID | (TABLE_OR_PAGE if level == 3 else 0)
    cache(world, pa=PA, attributes=was, level=level)
    assert audit(world.machine) == []
    world.map(VA, pa, now, level)
    user = bool(now & USER)
    assert audit(world.machine) == [
        Difference(
            kind=kind,
            stream=world.dev.sid,
            substream=SSID,
            asid=ASID,
            vmid=0,
            address=VA,
            size=size,
            granule=granule.page,
            walk="ok",
            cached=Side(True, not was & READ_ONLY, level, PA | was | leaf, PA),
            walked=Side(user, user and not now & READ_ONLY, level, pa | now | leaf, pa),
        )
    ]
    world.smmu.tlbi_nh_asid(ASID)
    assert audit(world.machine) == []


@pytest.mark.parametrize(("granule", "level"), SIZES, ids=IDS)
def test_unmapped_in_each_size(start: MachineMaker, granule: Granule, level: int) -> None:
    world = sized_world(start, granule)
    cache(world, pa=PA, level=level)
    world.table.unmap(VA, level)
    (found,) = audit(world.machine)
    assert found.short == ("unmapped", VA, 1 << granule.level_shift(level))
    assert (found.walk, found.walked) == ("translation", Side(False, False, level, 0, 0))


def test_unmapped_in_an_upper_table(world: World) -> None:
    cache(world)
    world.table.unmap(VA, level=1)
    (found,) = audit(world.machine)
    assert found.short == ("unmapped", VA, PAGE)
    assert found.walked.level == 1


@pytest.mark.parametrize("bits", [USER | NOT_GLOBAL, USER | NOT_GLOBAL | READ_ONLY], ids=["rw", "ro"])
def test_access_flag_alone_is_no_difference(world: World, bits: int) -> None:
    """A fault for it is not cached, and heals itself."""
    cache(world, attributes=bits | ACCESSED)
    world.map(attributes=bits)
    assert audit(world.machine) == []


def test_software_bits_are_no_difference(world: World) -> None:
    cache(world)
    world.map(attributes=RW | 0xF << 55)
    assert audit(world.machine) == []


def test_reserved_descriptor_is_unmapped(world: World) -> None:
    """Arm ARM D8.3: 0b01 at level 3."""
    cache(world)
    world.table.set(VA, DATA | RW | VALID)
    assert kinds(world) == [("unmapped", VA, PAGE)]


@pytest.mark.parametrize(
    ("pa", "walk"), [(1 << 45, "address-size"), (UNMAPPED, "ok")], ids=["address-size", "no-memory"]
)
def test_output_address(world: World, pa: int, walk: str) -> None:
    cache(world)
    world.map(pa=pa)
    (found,) = audit(world.machine)
    assert (found.kind, found.walk) == ("wrong-page" if walk == "ok" else "unmapped", walk)


def test_table_that_is_no_memory(world: World) -> None:
    cache(world)
    world.table.set(VA, UNMAPPED | TABLE_OR_PAGE | VALID, level=2)
    (found,) = audit(world.machine)
    assert (found.kind, found.walk) == ("unmapped", "external-abort")


@pytest.mark.parametrize("bits", [APTABLE_READ_ONLY, APTABLE_NO_USER])
def test_hierarchical_permissions_count(world: World, bits: int) -> None:
    cache(world)
    world.table.map(VA, DATA, RW, table_attributes=bits)
    assert kinds(world) == [("permissive", VA, PAGE)]


def test_hierarchical_permissions_are_disabled_by_had0(world: World) -> None:
    """IHI 0070 5.4 HAD0."""
    world.set_cd(SSID, world.context().but(had0=True))
    cache(world)
    world.table.map(VA, DATA, RW, table_attributes=APTABLE_READ_ONLY)
    assert audit(world.machine) == []


# Blocks and pages


def split(world: World, pages: int = 512) -> None:
    """A block of 2 MiB at VA, cached, is split into pages that map the same."""
    cache(world, level=2)
    for page in range(pages):
        world.map(VA + page * PAGE, DATA + page * PAGE)


def test_block_split_into_the_same_pages_is_no_difference(world: World) -> None:
    split(world)
    assert audit(world.machine) == []


def test_each_part_of_a_split_block_is_compared(world: World) -> None:
    split(world)
    world.map(VA + 3 * PAGE, DATA + 3 * PAGE, RO)
    world.map(VA + 4 * PAGE, DATA + 4 * PAGE, RO)
    world.map(VA + 5 * PAGE, DATA + 6 * PAGE)
    world.table.unmap(VA + 511 * PAGE)
    found = audit(world.machine)
    assert [difference.short for difference in found] == [
        ("permissive", VA + 3 * PAGE, 2 * PAGE),
        ("wrong-page", VA + 5 * PAGE, PAGE),
        ("unmapped", VA + 511 * PAGE, PAGE),
    ]
    assert [(d.cached.level, d.walked.level, d.cached.address) for d in found] == [
        (2, 3, DATA + 3 * PAGE),
        (2, 3, DATA + 5 * PAGE),
        (2, 3, DATA + 511 * PAGE),
    ]


def test_pages_that_became_a_block(world: World) -> None:
    cache(world, VA, DATA)
    cache(world, VA + PAGE, DATA + 7 * PAGE)
    world.map(VA, DATA, RW, level=2)
    (found,) = audit(world.machine)
    assert found.short == ("wrong-page", VA + PAGE, PAGE)
    assert (found.walked.level, found.walked.address, found.cached.address) == (2, DATA + PAGE, DATA + 7 * PAGE)


def test_too_many_pieces_are_an_error_and_no_hang(world: World) -> None:
    """Blocks of 1 GiB, five of them, split into pages by way of one table."""
    for block in range(5):
        cache(world, VA + (block << 30), 1 << 30, level=1)
    world.map(VA, DATA)
    level2, level3 = world.table.entry(VA, 2), world.table.entry(VA, 3)
    for n in range(512):
        world.poke(level2 + 8 * n, level3 | TABLE_OR_PAGE | VALID)
    for block in range(5):
        world.table.set(VA + (block << 30), level2 | TABLE_OR_PAGE | VALID, level=1)
    with pytest.raises(QMPError, match="more than 1048576 pieces"):
        audit(world.machine)
    world.smmu.tlbi_nh_va(ASID, VA)
    world.smmu.tlbi_nh_va(ASID, VA + (1 << 30))
    assert {difference.kind for difference in audit(world.machine)} == {"unmapped", "wrong-page"}


# What it must not do


def test_audit_changes_nothing(world: World) -> None:
    cache(world, attributes=RO)
    cache(world, VA + PAGE, DATA + PAGE)
    world.map(attributes=RW & ~ACCESSED)
    world.table.unmap(VA + PAGE)
    tables = world.machine.qtest.read(world.table.root, 5 * PAGE)
    probes = [world.dev.probe(VA + n * PAGE, SSID) for n in range(2)]
    before = world.stats()
    for _ in range(3):
        assert [d.kind for d in audit(world.machine)] == ["restrictive", "unmapped"]
    assert world.stats() == before
    assert world.smmu.event_count == 0
    assert world.machine.qtest.read(world.table.root, 5 * PAGE) == tables
    assert [world.dev.probe(VA + n * PAGE, SSID) for n in range(2)] == probes
    assert world.read(VA + PAGE) == St.DONE


def test_bad_configuration_records_no_event(world: World) -> None:
    cache(world)
    world.set_ste(cd_table=RAM_END)
    assert [d.walk for d in audit(world.machine)] == ["no-table"]
    assert world.smmu.event_count == 0
    assert world.stats()["events-lost"] == 0


def test_audit_while_a_command_is_stalled(world: World) -> None:
    """The loop is found before the device has faulted, and while it does."""
    cache(world, attributes=RO)
    world.map(attributes=RW)
    assert kinds(world) == [("restrictive", VA, PAGE)]
    event = world.stall(Do.WRITE, data=0xA0D17)
    assert kinds(world) == [("restrictive", VA, PAGE)]
    event = world.retry(event)
    world.smmu.tlbi_nh_va(ASID, VA)
    assert kinds(world) == []
    assert world.finish(event) == St.DONE
    assert world.peek(DATA) == 0xA0D17


def test_audit_while_engines_run(world: World) -> None:
    pages = 300
    for page in range(pages):
        world.map(VA + page * PAGE, DATA + page * PAGE)
    for engine in world.dev.engines:
        engine.start(Do.READ, VA, SSID, pages * PAGE)
    seen = [kinds(world) for _ in range(5)]
    assert seen == [[]] * 5
    assert {engine.wait() for engine in world.dev.engines} == {St.DONE}


def test_iotlb_off_has_nothing_to_audit(start: MachineMaker) -> None:
    world = World.build(start(smmu={**SVA, "iotlb-size": 0}))
    cache(world)
    world.table.unmap(VA)
    assert audit(world.machine) == []


def test_smmu_off_has_nothing_to_audit(world: World) -> None:
    cache(world)
    world.table.unmap(VA)
    world.smmu.write(CR0, 0)
    assert audit(world.machine) == []


def test_fault_is_no_entry(world: World) -> None:
    world.map(attributes=KERNEL_RW)
    assert world.dev.engines[1].run(Do.READ, VA, NO_PASID) == FAILED
    assert audit(world.machine) == []


def test_cached_fault_is_at_most_restrictive(start: MachineMaker) -> None:
    """What permits nothing leads the device nowhere, be its page another one by now, or none."""
    world = World.build(start(smmu={**SVA, "cache-faults": True}))
    world.set_cd(SSID, world.context().but(s=False))
    world.map(attributes=KERNEL_RW)
    assert world.read() == FAILED
    assert world.dev.probe(VA, SSID).cached
    assert audit(world.machine) == []
    world.map(pa=DATA + PAGE, attributes=KERNEL_RW)
    assert audit(world.machine) == []
    world.table.unmap(VA)
    assert audit(world.machine) == []
    world.map(pa=DATA + PAGE)
    assert kinds(world) == [("restrictive", VA, PAGE)]
