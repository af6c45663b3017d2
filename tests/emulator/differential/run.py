# SPDX-License-Identifier: GPL-2.0-or-later
"""Run cases, and make one short on which model and reference disagree."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..qtest import Machine, QemuDied, command_line
from .driver import Disagreement, Driver
from .iotlb import Unpredictable
from .ops import Access, Case, Resume
from .reference import Reference


@dataclass(frozen=True, slots=True)
class Result:
    """Of a case: accesses that reached the SMMU; ``wrong``: what disagrees, or nothing; at operation ``index``."""

    accesses: int
    wrong: str = ""
    index: int = 0
    unpredictable: str = ""

    @property
    def kind(self) -> str:
        """What two disagreements have in common that are one."""
        return re.sub(r"\(.*|0x[0-9a-f]+|\d+", "", self.wrong)


def run(qemu: Path, case: Case) -> Result:
    """Run a case on a machine of its own."""
    reference = Reference(case)
    devices = [{"addr": f"{slot:x}.0", "engines": case.engines} for slot in case.slots]
    argv = command_line(qemu, smmu=case.smmu, devices=devices)
    index = 0
    try:
        with Machine(argv) as machine:
            driver = Driver(machine, case, reference)
            for index, op in enumerate(case.ops):
                if isinstance(op, Access) and not reference.can_run(op):
                    continue
                if isinstance(op, Resume) and not driver.tell(op):
                    continue
                expected = reference.apply(op)
                driver.issue(index, op, expected)
                if driver.full:
                    driver.flush()
            driver.finish(index)
    except Unpredictable as reason:
        return Result(reference.accesses, unpredictable=str(reason))
    except Disagreement as error:
        return Result(reference.accesses, error.what, error.index)
    except (QemuDied, AssertionError) as error:
        return Result(reference.accesses, f"{type(error).__name__}: {error}", index)
    return Result(reference.accesses)


def shrink(case: Case, disagrees: Callable[[Case], bool]) -> Case:
    """Delta debugging (Zeller's ddmin, by complements): a case from which no operation can be left out."""
    ops = list(case.ops)
    size = max(1, len(ops) // 2)
    while True:
        at, removed = 0, False
        while at < len(ops):
            fewer = ops[:at] + ops[at + size :]
            if disagrees(replace(case, ops=tuple(fewer))):
                ops, removed = fewer, True
            else:
                at += size
        if size == 1 and not removed:
            return replace(case, ops=tuple(ops))
        size = max(1, size // 2)


def shortest(qemu: Path, case: Case, result: Result) -> tuple[Case, Result]:
    """The case cut at its first disagreement, and shrunk."""

    def disagrees(shorter: Case) -> bool:
        found = run(qemu, shorter)
        return found.kind == result.kind

    cut = replace(case, ops=case.ops[: result.index + 1])
    small = shrink(cut if disagrees(cut) else case, disagrees)
    return small, run(qemu, small)


def kept(whole: Sequence[object], part: Sequence[object]) -> list[int]:
    """Which operations of ``whole`` are those of ``part``: the objects themselves."""
    ids = {id(op) for op in part}
    return [n for n, op in enumerate(whole) if id(op) in ids]


def ranges(found: Sequence[int]) -> str:
    """``[3, 5, 6, 7]`` as ``3,5-7``."""
    pieces: list[tuple[int, int]] = []
    for n in found:
        if pieces and pieces[-1][1] == n - 1:
            pieces[-1] = pieces[-1][0], n
        else:
            pieces.append((n, n))
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in pieces)


def numbers(text: str) -> list[int]:
    """The reverse of :func:`ranges`."""
    found = []
    for piece in text.split(","):
        first, _, last = piece.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found
