# SPDX-License-Identifier: GPL-2.0-or-later
"""Is the machine the one that was asked for? Pure: what QEMU and the guest say of it in, differences out.

From outside: QOM properties of the SMMU, and the type of the CPU. From inside: registers that the guest driver
read, and what Linux's SMMU driver says that it found (IHI 0070 6.3.1, 6.3.2, 6.3.6; Arm ARM ID_AA64MMFR1_EL1).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from harness.model import Setup

_REGISTERS = re.compile(
    r"sva_testdev .*: SMMU IDR0 (?P<idr0>\w+) IDR1 (?P<idr1>\w+) IDR5 (?P<idr5>\w+), "
    r"CPU ID_AA64MMFR1 (?P<mmfr1>\w+), page size (?P<page>\d+)"
)
# Linux 7 says nothing of the input size any more.
_LINUX = re.compile(r"arm-smmu-v3 .*: (?:ias \d+-bit, )?oas (\d+)-bit \(features (0x[0-9a-f]+)\)")

_STALL_MODEL = {0: "on", 1: "off", 2: "force"}
_HTTU = {0: "none", 1: "access", 2: "dirty"}
_OAS = (32, 36, 40, 42, 44, 48, 52, 56)
_FEATURE_STALLS = 1 << 11
_FEATURE_SVA = 1 << 17
"""ARM_SMMU_FEAT_STALLS and _SVA, the same from 6.1 to 7.3: drivers/iommu/arm/arm-smmu-v3/arm-smmu-v3.h."""


def outside(setup: Setup, wanted: Mapping[str, object], properties: Mapping[str, object], cpu: str) -> list[str]:
    """What QEMU shows that is not as asked for: the SMMU's QOM ``properties``, and the CPU's QOM type."""
    found = [
        f"QEMU's SMMU has {name}={_said(properties.get(name))}, {value} was asked for"
        for name, value in wanted.items()
        if _said(properties.get(name)) != str(value)
    ]
    if setup.accel == "tcg" and cpu != f"{setup.cpu}-arm-cpu":
        found.append(f"QEMU's CPU is a {cpu}, {setup.cpu} was asked for")
    return found


def inside(setup: Setup, console: Iterable[str]) -> list[str]:
    """What the guest found that is not as asked for."""
    lines = list(console)
    registers = [m for line in lines if (m := _REGISTERS.search(line))]
    linux = [m for line in lines if (m := _LINUX.search(line))]
    if not registers:
        return ["the guest driver did not say what the machine is"]
    if not linux:
        return ["Linux's SMMU driver did not say what it found"]
    idr0, idr1, idr5, mmfr1 = (int(registers[-1][name], 0) for name in ("idr0", "idr1", "idr5", "mmfr1"))
    seen: list[tuple[str, object, object]] = [
        ("IDR0.STALL_MODEL", _STALL_MODEL.get(idr0 >> 24 & 3), setup.stall),
        ("IDR0.HTTU", _HTTU.get(idr0 >> 6 & 3), setup.httu),
        ("IDR0.BTM", bool(idr0 >> 5 & 1), setup.btm != "off"),
        ("IDR1.SSIDSIZE", idr1 >> 6 & 0x1F, setup.ssidsize),
        ("IDR5.OAS", _OAS[idr5 & 7], setup.oas),
        ("page size in KiB", int(registers[-1]["page"]) >> 10, setup.page_kib),
        ("Linux's oas", int(linux[-1][1]), setup.oas),
        ("Linux's use of stalls", bool(int(linux[-1][2], 0) & _FEATURE_STALLS), setup.stall != "off"),
        ("Linux's use of SVA", bool(int(linux[-1][2], 0) & _FEATURE_SVA), True),
    ]
    if setup.accel == "tcg":
        seen.append(("the CPU's hardware dirty bit", mmfr1 & 0xF >= 2, setup.hw_dirty))
    return [
        f"in the guest, {what} is {is_}, {wanted} was asked for" for what, is_, wanted in seen if is_ != wanted
    ]


def huge_pages(setup: Setup, enabled: str) -> list[str]:
    """What ``transparent_hugepage/enabled`` (``always [madvise] never``) says that is not as asked for."""
    if f"[{setup.thp}]" in enabled:
        return []
    return [f"in the guest, transparent huge pages are '{enabled.strip()}', {setup.thp} was asked for"]


def _said(value: object) -> str:
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else str(value)
