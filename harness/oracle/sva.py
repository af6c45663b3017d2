# SPDX-License-Identifier: GPL-2.0-or-later
"""Say why a kernel offers no SVA: which precondition failed. Pure: console text and ``.config`` in.

Preconditions, from ``arm_smmu_sva_supported()`` (drivers/iommu/arm/arm-smmu-v3/arm-smmu-v3-sva.c) and
``iommu_sva_bind_device()``: CONFIG_ARM_SMMU_V3_SVA, coherent walks, an output address size of at least the
CPU's PARange, SSIDSIZE of at least one, stalls (or PRI), a device with PASID.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from harness.model import Setup

_NEEDED = ("CONFIG_ARM_SMMU_V3", "CONFIG_ARM_SMMU_V3_SVA", "CONFIG_PCI_PASID", "CONFIG_PCI_ATS")

PARANGE = {"cortex-a57": 44, "cortex-a72": 44, "cortex-a76": 40, "neoverse-n1": 48, "max": 52}
"""Physical address bits of QEMU's CPU models (ID_AA64MMFR0_EL1.PARange)."""

_PROBED = re.compile(r"arm-smmu-v3 .*: (?:ias \d+-bit, )?oas \d+-bit")
_DRIVER = re.compile(r"sva_testdev .*?: (.+)")


def diagnose(console: Iterable[str], config: str, setup: Setup) -> str:
    """The first precondition that is known not to hold, else what the guest driver said, else where to look."""
    lines = list(console)
    options = set(config.split())
    missing = [name for name in _NEEDED if f"{name}=y" not in options]
    if missing:
        return f"its configuration lacks {', '.join(missing)}"
    if not setup.ssidsize:
        return "the SMMU has no substreams (SSIDSIZE is 0)"
    if setup.stall == "off":
        return "the SMMU does not stall faulting accesses (stall=off), and there is no PRI"
    parange = PARANGE.get(setup.cpu)
    if parange is not None and setup.oas < parange:
        return (
            f"the SMMU's output address size, {setup.oas} bits, is below the CPU's PARange, {parange} bits "
            f"({setup.cpu}): Linux turns SVA off"
        )
    if not any(_PROBED.search(line) for line in lines):
        return "the arm-smmu-v3 driver did not probe (its line `oas ..-bit` is not in console.log)"
    said = [m.group(1).strip() for line in lines if (m := _DRIVER.search(line))]
    if said:
        return f"the guest driver says: {said[-1]}"
    return "the guest driver did not load; see console.log"
