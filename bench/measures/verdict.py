# SPDX-License-Identifier: GPL-2.0-or-later
"""A verdict on a patch: base and its records in the cache, the patch new, against make and bare boots.

The bare side changes the same file in a tree that was built before, runs make for kernel and driver, and boots the
kernel in the same setups, two guests at once, as the harness does. ``again`` is the same patch once more.
All but ``verdict-all`` run a few paths: the less a guest has to do, the more of a verdict is ours.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from bench.bench import Bench, Ran
from bench.frame import Kind, Measure, Pair, Row, Values
from bench.guests import BareGuest, at_once
from bench.trees import BareTree, diff, marked

FEW = "anon-*,shmem-clean*,thp-*"
ALL = "*"
"""What a verdict runs unless told otherwise."""
_STATUSES = (0, 1, 3)
"""Any verdict will do."""
MMAP = "mm/mmap.c"
NOTIFIER = "include/linux/mmu_notifier.h"
TLBFLUSH = "arch/arm64/include/asm/tlbflush.h"


def judge(bench: Bench, patch: Path, results: Path, workloads: str = FEW) -> Ran:
    """The command on a patch."""
    words = ["test-patch", str(patch), "--base", bench.kernel_name, "--workloads", workloads, "--json"]
    return bench.command(words, results, statuses=_STATUSES)


def new_patch(bench: Bench, name: str, folder: Path) -> Path:
    """A patch of this file that was never judged."""
    before = (bench.kernel.tree / name).read_text(encoding="utf-8")
    path = folder / "new.patch"
    path.write_text(diff(name, before, marked(name, before)), encoding="utf-8")
    return path


def _warm(bench: Bench, folder: Path, workloads: str) -> None:
    """Base and controls are in the cache afterwards, whatever was there before."""
    words = ["run", "--kernel", bench.kernel_name, "--workloads", workloads]
    bench.command(words, folder / "results", statuses=_STATUSES)


def _verdict(name: str, workloads: str = FEW) -> Callable[[Bench], AbstractContextManager[Pair]]:
    @contextmanager
    def prepare(bench: Bench) -> Iterator[Pair]:
        with bench.scratch("verdict") as folder:
            _warm(bench, folder, workloads)
            tree = BareTree(bench, folder)
            tree.make()  # what is left to do in there is not part of a round
            objects: list[str] = []
            pair = Pair(
                lambda: {"": _ours(bench, name, folder, workloads, objects)},
                lambda: {"": _bare(bench, name, tree, workloads, objects)},
                objects,
            )
            yield pair
            objects[:] = [f"{name}: {'; '.join(dict.fromkeys(objects))}; {workloads}"]

    return prepare


def _ours(bench: Bench, name: str, folder: Path, workloads: str, objects: list[str]) -> float:
    ran = judge(bench, new_patch(bench, name, folder), folder / "results", workloads)
    count = json.loads(ran.stdout)["builds"]["patched"]["objects"]
    objects.append(f"ours {count} objects")
    return ran.seconds


def _bare(bench: Bench, name: str, tree: BareTree, workloads: str, objects: list[str]) -> float:
    before = (bench.kernel.tree / name).read_text(encoding="utf-8")
    tree.write(name, marked(name, before))
    made = tree.make()
    objects.append(f"bare {made.objects} objects")
    paths = [w.path for w in bench.workloads(workloads)]
    guests = [BareGuest(bench, made.built, setup, paths) for setup in bench.setups("")]
    return made.seconds + at_once(guests, 2)


@contextmanager
def _again(bench: Bench) -> Iterator[Pair]:
    with bench.scratch("again") as folder:
        patch = new_patch(bench, MMAP, folder)
        judge(bench, patch, folder / "results")

        def ours() -> Values:
            return {"": judge(bench, patch, folder / "results").seconds}

        yield Pair(ours)


MEASURES = (
    Measure("verdict-c", (Row("", "verdict on a patch of one mm/*.c", reach=1.10),), _verdict(MMAP)),
    Measure("verdict-all", (Row("", "the same, on all paths", reach=1.10),), _verdict(MMAP, ALL)),
    Measure(
        "verdict-notifier", (Row("", "verdict on a patch of mmu_notifier.h", reach=1.10),), _verdict(NOTIFIER)
    ),
    Measure(
        "verdict-tlbflush",
        (Row("", "verdict on a patch of asm/tlbflush.h", reach=1.10),),
        _verdict(TLBFLUSH),
        asked="COLD",
        takes="three quarters of a kernel are built twice, 10 to 20 minutes",
    ),
    Measure("again", (Row("", "the same patch again", reach=5.0, kind=Kind.VALUE),), _again),
)
