# SPDX-License-Identifier: GPL-2.0-or-later
"""Command lines of the documents that tests run, as they stand: which in `make test`, and which take longer."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class How:
    """How one is run."""

    status: int
    """Of the command ``faultloop``."""
    long: bool = True


RUN: dict[str, How] = {
    "make catalogue DRIFT=1": How(0),
    "make history PATH_NAME=anon-reuse": How(0, long=False),
    "make trace EXPORT=results/latest": How(0, long=False),
    "./faultloop catalogue --drift": How(0),
    "make history PATH_NAME='anon-*' KERNEL=6.1 SETUP=cortex-a57": How(0),
    "make history PATH_NAME=anon-reuse COUNTER=cmd-resume JSON=1": How(0),
    "make history HTML=results/history.html": How(0),
    "make run KERNEL=newest SETUP=cortex-a57 WORKLOADS='hugetlb-shared-table*'": How(1),
    "make run KERNEL=newest WORKLOADS=hugetlb-fork": How(1),
    "make run KERNEL=newest WORKLOADS='pfnmap-populate*'": How(1),
    "make run KERNEL=6.1 SETUP=cortex-a76+httu=dirty": How(1),
    "make test-patch PATCH=patches/linux/6.1-fix-fault-paths.patch": How(0),
    "make test-patch PATCH=fix.patch": How(0),
    "./faultloop test-patch fix.patch": How(0),
    "./faultloop test-patch x.patch --base 6.1": How(0),
}
