# SPDX-License-Identifier: GPL-2.0-or-later
"""The re-breaking mutations of a night: a kernel that tells no SMMU anything must fail, or it shows nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.errors import FaultloopError
from harness.expected import Expectation, Fit
from harness.jobs.guests import GuestJob, GuestRunner
from harness.jobs.night_tree import NightTree, nearest
from harness.model import GuestRecord, Outcome, Setup, Verdict, Workload
from harness.nights import Key, Teeth

VARIANT = "teeth"
_AT_LEAST = 2
"""Paths that are run when the user's choice holds none that must fail."""


def rebreaking(rows: Sequence[Expectation], version: str) -> list[Expectation]:
    """The patches that take the notification out, those of the nearest series first."""
    return [
        row for row in nearest(rows, version) if row.verdict is Verdict.REGRESSES and row.breaks and not row.splat
    ]


def expected(row: Expectation, workloads: Sequence[Workload], setup: Setup) -> tuple[Workload, ...]:
    """The workloads that must fail with the patch on ``setup``."""

    def fails(workload: Workload) -> bool:
        return row.patched_outcome(workload.path, setup.name) in (Outcome.LOOP, Outcome.STALE)

    return tuple(w for w in workloads if fails(w) and not w.unmended)


def bite(
    tree: NightTree,
    rows: Sequence[Expectation],
    version: str,
    setups: Sequence[Setup],
    chosen: Sequence[Workload],
    every: Sequence[Workload],
    runner: GuestRunner,
    folder: Path,
    *,
    at_once: int,
) -> tuple[Teeth, list[GuestRecord]]:
    """Run what must fail on the first patch that applies; ``every``: all workloads there are."""
    why = []
    candidates = rebreaking(rows, version)
    for row, applied in tree.fits(candidates):
        if applied.fit not in (Fit.EXACT, Fit.MOVED):
            why.append(f"{row.name} does not apply")
            continue
        try:
            jobs = [
                GuestJob(VARIANT, tree.built(setup, tree.series(row)), setup, _some(row, setup, chosen, every))
                for setup in setups
            ]
        except FaultloopError as error:
            why.append(f"{row.name}: {error.message}")
            continue
        found = runner.run_each(jobs, folder, at_once=at_once, on_done=lambda name: None)
        records = [one for one in found if isinstance(one, GuestRecord)]
        errors = [one.message for one in found if isinstance(one, FaultloopError)]
        if errors:
            return Teeth(row.name, why=errors[0]), records
        return judge(row.name, jobs, records), records
    return Teeth(
        why="; ".join(why) or f"the catalogue has no patch that takes the notification out of {version}"
    ), []


def _some(
    row: Expectation, setup: Setup, chosen: Sequence[Workload], every: Sequence[Workload]
) -> tuple[Workload, ...]:
    return expected(row, chosen, setup) or expected(row, every, setup)[:_AT_LEAST]


def judge(patch: str, jobs: Sequence[GuestJob], records: Sequence[GuestRecord]) -> Teeth:
    """What failed of what must."""
    seen: dict[Key, Outcome] = {(r.path, record.setup): r.outcome for record in records for r in record.results}
    keys = [(w.path, job.setup.name) for job in jobs for w in job.workloads]
    held = tuple(key for key in keys if seen.get(key, Outcome.ERROR) in (Outcome.LOOP, Outcome.STALE))
    silent = tuple((key, seen.get(key, Outcome.ERROR)) for key in keys if key not in held)
    return Teeth(patch, held, silent, "" if keys else f"{patch} breaks no path")
