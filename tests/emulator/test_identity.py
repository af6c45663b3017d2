# SPDX-License-Identifier: GPL-2.0-or-later
"""ID registers and properties (IHI 0070 6.3.1 to 6.3.6), and what contradictory properties get."""

from __future__ import annotations

from pathlib import Path

import pytest

from . import layout
from .conftest import MachineMaker
from .qtest import Options, command_line, refusal
from .smmu import IDR0, IDR1, IDR5
from .world import SVA

STOCK = [0x0D44101B, 0x02730010, 0, 0x1414, 0, 0x74]
"""IDR0 to IDR5 of QEMU 10.0's "virt", by smmuv3_init_regs() of its hw/arm/smmuv3.c."""


def registers(start: MachineMaker, smmu: Options) -> list[int]:
    machine = start(smmu=smmu, devices=[])
    return [machine.qtest.read32(layout.SMMU + 4 * n) for n in range(6)]


def test_default_properties_leave_the_id_registers_as_stock_qemu_has_them(start: MachineMaker) -> None:
    assert registers(start, {}) == STOCK


@pytest.mark.parametrize("ssidsize", [1, 16, 20])
def test_ssidsize_is_told_with_two_level_tables(start: MachineMaker, ssidsize: int) -> None:
    idr = registers(start, {"ssidsize": ssidsize})
    assert idr[IDR1 // 4] >> 6 & 0x1F == ssidsize
    assert idr[IDR0 // 4] >> 19 & 1 == 1
    assert idr[IDR0 // 4] & ~(1 << 19) == STOCK[0]


@pytest.mark.parametrize(
    ("stall", "model", "most"),
    [("off", 0b01, 0), (False, 0b01, 0), ("on", 0b00, 256), (True, 0b00, 256), ("force", 0b10, 256)],
)
def test_stall_model_and_stall_max_are_told(start: MachineMaker, stall: str | bool, model: int, most: int) -> None:
    idr = registers(start, {"stall": stall})
    assert idr[IDR0 // 4] >> 24 & 3 == model
    assert idr[IDR5 // 4] >> 16 == most


@pytest.mark.parametrize(("httu", "field"), [("none", 0), ("access", 1), ("dirty", 2)])
def test_httu_is_told(start: MachineMaker, httu: str, field: int) -> None:
    idr = registers(start, {"httu": httu})
    assert idr[IDR0 // 4] == STOCK[0] | field << 6


def test_httu_is_there_for_each_granule(start: MachineMaker) -> None:
    """No granule can be asked for that hardware would not update: IDR5.GRAN4K, GRAN16K, GRAN64K are always 1."""
    for httu in ("none", "access", "dirty"):
        assert registers(start, {"httu": httu})[IDR5 // 4] >> 4 & 7 == 0b111


@pytest.mark.parametrize(("bits", "field"), [(32, 0), (36, 1), (40, 2), (42, 3), (44, 4), (48, 5), (52, 6)])
def test_output_address_size_is_told(start: MachineMaker, bits: int, field: int) -> None:
    """Also one below the CPU's, 44 here: such a machine can be, and Linux has to refuse SVA on it."""
    idr = registers(start, {"oas": bits})
    assert idr[IDR5 // 4] & 7 == field


@pytest.mark.parametrize(
    ("machine", "smmu", "names"),
    [
        ("virt", {"ssidsize": 21}, "arm-smmuv3.ssidsize' doesn't take value 21"),
        ("virt", {"oas": 53}, "arm-smmuv3.oas' doesn't take value 53"),
        ("virt", {"journal-size": (1 << 20) + 1}, "arm-smmuv3.journal-size' doesn't take value 1048577"),
        ("virt", {"iotlb-size": 0, "contiguous": True}, "arm-smmuv3.contiguous' needs an IOTLB"),
        ("virt", {"iotlb-size": 0, "cache-faults": True}, "arm-smmuv3.cache-faults' needs an IOTLB"),
        ("virt", {"oas": 43}, "arm-smmuv3.oas' doesn't take value 43"),
        ("virt", {"oas": 0}, "arm-smmuv3.oas' doesn't take value 0"),
        ("virt", {"iotlb-size": -1}, "iotlb-size"),
        ("virt", {"stall": "maybe"}, "does not accept value 'maybe'"),
        ("virt", {"httu": "always"}, "does not accept value 'always'"),
        ("virt", {"btm": "maybe"}, "does not accept value 'maybe'"),
        ("virt-9.1", {"stage": 2, "ssidsize": 16}, "arm-smmuv3.ssidsize' needs stage 1"),
    ],
)
def test_properties_that_contradict_are_refused_at_start(
    qemu: Path, machine: str, smmu: Options, names: str
) -> None:
    assert names in refusal(command_line(qemu, machine=machine, smmu=smmu))


@pytest.mark.parametrize(
    ("device", "names"),
    [
        ({"engines": 0}, "sva-testdev.engines' doesn't take value 0"),
        ({"engines": 241}, "sva-testdev.engines' doesn't take value 241"),
        ({"pasid-bits": 21}, "sva-testdev.pasid-bits' doesn't take value 21"),
    ],
)
def test_device_properties_out_of_range_are_refused_at_start(qemu: Path, device: Options, names: str) -> None:
    assert names in refusal(command_line(qemu, smmu=SVA, devices=[device]))


@pytest.mark.parametrize("smmu", [{}, SVA])
def test_nothing_blocks_migration(start: MachineMaker, smmu: Options) -> None:
    assert "blocked-reasons" not in start(smmu=smmu).qmp("query-migrate")


def test_the_build_has_what_a_guest_needs(start: MachineMaker) -> None:
    """The sandbox is on already: qtest.command_line()."""
    machine = start(devices=[])
    types = {entry["name"] for entry in machine.qmp("qom-list-types", implements="device")}
    assert types >= {f"virtio-{kind}-pci" for kind in ("net", "blk", "rng", "serial")} | {"pvpanic-pci", "edu"}
    machine.qmp("netdev_add", type="user", id="n")
