# SPDX-License-Identifier: GPL-2.0-or-later
"""Which outcome reading the source lets expect of a path, on a kernel, in a setup. Pure."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable

from harness.model import Differs, Outcome, Setup, Workload


def foreseen(workload: Workload, version: str, setup: Setup, differs: Iterable[Differs]) -> Outcome | None:
    """The outcome; None for a kernel that the catalogue says nothing of."""
    series = ".".join(version.split(".")[:2])
    plain = workload.expect.get(series)
    if plain is None or plain is Outcome.SKIP:
        return plain
    for row in differs:
        if _fits(row, workload.path, series, setup):
            return row.expect
    # With nothing cached, by the SMMU at all or by it of this entry, nothing is stale.
    return Outcome.PASS if plain in (Outcome.LOOP, Outcome.STALE) and not setup.iotlb else plain


def _fits(row: Differs, path: str, series: str, setup: Setup) -> bool:
    if not any(fnmatch.fnmatch(path, pattern) for pattern in row.paths):
        return False
    return all((series if key == "series" else getattr(setup, key)) in values for key, values in row.when.items())
