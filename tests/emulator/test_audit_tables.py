# SPDX-License-Identifier: GPL-2.0-or-later
"""Which tables the IOTLB audit walks: whose, and of how many stages (IHI 0070 3.17, 3.3.2)."""

from __future__ import annotations

from .audit import Difference, audit
from .layout import DATA
from .pagetable import (
    RO,
    Context,
)
from .test_audit import cache
from .test_two_stages import BLOCK, VMID, identity, nest
from .testdev import NO_PASID, St
from .world import ASID, KERNEL_ASID, OTHER, PAGE, SSID, VA, World

# Which tables


def test_substreams_are_told_apart(world: World) -> None:
    cache(world)
    world.other.map(VA, DATA)
    assert world.read(ssid=OTHER) == St.DONE
    world.other.unmap(VA)
    assert [d.substream for d in audit(world.machine)] == [OTHER]


def test_access_without_pasid_has_no_substream(world: World) -> None:
    world.kernel.map(VA, DATA)
    assert world.read(ssid=NO_PASID) == St.DONE
    world.kernel.unmap(VA)
    (found,) = audit(world.machine)
    assert (found.substream, found.asid, found.kind) == (None, KERNEL_ASID, "unmapped")


def test_cd_that_is_gone_leaves_its_entries_unmapped(world: World) -> None:
    """5.4 V = 0. The next user of the ASID would find them: they are to be invalidated before it is given up."""
    cache(world)
    world.set_cd(SSID, world.context().but(valid=False))
    world.smmu.cfgi_cd(world.dev.sid, SSID)
    (found,) = audit(world.machine)
    assert (found.kind, found.walk) == ("unmapped", "no-table")
    assert found.cached.address == DATA
    world.smmu.tlbi_nh_asid(ASID)
    assert audit(world.machine) == []


def test_asid_that_no_cd_has_any_more_is_unmapped(world: World) -> None:
    cache(world)
    world.set_cd(SSID, world.context().but(asid=ASID + 1))
    (found,) = audit(world.machine)
    assert (found.kind, found.walk, found.asid) == ("unmapped", "no-table", ASID)


def test_walks_disabled_leave_entries_unmapped(world: World) -> None:
    """5.4 EPD0: what Linux does when the address space goes before the device lets go of it."""
    cache(world)
    world.set_cd(SSID, world.context().but(epd0=True))
    (found,) = audit(world.machine)
    assert (found.kind, found.walk) == ("unmapped", "translation")


def test_cd_with_another_table_is_walked_there(world: World) -> None:
    """The ASID has been given to another address space, without an invalidation."""
    cache(world)
    world.other.map(VA, DATA + PAGE)
    world.set_cd(SSID, Context(world.other, ASID))
    (found,) = audit(world.machine)
    assert (found.kind, found.walked.address) == ("wrong-page", DATA + PAGE)


def test_asid_that_another_substream_has_keeps_its_entries(world: World) -> None:
    """3.17: both use the entry, whoever filled it."""
    cache(world)
    world.set_cd(OTHER, world.context())
    world.smmu.cfgi_cd(world.dev.sid, OTHER)
    world.map(VA + PAGE, DATA + PAGE)
    assert world.read(VA + PAGE, ssid=OTHER) == St.DONE
    world.set_cd(SSID, world.context().but(valid=False))
    assert audit(world.machine) == []
    world.smmu.cfgi_cd_all(world.dev.sid)
    assert audit(world.machine) == []
    world.map(attributes=RO)
    (found,) = audit(world.machine)
    assert (found.kind, found.substream) == ("permissive", SSID)


def test_configuration_is_read_from_memory(world: World) -> None:
    """A stale one in the configuration cache is not what software means."""
    cache(world)
    world.set_cd(SSID, world.context().but(valid=False))
    assert [d.walk for d in audit(world.machine)] == ["no-table"]


def test_stream_table_that_is_gone(world: World) -> None:
    cache(world)
    world.set_ste(valid=False)
    assert [d.walk for d in audit(world.machine)] == ["no-table"]


# Both stages


def test_two_stages_agree(world: World) -> None:
    nest(world)
    cache(world, pa=DATA, level=2)
    cache(world, VA + BLOCK, DATA + BLOCK)
    assert audit(world.machine) == []
    (found,) = [d for d in _changed(world) if d.address == VA + BLOCK]
    assert (found.kind, found.vmid, found.size) == ("permissive", VMID, PAGE)


def _changed(world: World) -> list[Difference]:
    world.map(VA + BLOCK, DATA + BLOCK, RO)
    return audit(world.machine)


def test_stage_2_that_maps_less(world: World) -> None:
    nest(world)
    cache(world)
    identity(world, read_only=(DATA,))
    assert [(d.kind, d.walk) for d in audit(world.machine)] == [("permissive", "ok")]
    identity(world, holes=(DATA,))
    assert [(d.kind, d.walk) for d in audit(world.machine)] == [("unmapped", "stage-2")]


def test_audit_of_two_stages_fills_no_iotlb(world: World) -> None:
    """The way to CD and tables takes stage 2, whose translations the IOTLB would hold."""
    nest(world)
    cache(world)
    world.smmu.cfgi_cd_all(world.dev.sid)
    world.smmu.tlbi_s12_vmall(VMID)
    cache(world)
    before = world.stats()
    assert audit(world.machine) == []
    assert world.stats() == before
