# SPDX-License-Identifier: GPL-2.0-or-later
"""``faultloop test-patch --each``: a series patch by patch, as a bisection would meet it.

Every prefix of the series is built and booted. One that does not build, warns newly, or is worse than the one
before is named; what the whole series does is judged as ever.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from harness.errors import BuildError
from harness.jobs.base import base_of
from harness.jobs.test_patch import Request, run_series
from harness.jobs.workshop import Workshop
from harness.model import Change, Comparison, Run, Step, Verdict
from harness.oracle import verdict


def each(request: Request, shop: Workshop) -> tuple[list[Step], Run, Path]:
    """A step for each patch, and the run of the whole with its folder.

    All steps stand on one base: that of the whole series. BuildError when the whole does not build: then there is
    nothing to judge.
    """
    given = shop.patches(request.patches, version=request.version, tree=request.tree)
    base = base_of(given, shop, asked=request.kernel, tree=request.tree)
    request = replace(request, kernel=base.kernel.name)
    steps: list[Step] = []
    before: Run | None = None
    folder = Path()
    patches = given.series.patches
    for number, patch in enumerate(patches, 1):
        part = replace(given, series=replace(given.series, patches=patches[:number]))
        shop.progress.say(f"patch {number} of {len(patches)}: {patch.subject}")
        try:
            run, folder = run_series(request, shop, part)
        except BuildError as error:
            if number == len(patches):
                raise
            steps.append(Step(number, patch, None, (f"does not build: {error.message}",), error.detail))
            continue
        steps.append(Step(number, patch, run, faults(run, before)))
        before = run
    last = steps[-1].run
    assert last is not None
    return steps, last, folder


def faults(run: Run, before: Run | None) -> tuple[str, ...]:
    """What is wrong with a step, seen from the one before (from the base, for the first)."""
    found = [
        f"warns: {line}" for line in run.checks.warnings if before is None or line not in before.checks.warnings
    ]
    assert run.judgement is not None
    if before is None:
        if run.judgement.verdict is Verdict.REGRESSES:
            found.append(f"worse: {run.judgement.reason}")
    else:
        assert before.judgement is not None
        pairs = _pairs(before.judgement.comparisons, run.judgement.comparisons)
        found += [
            f"worse than one patch before: {c.path} on {c.setup}: {c.base.outcome} -> {c.patched.outcome}"
            for c in pairs
            if c.change is Change.WORSE
        ]
    found += [
        f"undecided: {c.path} on {c.setup}: {c.patched.outcome}"
        for c in run.judgement.comparisons
        if c.patched.outcome.undecided and not c.base.outcome.undecided
    ]
    return tuple(found)


def _pairs(before: Sequence[Comparison], after: Sequence[Comparison]) -> list[Comparison]:
    """Each path on the patched kernel of the step before, and of this one."""
    known = {(c.path, c.setup): c.patched for c in before}
    pairs = []
    for c in after:
        earlier = known.get((c.path, c.setup))
        if earlier is not None:
            change = verdict.change(earlier, c.patched)
            pairs.append(Comparison(c.path, c.setup, earlier, c.patched, change))
    return pairs
