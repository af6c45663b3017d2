# SPDX-License-Identifier: GPL-2.0-or-later
"""``faultloop bisect-step``: judge the commit at hand, as the command of ``git bisect run``.

There are no ends to compare with: every path that was chosen decides. git takes 0 for good, 1 to 127 for bad, 125
for a commit that cannot be judged, and stops at 128 and above: so trouble of the host is 255, never a verdict.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.bisected import Step
from harness.jobs.bisect_bench import Bench, Guests
from harness.jobs.bisect_commit import Judge
from harness.jobs.bisect_state import State
from harness.jobs.test_patch import one_kernel
from harness.jobs.workshop import Workshop
from harness.layout import project
from harness.model import Series
from harness.oracle import bisection as rules
from harness.sought import Find, Mark
from harness.sources import catalogue, git, git_range
from harness.sources.git_bisect import Bisector

_STATUS = {Mark.GOOD: 0, Mark.BAD: 1, Mark.SKIP: 125}
_SWAPPED = {Mark.GOOD: 1, Mark.BAD: 0, Mark.SKIP: 125}


@dataclass(frozen=True, slots=True)
class StepRequest:
    """What the user asked for; as `BisectRequest`."""

    tree: str = "."
    rev: str = ""
    """Empty: the commit that git wants to know of (BISECT_HEAD, else HEAD)."""
    find: Find = Find.BREAK
    workloads: str = ""
    """Empty: all but those that no kernel mends."""
    setups: str = ""
    accel: str = "tcg"
    repeat: int = 1
    boot_fail: Mark = Mark.SKIP
    patches: tuple[str, ...] = ()
    fresh: bool = False
    guests_at_once: int = 2
    results: Path = Path("results")


def step(request: StepRequest, shop: Workshop) -> tuple[Step, int]:
    """What the commit is, and the status for git."""
    tree = git_range.top(Path(request.tree).expanduser())
    sha = git.resolve(tree, request.rev or ("BISECT_HEAD" if git.has_commit(tree, "BISECT_HEAD") else "HEAD"))
    found = catalogue.workloads(project().workloads, request.workloads)
    workloads = tuple(w for w in found if request.workloads or not w.unmended)
    setups = catalogue.setups(project().setups, request.setups, accel=request.accel)
    one_kernel(setups)
    series = shop.patches(request.patches, version=None, tree=str(tree)).series if request.patches else Series()
    folder = request.results.absolute() / "bisect-steps"
    for note in git_range.uncommitted(tree):
        shop.progress.say(f"note: {note} (a fix-up for each step: --patch FILE)")
    shop.progress.say(f"judged by: {rules.names([(w.path, '') for w in workloads])}")
    with Bisector(tree, folder / f"git-{sha[:12]}", request.find) as git_side:
        keys = [(w.path, s.name) for s in setups for w in workloads] + [(rules.LOG, s.name) for s in setups]
        judge = Judge(
            bench=Bench(shop, git_side, tree, sha, series, setups[0]),
            guests=Guests(shop, folder, at_once=request.guests_at_once, fresh=request.fresh),
            workloads=workloads,
            setups=setups,
            repeat=max(1, request.repeat),
            boot_fail=request.boot_fail,
            state=State({}, {}, watched=tuple(keys)),
            save=lambda state: setattr(judge, "state", state),
        )
        done = judge.commit(git_side.commit(sha))
    return done, (_STATUS if request.find is Find.BREAK else _SWAPPED)[done.mark]
