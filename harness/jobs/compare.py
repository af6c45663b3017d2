# SPDX-License-Identifier: GPL-2.0-or-later
"""``faultloop compare``: several patches for the same thing, each judged on the same base."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from harness.errors import UserError
from harness.jobs.test_patch import Request, run_series
from harness.jobs.workshop import Workshop
from harness.model import Run

LEAST, MOST = 2, 9


def compare(request: Request, patches: Sequence[str], shop: Workshop) -> list[tuple[Run, Path]]:
    """A run for each patch, with its folder, on the base of the first where none was named.

    All are read before anything is built: a bad one costs nothing.
    """
    if not LEAST <= len(patches) <= MOST:
        raise UserError(
            f"{len(patches)} patches: a comparison has {LEAST} to {MOST}; one alone: faultloop test-patch"
        )
    given = [shop.patches([patch], version=request.version, tree=request.tree) for patch in patches]
    runs: list[tuple[Run, Path]] = []
    for one in given:
        kernel = request.kernel or (runs[0][0].kernel.name if runs else "")
        runs.append(run_series(replace(request, kernel=kernel), shop, one))
    return runs
