# SPDX-License-Identifier: GPL-2.0-or-later
"""Hold a run of one of our patches against what is expected of it. Pure: a run in, differences out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from harness.expected import Expectation, Result
from harness.model import Comparison, GuestRecord, Outcome, PathResult, Run, Verdict


class Held(NamedTuple):
    """What came of it."""

    result: Result
    differences: tuple[str, ...]
    paths: tuple[str, ...]


class _Difference(NamedTuple):
    text: str
    path: str = ""
    undecided: bool = False
    """It says nothing about kernel or patch."""


def hold(row: Expectation, run: Run) -> Held:
    """As expected; or what differs, a line each; or undecided, when all that differs is undecided."""
    assert run.judgement is not None
    found = [*_paths(row, run.judgement.comparisons), *_log(row, run.records), *_cost(row, run)]
    if run.judgement.verdict is not row.verdict:
        undecided = run.judgement.verdict is Verdict.INCONCLUSIVE
        found.insert(0, _Difference(f"{run.judgement.verdict}: {run.judgement.reason}", undecided=undecided))
    if not found:
        return Held(Result.AS_EXPECTED, (), ())
    return Held(
        Result.UNDECIDED if all(d.undecided for d in found) else Result.DIFFERS,
        tuple(dict.fromkeys(d.text for d in found)),
        tuple(dict.fromkeys(d.path for d in found if d.path)),
    )


def _paths(row: Expectation, comparisons: Iterable[Comparison]) -> Iterator[_Difference]:
    for c in comparisons:
        sides = [("base", c.base, row.base_outcome(c.path, c.setup))]
        expected = row.patched_outcome(c.path, c.setup)
        if expected is not None:
            sides.append(("patched", c.patched, expected))
        for side, result, wanted in sides:
            if result.outcome is not wanted:
                why = f": {result.reason}" if result.reason and result.outcome is not Outcome.LOOP else ""
                text = f"{c.path} on {c.setup}, {side}: {result.outcome}, {wanted} was expected{why}"
                yield _Difference(text, c.path, result.outcome.undecided)


def _log(row: Expectation, records: Iterable[GuestRecord]) -> Iterator[_Difference]:
    """The splat is on the patched variant and only there; guests end as they should."""
    for record in records:
        if record.variant not in ("base", "patched"):
            continue
        logs = [s.title for s in record.boot_splats]
        seen = [s.text for s in record.boot_splats]
        seen += [s.text for r in record.results for s in r.splats]
        where = f"{record.variant} on {record.setup}"
        if record.variant == "base":
            if logs:
                yield _Difference(f"{where}: kernel log: {logs[0]}")
            continue
        if row.splat and not any(row.splat in text for text in seen):
            yield _Difference(f"{where}: the log does not say '{row.splat}'")
        if record.end != row.end:
            yield _Difference(f"{where}: ended by {record.end}, {row.end} was expected")


def _cost(row: Expectation, run: Run) -> Iterator[_Difference]:
    """What the SMMU was sent: in the window, and by ASID over the whole workload (on the base: at its end)."""
    assert run.judgement is not None
    for c in run.judgement.comparisons:
        if row.cost and row.told_on(c.path, c.setup) and not c.patched.outcome.undecided:
            seen = cost(c.base, c.patched)
            if seen != row.cost:
                yield _Difference(f"{c.path} on {c.setup}: costs {seen}, {row.cost} was expected", c.path)


def cost(base: PathResult, patched: PathResult) -> str:
    """What the patched kernel sends to the SMMU beyond what the base does: ``none``, ``va`` or ``asid``."""
    if patched.tlbi_wide > base.tlbi_wide:
        return "asid"
    return "va" if patched.tlbi > base.tlbi else "none"
