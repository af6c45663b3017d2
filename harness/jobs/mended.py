# SPDX-License-Identifier: GPL-2.0-or-later
"""What is known to mend a path: patches of ours (``patches/linux``), and the upstream commit of the path's row."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from harness.expected import Expectation
from harness.layout import project
from harness.model import GuestRecord, Kernel, Outcome, Workload
from harness.sources import catalogue, expectations

_MOST = 3


_MENDABLE = (Outcome.LOOP, Outcome.STALE, Outcome.CORRUPT)


def series_of(version: str) -> str:
    """``6.1`` of ``6.1.192``."""
    return ".".join(re.split(r"[.-]", version)[:2])


def mended(kernel: Kernel, workloads: Iterable[Workload], records: Iterable[GuestRecord]) -> Mapping[str, str]:
    """For each path that is LOOP, STALE or CORRUPT in ``records``, what mends it on ``kernel``, in words."""
    bad = {r.path for record in records for r in record.results if r.outcome in _MENDABLE}
    if not bad:
        return {}
    series = series_of(kernel.version)
    rows = [row for row in _ours() if row.base in (series, kernel.name) and not row.splat]
    found = {}
    for workload in workloads:
        if workload.path in bad:
            ours = [row.name for row in rows if workload.path in {name.partition("@")[0] for name in row.mends}]
            known = [f"our {', '.join(ours[:_MOST])}"] if ours else []
            known += [f"upstream {workload.mended[series]}"] if series in workload.mended else []
            if known:
                found[workload.path] = "; ".join(known)
    return found


def _ours() -> tuple[Expectation, ...]:
    paths = [w.path for w in catalogue.workloads(project().workloads)]
    return expectations.load(project().expectations, paths).patches
