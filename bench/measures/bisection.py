# SPDX-License-Identifier: GPL-2.0-or-later
"""A step of a bisection: a commit that was never built, from git to its verdict, against make and a bare boot.

The history is made up, on the kernel's real tree; each commit changes one file.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.bench import Bench
from bench.frame import Measure, Pair, Row, Values
from bench.guests import BareGuest, at_once
from bench.trees import BareTree, marked
from tests.vm.planted import Planted, git, plant

FILE = "mm/mincore.c"
SETUP = "cortex-a57"
WORKLOADS = "anon-*"
_COMMITS = 200
"""More than there are rounds."""
_STATUSES = (0, 1)


@contextmanager
def _prepare(bench: Bench) -> Iterator[Pair]:
    with bench.scratch("bisect") as folder:
        before = (bench.kernel.tree / FILE).read_text(encoding="utf-8")
        tree = BareTree(bench, folder)
        tree.make()
        commits = _history(bench, folder)
        paths = [w.path for w in bench.workloads(WORKLOADS)]
        setup = bench.setups(SETUP)[0]

        def ours() -> Values:
            words = ["bisect-step", "--tree", str(folder / "git"), "--rev", next(commits)]
            words += ["--setup", SETUP, "--workloads", WORKLOADS]
            return {"": bench.command(words, folder / "results", statuses=_STATUSES).seconds}

        def bare() -> Values:
            tree.write(FILE, marked(FILE, before))
            made = tree.make()
            return {"": made.seconds + at_once([BareGuest(bench, made.built, setup, paths)], 1)}

        ours()  # the first step of all looks for the nearest kernel among all that were built
        yield Pair(ours, bare, [f"{FILE}, {SETUP}, {WORKLOADS}"])


def _history(bench: Bench, folder: Path) -> Iterator[str]:
    """Commits that were never built, one after the other."""
    edits = []
    text = ""
    for number in range(_COMMITS):
        more = marked(FILE, "")
        edits.append(Planted(f"step-{number}", f"mm/mincore: step {number}", ((FILE, text, more),)))
        text = more
    made = plant(bench.shop, folder / "git", tuple(edits), series=bench.kernel_name, fix=None)
    git(made.path, "symbolic-ref", "HEAD", "refs/heads/main")
    return iter(made.commits[f"step-{number}"] for number in range(_COMMITS))


MEASURES = (Measure("bisect-step", (Row("", "a commit of a bisection"),), _prepare),)
