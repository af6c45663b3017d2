# SPDX-License-Identifier: GPL-2.0-or-later
"""Broadcast TLB maintenance: what CPUs invalidate, the SMMU invalidates too (IHI 0070 3.17, 6.3.12).

A real CPU executes each TLBI; see cpu.py. Two address spaces have one ASID: :data:`SSID`'s is shared with the CPU
(CD.ASET == 0), :data:`OTHER`'s is the SMMU's own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from .conftest import MachineMaker
from .cpu import MSR_VTTBR_X3, Cpu, kernel, tlbi
from .layout import DATA, RAM, STAGE2
from .pagetable import RO, RW, S2_RW, TABLE_OR_PAGE, VALID, Context
from .qtest import Options
from .smmu import CR2, CR2_PTM, IDR0, Config, Stage2
from .testdev import NO_PASID, Do, St
from .world import ASID, OTHER, PAGE, SSID, SVA, VA, World

PAGES = 8
TTBR1_BIT = 1 << 43
"""Bit 55 of an address, in an operand: never of what these tests map."""


@dataclass
class Shared:
    """A world whose two address spaces have one ASID, and :data:`PAGES` pages cached of each."""

    world: World
    cpu: Cpu

    def cached(self, ssid: int = SSID) -> list[int]:
        """Which pages are."""
        return [n for n in range(PAGES) if self.world.dev.probe(VA + n * PAGE, ssid).cached]


StartShared = Callable[..., Shared]


@pytest.fixture
def shared(start: MachineMaker, tmp_path: Path) -> StartShared:
    def build(btm: str = "on", cpu: str = "cortex-a57", machine: str = "virt", **smmu: str | int | bool) -> Shared:
        options: Options = {**SVA, "btm": btm, **smmu}
        world = World.build(start(smmu=options, cpu=cpu, machine=machine, kernel=kernel(tmp_path)))
        world.set_cd(SSID, Context(world.table, ASID, aset=False))
        world.set_cd(OTHER, Context(world.other, ASID, aset=True))
        for n in range(PAGES):
            world.map(VA + n * PAGE, DATA + n * PAGE)
            world.other.map(VA + n * PAGE, DATA + n * PAGE)
        fill(world)
        return Shared(world, Cpu(world.machine))

    return build


def fill(world: World) -> None:
    """Access all pages of both. One ASID: so a global or ASID-wide mistake would show."""
    world.smmu.tlbi_nsnh_all()
    assert world.read(VA, SSID, PAGES * PAGE) == St.DONE


ALL = list(range(PAGES))


def va(page: int, asid: int = ASID) -> int:
    """The operand of TLBI by address."""
    return asid << 48 | VA + page * PAGE >> 12


@pytest.mark.parametrize("op2", [1, 5], ids=["VAE1IS", "VALE1IS"])
def test_tlbi_by_va_reaches_the_entry_of_its_page_and_asid(shared: StartShared, op2: int) -> None:
    s = shared()
    s.cpu.run(tlbi(0, 3, op2), x2=va(2, ASID + 1))
    assert s.cached() == ALL
    s.cpu.run(tlbi(0, 3, op2), x2=va(2))
    assert s.cached() == [0, 1, 3, 4, 5, 6, 7]
    stats = s.world.stats()
    assert (stats["btm-received"], stats["btm-invalidated"], stats["btm-ignored"]) == (2, 1, 0)
    assert stats["tlbi"] == 1, "it is no command"


@pytest.mark.parametrize("op2", [3, 7], ids=["VAAE1IS", "VAALE1IS"])
def test_tlbi_by_va_of_every_asid(shared: StartShared, op2: int) -> None:
    s = shared()
    s.cpu.run(tlbi(0, 3, op2), x2=va(5, ASID + 1))
    assert s.cached() == [0, 1, 2, 3, 4, 6, 7]


def test_tlbi_by_asid(shared: StartShared) -> None:
    s = shared()
    s.cpu.run(tlbi(0, 3, 2), x2=ASID + 1 << 48)
    assert s.cached() == ALL
    s.cpu.run(tlbi(0, 3, 2), x2=ASID << 48)
    assert s.cached() == []


def test_tlbi_all(shared: StartShared) -> None:
    s = shared()
    s.cpu.run(tlbi(0, 3, 0, register=31))
    assert s.cached() == []


@pytest.mark.parametrize(
    ("crm", "op2", "left"), [(1, 0, []), (1, 1, [0, 1, 3, 4, 5, 6, 7]), (1, 2, []), (1, 7, [0, 1, 3, 4, 5, 6, 7])]
)
def test_outer_shareable_forms(shared: StartShared, crm: int, op2: int, left: list[int]) -> None:
    s = shared(cpu="max")
    s.cpu.run(tlbi(0, crm, op2), x2=va(2))
    assert s.cached() == left


@pytest.mark.parametrize("crm", [2, 5], ids=["IS", "OS"])
@pytest.mark.parametrize(("op2", "asid", "left"), [(1, ASID, [6, 7]), (1, 1, ALL), (3, 1, [6, 7])])
def test_range_forms(shared: StartShared, crm: int, op2: int, asid: int, left: list[int]) -> None:
    """TG 4K, SCALE 0, NUM 2: 6 pages."""
    s = shared(cpu="max")
    s.cpu.run(tlbi(0, crm, op2), x2=asid << 48 | 1 << 46 | 2 << 39 | VA >> 12)
    assert s.cached() == left


@pytest.mark.parametrize("op2", [0, 1, 2, 3, 5, 7])
def test_local_forms_are_not_broadcast(shared: StartShared, op2: int) -> None:
    s = shared()
    s.cpu.run(tlbi(0, 7, op2), x2=va(2))
    assert s.cached() == ALL
    assert s.world.stats()["btm-received"] == 0


@pytest.mark.parametrize(
    ("op2", "left"),
    [(1, ALL), (5, ALL), (2, ALL), (3, [0, 1, 3, 4, 5, 6, 7]), (7, [0, 1, 3, 4, 5, 6, 7]), (0, [])],
    ids=["VAE1IS", "VALE1IS", "ASIDE1IS", "VAAE1IS", "VAALE1IS", "VMALLE1IS"],
)
def test_private_asid_is_out_of_reach_of_what_matches_by_asid(
    shared: StartShared, op2: int, left: list[int]
) -> None:
    """3.17, 5.4 ASET: and only of that. Linux since 6.12 gives SVA such ASIDs."""
    s = shared()
    s.world.smmu.tlbi_nsnh_all()
    assert s.world.read(VA, OTHER, PAGES * PAGE) == St.DONE
    assert s.cached(OTHER) == ALL
    s.cpu.run(tlbi(0, 3, op2), x2=va(2))
    assert s.cached(OTHER) == left


@pytest.mark.parametrize("aset", [False, True])
def test_command_reaches_either(shared: StartShared, aset: bool) -> None:
    """3.17: CMD_TLBI_* invalidate regardless of ASET."""
    s = shared()
    ssid = OTHER if aset else SSID
    s.world.smmu.tlbi_nsnh_all()
    assert s.world.read(VA, ssid, PAGES * PAGE) == St.DONE
    s.world.smmu.tlbi_nh_asid(ASID)
    assert s.cached(ssid) == []


def test_private_tables_ignore_broadcasts(shared: StartShared) -> None:
    """6.3.12: CR2.PTM, which Linux always sets."""
    s = shared()
    s.world.smmu.write(CR2, CR2_PTM)
    s.cpu.run(tlbi(0, 3, 0, register=31))
    assert s.cached() == ALL
    assert s.world.stats()["btm-ignored"] == 1
    s.world.smmu.write(CR2, 0)
    s.cpu.run(tlbi(0, 3, 0, register=31))
    assert s.cached() == []


def test_force_defies_private_tables(shared: StartShared) -> None:
    s = shared(btm="force")
    s.world.smmu.write(CR2, CR2_PTM)
    s.cpu.run(tlbi(0, 3, 1), x2=va(2))
    assert s.cached() == [0, 1, 3, 4, 5, 6, 7]


def test_off_hears_nothing(shared: StartShared) -> None:
    s = shared(btm="off")
    s.cpu.run(tlbi(0, 3, 0, register=31))
    assert s.cached() == ALL
    assert s.world.stats()["btm-received"] == s.world.stats()["btm-ignored"] == 0


def test_loop_for_want_of_a_command_is_healed_by_a_broadcast(shared: StartShared) -> None:
    """What the control is for."""
    s = shared()
    s.world.smmu.tlbi_nsnh_all()
    s.world.map(attributes=RO)
    assert s.world.read() == St.DONE
    event = s.world.stall(Do.WRITE)
    s.world.map(attributes=RW)
    event = s.world.retry(event)
    s.cpu.run(tlbi(0, 3, 1), x2=va(0))
    assert s.world.finish(event) == St.DONE


def test_block_is_reached_by_any_address_in_it(shared: StartShared) -> None:
    s = shared()
    block = VA + (4 << 21)
    s.world.map(block, DATA, RW, level=2)
    assert s.world.read(block) == St.DONE
    s.cpu.run(tlbi(0, 3, 1), x2=ASID << 48 | block + 0x12_3000 >> 12)
    assert not s.world.dev.probe(block, SSID).cached
    assert s.cached() == ALL


def nested(s: Shared, vmid: int) -> None:
    """Both stages, with ``vmid``; RAM maps to itself."""
    level2 = STAGE2 + PAGE
    s.world.poke(STAGE2 + (RAM >> 30) * 8, level2 | TABLE_OR_PAGE | VALID)
    for n in range(64):
        s.world.poke(level2 + n * 8, RAM + (n << 21) | S2_RW | VALID)
    s.world.set_ste(config=Config.NESTED, stage2=Stage2(root=STAGE2, vmid=vmid))
    s.world.smmu.cfgi_ste(s.world.dev.sid)
    fill(s.world)


def test_without_el2_broadcasts_are_of_vmid_0(shared: StartShared) -> None:
    """3.17."""
    s = shared(stage="nested")
    nested(s, 7)
    s.cpu.run(tlbi(0, 3, 0, register=31))
    assert s.cached() == ALL
    nested(s, 0)
    s.cpu.run(tlbi(0, 3, 0, register=31))
    assert s.cached() == []


def test_with_el2_the_vmid_must_match(shared: StartShared) -> None:
    s = shared(machine="virt,virtualization=on", stage="nested")
    nested(s, 7)
    s.cpu.run(MSR_VTTBR_X3, tlbi(4, 3, 6, register=31), x3=8 << 48)
    assert s.cached() == ALL
    s.cpu.run(MSR_VTTBR_X3, tlbi(4, 3, 6, register=31), x3=7 << 48)
    assert s.cached() == []
    fill(s.world)
    s.cpu.run(MSR_VTTBR_X3, tlbi(0, 3, 1), x2=va(2), x3=7 << 48)
    assert s.cached() == [0, 1, 3, 4, 5, 6, 7]


def test_alle1_is_of_every_vmid(shared: StartShared) -> None:
    s = shared(machine="virt,virtualization=on", stage="nested")
    nested(s, 7)
    s.cpu.run(tlbi(4, 3, 4, register=31))
    assert s.world.stats()["iotlb-entries"] == 0


def test_tlbi_by_ipa_is_of_stage_2_alone(shared: StartShared) -> None:
    s = shared(machine="virt,virtualization=on", stage="nested")
    nested(s, 7)
    s.world.set_ste(config=Config.S2, stage2=Stage2(root=STAGE2, vmid=7))
    s.world.smmu.cfgi_ste(s.world.dev.sid)
    assert s.world.read(DATA, NO_PASID) == St.DONE
    assert s.world.dev.probe(DATA, NO_PASID).cached
    s.cpu.run(MSR_VTTBR_X3, tlbi(4, 0, 1), x2=DATA >> 12, x3=7 << 48)
    assert not s.world.dev.probe(DATA, NO_PASID).cached


@pytest.mark.parametrize(("btm", "told"), [("off", 0), ("on", 1), ("force", 1)])
def test_btm_is_told(start: MachineMaker, btm: str, told: int) -> None:
    """6.3.1."""
    world = World.build(start(smmu={**SVA, "btm": btm}))
    assert world.smmu.read(IDR0) >> 5 & 1 == told
