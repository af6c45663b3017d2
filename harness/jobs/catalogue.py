# SPDX-License-Identifier: GPL-2.0-or-later
"""``faultloop catalogue``: every patch of ours, against what reading the kernel's source says of it.

Each is first put on the present source of its series: kernels move on, and a patch that no longer applies (drift)
says nothing. Then it is run like any other patch. Trouble with one does not stop the others.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from dataclasses import replace

from harness.errors import ExitStatus, InfrastructureError, PatchError, UserError
from harness.expected import Applied, Expectation, Fit, Result, Tried
from harness.jobs.test_patch import Request, run_series
from harness.jobs.workshop import Workshop
from harness.layout import project
from harness.model import Kernel, Series
from harness.oracle import expectation
from harness.sources import catalogue as workloads
from harness.sources import datafile, expectations, patch_apply
from harness.sources.patch_input import Given


def catalogue(request: Request, shop: Workshop, names: Sequence[str] = (), *, drift: bool = False) -> list[Tried]:
    """Try the rows that ``names`` (globs) and ``request.kernel`` (a series) choose, one after another.

    With ``drift`` they are only put on their sources: nothing is built. UserError when there is no such row.
    """
    rows = select(load(), names, request.kernel)
    tried = []
    for number, row in enumerate(rows, 1):
        shop.progress.say(f"patch {number} of {len(rows)}: {row.name}")
        one = _try(row, request, shop, drift=drift)
        shop.progress.say(f"{row.name}: {one.result}" + "".join(f"; {text}" for text in one.differences[:1]))
        tried.append(one)
    return tried


def load() -> tuple[Expectation, ...]:
    """All rows of the catalogue."""
    paths = workloads.workloads(project().workloads)
    return expectations.load(project().expectations, [w.path for w in paths]).patches


def select(rows: Sequence[Expectation], names: Sequence[str], series: str) -> list[Expectation]:
    """The rows that are meant, in their order; a name may be a glob, and may end in ``.patch``."""
    known = [row.name for row in rows]
    wanted = [word.removesuffix(".patch") for name in names for word in name.replace(",", " ").split()]
    for word in wanted:
        if not fnmatch.filter(known, word):
            raise UserError(f"no patch of the catalogue is called '{word}'; {datafile.nearest(word, known)}")
    found = [row for row in rows if not wanted or any(fnmatch.fnmatchcase(row.name, w) for w in wanted)]
    if series:
        found = [row for row in found if series in (row.base, *row.also)]
        if not found:
            bases = sorted({base for row in rows for base in (row.base, *row.also)})
            raise UserError(f"no such patch of the catalogue is for kernel '{series}'; series: {', '.join(bases)}")
    return found


def status(tried: Sequence[Tried]) -> ExitStatus:
    """What differs or has drifted stands, whatever else could not be tried."""
    results = {one.result for one in tried}
    if results & {Result.DIFFERS, Result.DRIFTED}:
        return ExitStatus.NOT_FIXED
    if Result.ERROR in results:
        return ExitStatus.INFRASTRUCTURE
    return ExitStatus.UNDECIDED if Result.UNDECIDED in results else ExitStatus.FIXES


def _try(row: Expectation, request: Request, shop: Workshop, *, drift: bool) -> Tried:
    """One row. What its patch, or its kernel, is to blame for is a difference; the rest is an error of ours."""
    tried = Tried(row, Result.ERROR)
    try:
        given = shop.patches([str(project().linux / row.file)], version=None, tree="")
        series = [s for s in (row.base, *row.also) if request.kernel in ("", s)]
        tried = replace(tried, applied=tuple(apply(shop.kernel(s), given.series) for s in series))
        drifted = any(a.fit.drifted for a in tried.applied)
        tried = replace(tried, result=Result.DRIFTED if drifted else Result.APPLIES)
        if drift or row.base not in series or tried.applied[0].fit in (Fit.FUZZ, Fit.NONE):
            return tried
        return _run(tried, request, shop, given)
    except InfrastructureError as error:
        return replace(tried, result=Result.ERROR, differences=(error.message,), detail=error.detail)
    except UserError as error:
        return replace(tried, result=Result.DIFFERS, differences=(error.message,), detail=error.detail)


def _run(tried: Tried, request: Request, shop: Workshop, given: Given) -> Tried:
    run, folder = run_series(replace(request, kernel=tried.row.base), shop, given)
    assert run.judgement is not None
    held = expectation.hold(tried.row, run)
    drifted = tried.result is Result.DRIFTED and held.result is Result.AS_EXPECTED
    return replace(
        tried,
        result=tried.result if drifted else held.result,
        verdict=run.judgement.verdict,
        differences=held.differences,
        paths=held.paths,
        folder=folder,
    )


def apply(kernel: Kernel, series: Series) -> Applied:
    """How ``series`` goes on the kernel's source."""
    try:
        changes = patch_apply.check(kernel.tree, series)
    except PatchError as error:
        left = patch_apply.context_left(kernel.tree, series)
        if left:
            why = f"would apply with {left} line{'s' if left > 1 else ''} of context: make it anew"
            return Applied(kernel, Fit.FUZZ, f"{why}: {error.message}", error.detail)
        return Applied(kernel, Fit.NONE, error.message, error.detail)
    doubtful = [o for o in changes.offsets if o.places > 1]
    if doubtful:
        one = doubtful[0]
        return Applied(kernel, Fit.LOOSE, f"{one.path}: hunk {one.hunk} moved, and fits at {one.places} places")
    if changes.offsets:
        moved = ", ".join(f"{o.path} hunk {o.hunk} by {o.lines:+d}" for o in changes.offsets)
        return Applied(kernel, Fit.MOVED, f"lines moved: {moved}")
    return Applied(kernel, Fit.EXACT, "every hunk fits at its line")
