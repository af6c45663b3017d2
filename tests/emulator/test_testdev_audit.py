# SPDX-License-Identifier: GPL-2.0-or-later
"""sva-testdev: the audit as the guest asks for it, sync points, and the QMP events."""

from __future__ import annotations

import struct

import pytest

from .audit import Side, audit
from .conftest import MachineMaker
from .layout import DATA
from .pagetable import RO, RW, TABLE_OR_PAGE, VALID
from .testdev import (
    AUDIT,
    AUDIT_ENTRIES,
    AUDIT_INDEX,
    AUDIT_SHOWN,
    AUDIT_STATUS,
    DIFF,
    FAILED,
    INCOMPLETE,
    NO_IOMMU,
    NO_PASID,
    PERMISSIVE,
    RESET,
    RESTRICTIVE,
    SYNC,
    SYNCS,
    UNMAPPED,
    WRONG_PAGE,
    Do,
    St,
    TestDevice,
)
from .world import ASID, PAGE, SSID, SVA, VA, World

KINDS = {1: "restrictive", 2: "permissive", 3: "wrong-page", 4: "unmapped"}
WALKS = {0: "ok", 1: "translation", 2: "address-size", 3: "external-abort", 4: "stage-2", 5: "no-table"}


def cache(world: World, page: int, attributes: int = RW) -> None:
    world.map(VA + page * PAGE, DATA + page * PAGE, attributes)
    assert world.read(VA + page * PAGE) == St.DONE


def change(world: World) -> None:
    """One entry that agrees, and one difference of each kind but two that are unmapped."""
    for page, attributes in enumerate((RO, RW, RW, RW, RW, RW)):
        cache(world, page, attributes)
    world.map(VA, DATA, RW)
    world.map(VA + PAGE, DATA + PAGE, RO)
    world.map(VA + 2 * PAGE, DATA)
    world.table.unmap(VA + 3 * PAGE)
    world.table.unmap(VA + 4 * PAGE)


def counts(world: World) -> list[int]:
    return [world.dev.get(register) for register in (RESTRICTIVE, PERMISSIVE, WRONG_PAGE, UNMAPPED)]


def shown(world: World, index: int) -> bytes:
    """The registers of one difference, as they lie there."""
    world.dev.put(AUDIT_INDEX, index)
    return b"".join(world.dev.get(DIFF + n).to_bytes(4, "little") for n in range(0, 0x50, 4))


def test_registers_tell_what_qmp_tells(world: World) -> None:
    change(world)
    world.dev.put(AUDIT, 1)
    assert world.dev.get(AUDIT_STATUS) == 0
    assert world.dev.get(AUDIT_ENTRIES) == 6
    assert counts(world) == [1, 1, 1, 2]
    expected = audit(world.machine)
    assert len(expected) == 5
    for index, difference in enumerate(expected):
        kind, walk, sid, pasid, asid, vmid, addr, size, cached, walked, *sides = struct.unpack(
            "<6I2Q2I4Q", shown(world, index)
        )
        assert (KINDS[kind], WALKS[walk]) == (difference.kind, difference.walk)
        assert (sid, pasid, asid, vmid) == (world.dev.sid, SSID, ASID, 0)
        assert (addr, size) == (difference.address, difference.size)
        assert cached & 1 and 1 << (cached >> 16) == difference.granule
        for value, side, expected_side in (
            (cached, sides[:2], difference.cached),
            (walked, sides[2:], difference.walked),
        ):
            found = Side(bool(value & 2), bool(value & 4), value >> 8 & 0xFF, *side)
            assert found == expected_side
    assert shown(world, 5) == bytes(0x50)
    assert shown(world, 0xFFFF_FFFF) == bytes(0x50)


def test_entry_of_no_substream(world: World) -> None:
    world.kernel.map(VA, DATA)
    assert world.read(ssid=NO_PASID) == St.DONE
    world.kernel.unmap(VA)
    world.dev.put(AUDIT, 1)
    assert struct.unpack_from("<I", shown(world, 0), 12) == (NO_PASID,)


def test_registers_are_of_the_last_audit(world: World) -> None:
    change(world)
    assert counts(world) == [0, 0, 0, 0]
    assert world.dev.get(AUDIT) == 0
    world.dev.put(AUDIT, 1)
    world.smmu.tlbi_nh_asid(ASID)
    assert counts(world) == [1, 1, 1, 2]
    assert world.dev.get(AUDIT) == 1
    world.dev.put(AUDIT, 0)
    assert counts(world) == [1, 1, 1, 2]
    world.dev.put(AUDIT, 1)
    assert (world.dev.get(AUDIT), world.dev.get(AUDIT_ENTRIES)) == (2, 0)
    assert counts(world) == [0, 0, 0, 0]
    assert shown(world, 0) == bytes(0x50)


def test_audit_by_register_changes_no_counter(world: World) -> None:
    change(world)
    before = world.stats()
    world.dev.put(AUDIT, 1)
    assert world.stats() == before
    assert world.smmu.event_count == 0


def test_first_differences_only_are_shown_but_all_are_counted(world: World) -> None:
    pages = AUDIT_SHOWN + 3
    for page in range(0, 2 * pages, 2):
        cache(world, page)
        world.table.unmap(VA + page * PAGE)
    world.dev.put(AUDIT, 1)
    assert counts(world) == [0, 0, 0, pages]
    assert struct.unpack_from("<Q", shown(world, AUDIT_SHOWN - 1), 24) == (VA + 2 * (AUDIT_SHOWN - 1) * PAGE,)
    assert shown(world, AUDIT_SHOWN) == bytes(0x50)


def test_incomplete_audit_says_so(world: World) -> None:
    for block in range(5):
        world.map(VA + (block << 30), 1 << 30, RW, level=1)
        assert world.read(VA + (block << 30)) == St.DONE
    world.map(VA, DATA)
    level2, level3 = world.table.entry(VA, 2), world.table.entry(VA, 3)
    for n in range(512):
        world.poke(level2 + 8 * n, level3 | TABLE_OR_PAGE | VALID)
    for block in range(5):
        world.table.set(VA + (block << 30), level2 | TABLE_OR_PAGE | VALID, level=1)
    world.dev.put(AUDIT, 1)
    assert world.dev.get(AUDIT_STATUS) == INCOMPLETE


def test_many_entries_of_a_process_that_is_gone_are_no_hang(start: MachineMaker) -> None:
    """64 tables' worth of pages: one table, used 64 times.

    To audit them takes less time than to fill the IOTLB, and hundreds of times as long when it is the square.
    """
    pages = 64 * 512
    world = World.build(start(smmu={**SVA, "iotlb-size": pages}))
    for page in range(512):
        world.map(VA + page * PAGE, DATA + page * PAGE)
    table = world.machine.qtest.read64(world.table.entry(VA, 2))
    for n in range(64):
        world.table.set(VA + (n << 21), table, level=2)
    begin = world.machine.cpu_seconds()
    assert world.engine.run(Do.PRIME, VA, SSID, pages * PAGE) == St.DONE
    filled = world.machine.cpu_seconds()
    world.set_cd(SSID, world.context().but(valid=False))
    world.dev.put(AUDIT, 1)
    assert world.dev.get(AUDIT_ENTRIES) == pages
    assert counts(world) == [0, 0, 0, pages]
    assert world.machine.cpu_seconds() - filled < 10 * (filled - begin)


def test_without_iommu_the_audit_says_so(start: MachineMaker) -> None:
    dev = TestDevice(start(smmu=None), 2)
    dev.put(AUDIT, 1)
    assert (dev.get(AUDIT), dev.get(AUDIT_STATUS), dev.get(AUDIT_ENTRIES)) == (1, NO_IOMMU, 0)


def test_reset_of_the_engines_keeps_the_audit_and_a_system_reset_does_not(world: World) -> None:
    change(world)
    world.dev.put(AUDIT, 1)
    world.dev.put(SYNC, 7)
    world.dev.put(RESET, 1)
    assert counts(world) == [1, 1, 1, 2]
    assert world.dev.get(SYNCS) == 1
    world.machine.qmp("system_reset")
    world.machine.until("the reset", lambda: world.smmu.read(0x20) == 0)
    world.dev.configure()
    assert (counts(world), world.dev.get(AUDIT)) == ([0, 0, 0, 0], 0)
    assert (world.dev.get(SYNC), world.dev.get(SYNCS), shown(world, 0)) == (0, 0, bytes(0x50))


def test_sync_point_is_counted_and_told(start: MachineMaker) -> None:
    world = World.build(start(devices=[{"addr": "2.0", "id": "dev0"}]))
    world.machine.events("SVA_TESTDEV_SYNC")
    world.dev.put(SYNC, 0x5EED)
    world.machine.qtest.clock_step(1_000_000)
    world.dev.put(SYNC, 0xFFFF_FFFF)
    assert (world.dev.get(SYNC), world.dev.get(SYNCS)) == (0xFFFF_FFFF, 2)
    first, second = world.machine.events("SVA_TESTDEV_SYNC")
    assert second.pop("time") - first.pop("time") == 1_000_000
    both = {"device": "dev0", "path": "/machine/peripheral/dev0"}
    assert first == {**both, "number": 0x5EED, "count": 1}
    assert second == {**both, "number": 0xFFFF_FFFF, "count": 2}


@pytest.mark.parametrize("bound", [1, 3])
def test_command_that_passes_its_stall_bound_is_told(world: World, bound: int) -> None:
    world.map()
    world.machine.qtest.clock_step(12345)
    world.dev.engines[3].start(Do.WRITE, VA - PAGE, SSID, 2 * PAGE, max_stalls=bound)
    for n in range(bound):
        world.dev.engines[3].wait_stalls(n + 1)
        assert world.machine.events("SVA_TESTDEV_GAVE_UP") == []
        world.smmu.resume(world.smmu.pop_event())
    assert world.dev.engines[3].wait() == FAILED | St.GAVE_UP
    (event,) = world.machine.events("SVA_TESTDEV_GAVE_UP")
    assert event.pop("path").startswith("/machine/")
    assert event == {"engine": 3, "pasid": SSID, "address": VA - PAGE, "stalls": bound, "time": 12345}
