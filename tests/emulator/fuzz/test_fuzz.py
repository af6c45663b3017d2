# SPDX-License-Identifier: GPL-2.0-or-later
"""No input ends the emulator, nor what once did; and what would is found."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from .__main__ import fuzz, sanitized, shrink
from .generator import Fuzzer
from .run import run

CORPUS = sorted(Path(__file__).with_name("corpus").glob("*.json"))
PLANTED = Path(__file__).with_name("planted.patch")


def replay(qemu: Path, file: Path) -> str:
    case = json.loads(file.read_text(encoding="utf-8"))
    return run(qemu, case["smmu"], case["devices"], case["lines"])


@pytest.mark.parametrize("file", CORPUS, ids=[file.stem for file in CORPUS])
def test_what_once_ended_qemu_does_so_no_more(qemu: Path, file: Path) -> None:
    assert not replay(qemu, file)


def test_random_input_does_not_end_qemu(qemu: Path, tmp_path: Path) -> None:
    found, _ = fuzz(qemu, 1, 3, tmp_path)
    assert not found, found


def test_a_seed_gives_the_same_lines_always() -> None:
    assert Fuzzer(3).lines() == Fuzzer(3).lines()
    assert Fuzzer(3).lines() != Fuzzer(4).lines()


def test_shrinking_leaves_what_matters() -> None:
    lines = [str(n) for n in range(200)]
    assert shrink(lines, lambda fewer: {"17", "150"} <= set(fewer)) == ["17", "150"]


@pytest.mark.long
def test_sanitizers_find_nothing(tmp_path: Path) -> None:
    qemu = sanitized()
    for file in CORPUS:
        assert not replay(qemu, file)
    found, _ = fuzz(qemu, 1_000, 120, tmp_path)
    assert not found, found


@pytest.mark.long
def test_planted_bug_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One engine more than there are."""
    from harness.build.emulator import BINARY, SANITIZED
    from harness.jobs.workshop import Workshop

    with Workshop().emulator_bench(SANITIZED) as bench:
        subprocess.run(["patch", "-p1", "-s", "-d", bench.source, "-i", PLANTED], check=True)
        found, _ = fuzz(bench.build() / BINARY, 1, 60, tmp_path)
    assert "heap-buffer-overflow" in found
