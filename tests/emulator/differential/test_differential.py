# SPDX-License-Identifier: GPL-2.0-or-later
"""Model and reference agree on random cases; and what finds and shortens a disagreement does so."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from .__main__ import compare
from .generator import Generator
from .iotlb import Unpredictable
from .ops import Access, Case, Command, Poke
from .parts import DONE, Running
from .reference import Reference
from .run import kept, numbers, ranges, run, shortest, shrink

SLICE = 12_000
"""Accesses: some seconds."""


@pytest.mark.parametrize("seed", [0, 100])
def test_model_and_reference_agree(qemu: Path, seed: int) -> None:
    wrong, _ = compare(qemu, seed, SLICE)
    assert not wrong, wrong


@pytest.mark.long
def test_model_and_reference_agree_for_long(qemu: Path) -> None:
    wrong, _ = compare(qemu, 1_000, 500_000)
    assert not wrong, wrong


def test_a_seed_gives_one_case_always() -> None:
    assert Generator(7).case() == Generator(7).case()
    assert Generator(7).case() != Generator(8).case()


@pytest.mark.parametrize("seed", range(5))
def test_cases_are_not_all_faults_and_not_all_successes(seed: int) -> None:
    """A generator that asks nothing gets no wrong answer."""
    case = Generator(seed, 1500).case()
    reference = Reference(case)
    done = failed = 0
    with suppress(Unpredictable):
        for op in case.ops:
            if not isinstance(op, Access):
                if not hasattr(op, "nth") or reference.nth_stall(op.nth):
                    reference.apply(op)
            elif reference.can_run(op):
                running = reference.apply(op)
                assert isinstance(running, Running)
                done += running.status == DONE
                failed += running.status != DONE
    assert done > 30
    assert failed > 30


def test_shrinking_leaves_what_matters() -> None:
    case = Case(0, {}, (2,), 1, tuple(Poke(n, n) for n in range(300)))
    matters = {case.ops[17], case.ops[18], case.ops[250]}
    short = shrink(case, lambda shorter: matters <= set(shorter.ops))
    assert set(short.ops) == matters
    assert kept(case.ops, short.ops) == [17, 18, 250]


def test_list_of_operations_is_written_and_read() -> None:
    for found in ([3], [3, 5, 6, 7], [0, 1, 5, 9, 10]):
        assert numbers(ranges(found)) == found
    assert ranges([3, 5, 6, 7]) == "3,5-7"


def test_disagreement_is_found_and_made_short(qemu: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reference that forgets CMD_TLBI_NH_ASID stands for a model that is wrong."""

    def forgetful(self: Reference, op: Command) -> int:
        return right(self, Command(0x46) if op.low & 0xFF == 0x11 else op)

    right = Reference._command
    monkeypatch.setattr(Reference, "_command", forgetful)
    case = next(case for case in map(whole, range(50)) if run(qemu, case).wrong)
    short, result = shortest(qemu, case, run(qemu, case))
    assert result.wrong
    assert len(short.ops) < 15
    assert [op for op in short.ops if isinstance(op, Command) and op.low & 0xFF == 0x11]


def whole(seed: int) -> Case:
    """Of few operations; counters are of no interest, which would tell of the command at once."""
    return replace(Generator(seed, 1500).case(), seed=seed)
