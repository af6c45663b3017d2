# SPDX-License-Identifier: GPL-2.0-or-later
"""The controls of a campaign: what loops on the base is run again on machines where it must not.

An SMMU that caches nothing has no stale entry. One that takes part in the CPU's TLB maintenance has none either,
where the kernel gives the SMMU the CPU's own ASID: no broadcast reaches an entry of another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from harness.jobs.guests import GuestJob
from harness.model import BTM_ON, IOTLB_OFF, BuiltKernel, Differs, GuestRecord, Kernel, Outcome, Setup, Workload
from harness.oracle.foreseen import foreseen

_LOOPS = (Outcome.LOOP, Outcome.STALE)
_SVA = "drivers/iommu/arm/arm-smmu-v3/arm-smmu-v3-sva.c"
_SHARES = "arm_smmu_share_asid("
"""The function that makes a process's ASID the SMMU's own (until Linux 6.9)."""


def jobs(
    records: Sequence[GuestRecord], base: BuiltKernel, setups: Sequence[Setup], workloads: Sequence[Workload]
) -> list[GuestJob]:
    """A guest of each control for each setup in which the base loops, with the paths that do."""
    looping: dict[str, set[str]] = {}
    for rec in records:
        if rec.variant == "base":
            looping.setdefault(rec.setup, set()).update(r.path for r in rec.results if r.outcome in _LOOPS)
    return _jobs(looping, base, setups, workloads)


def expected(
    base: BuiltKernel, setups: Sequence[Setup], workloads: Sequence[Workload], differs: Sequence[Differs]
) -> list[GuestJob]:
    """The same, by what the catalogue expects of the base: for a host that has nothing else to do meanwhile."""
    version = base.kernel.version
    looping = {s.name: {w.path for w in workloads if foreseen(w, version, s, differs) in _LOOPS} for s in setups}
    return _jobs(looping, base, setups, workloads)


def _jobs(
    looping: Mapping[str, set[str]], base: BuiltKernel, setups: Sequence[Setup], workloads: Sequence[Workload]
) -> list[GuestJob]:
    made = []
    snoops = shares_asids(base.kernel)
    for setup in setups:
        chosen = tuple(w for w in workloads if w.path in looping.get(setup.name, ()))
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
