# SPDX-License-Identifier: GPL-2.0-or-later
"""The controls of a campaign: what loops on the base is run again on machines where it must not.

An SMMU that caches nothing has no stale entry. One that takes part in the CPU's TLB maintenance has none either,
where the kernel gives the SMMU the CPU's own ASID: no broadcast reaches an entry of another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from harness.jobs.guests import GuestJob
from harness.model import BTM_ON, IOTLB_OFF, BuiltKernel, GuestRecord, Kernel, Outcome, Setup, Workload

_SVA = "drivers/iommu/arm/arm-smmu-v3/arm-smmu-v3-sva.c"
_SHARES = "arm_smmu_share_asid("
"""The function that makes a process's ASID the SMMU's own (until Linux 6.9)."""


def jobs(
    records: Sequence[GuestRecord], base: BuiltKernel, setups: Sequence[Setup], workloads: Sequence[Workload]
) -> list[GuestJob]:
    """A guest of each control for each setup in which the base loops, with the paths that do."""
    made = []
    snoops = shares_asids(base.kernel)
    for setup in setups:
        looping = {
            r.path
            for rec in records
            if rec.variant == "base" and rec.setup == setup.name
            for r in rec.results
            if r.outcome in (Outcome.LOOP, Outcome.STALE)
        }
        chosen = tuple(w for w in workloads if w.path in looping)
        if chosen:
            made.append(GuestJob(IOTLB_OFF, base, replace(setup, iotlb=0), chosen))
        # A broadcast is for one address space; what no kernel mends is about an entry of two.
        heard = tuple(w for w in chosen if not w.unmended)
        if heard and snoops:
            made.append(GuestJob(BTM_ON, base, replace(setup, btm="force"), heard))
    return made


def shares_asids(kernel: Kernel) -> bool:
    """Whether SVA gives the SMMU the ASIDs of the CPU, by the kernel's source."""
    source = kernel.tree / _SVA
    return source.is_file() and _SHARES in source.read_text(encoding="utf-8", errors="replace")
