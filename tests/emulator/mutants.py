#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Break the model on purpose, one way at a time, and see whether the tests notice.

    python -m tests.emulator.mutants [--differential] [SOURCE BUILD] [NAME ...]

Each patch of ``mutations/`` is applied to a source tree of the emulator, its build tree is brought up to date (a
few objects), the tests that must notice run, and the patch is taken out again, whatever happens. These tests are
named in the patch, in lines ``Caught-by: tests/emulator/test_x.py::test_y``; one that fails is enough, and none
may fail without the patch. With --differential, the comparison with the reference judges in their place.

The trees are made from the cache, and go at the end. SOURCE (a tree of QEMU with our overlay and patches) and
BUILD (its configured and built folder) are taken instead, if they are named.

Exit status: 0 when all mutants are caught, 1 when one is not, 4 when one could not be judged.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parent.parent
TARGET = "qemu-system-aarch64"
ACCESSES = 60_000
"""That the reference is given to notice."""
TESTS_FAILED = 1
"""Exit status of pytest."""


class CannotJudge(Exception):
    """Not the mutant's fault, nor the tests'."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """A breakage: the patch, and the tests that must notice."""

    name: str
    patch: Path
    tests: tuple[str, ...]
    files: tuple[str, ...]
    """What it changes: mutants of one file follow each other, so that each build compiles it once, not twice."""


def load(folder: Path, names: Sequence[str]) -> list[Mutant]:
    """The mutants of ``folder``; all, or those that are named."""
    mutants = []
    for patch in sorted(folder.glob("*.patch")):
        text = patch.read_text()
        tests = tuple(re.findall(r"^Caught-by: (\S+)$", text, re.MULTILINE))
        files = tuple(re.findall(r"^--- a/(\S+)$", text, re.MULTILINE))
        if not tests:
            raise CannotJudge(f"{patch}: no line 'Caught-by: tests/emulator/...'")
        mutants.append(Mutant(patch.stem, patch, tests, files))
    unknown = set(names) - {mutant.name for mutant in mutants}
    if unknown:
        raise CannotJudge(f"no such mutant: {', '.join(sorted(unknown))}")
    chosen = [mutant for mutant in mutants if not names or mutant.name in names]
    return sorted(chosen, key=lambda mutant: (mutant.files, mutant.name))


def run(
    argv: Sequence[str | Path], cwd: Path, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(word) for word in argv],
        cwd=cwd,
        env=env,
        check=False,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


@contextmanager
def applied(patch: Path, source: Path) -> Iterator[None]:
    """``patch`` is in ``source`` for the length of the block, and not a moment longer."""
    argv = ["patch", "-p1", "-F0", "--no-backup-if-mismatch", "-s", "-i", str(patch)]
    if run([*argv, "--dry-run"], source).returncode:
        raise CannotJudge(f"{patch} does not apply to {source}")
    run(argv, source)
    try:
        yield
    finally:
        run([*argv, "-R"], source)


class Trees(Protocol):
    """A source tree, and how its emulator is brought up to date."""

    @property
    def source(self) -> Path: ...

    def build(self) -> Path:
        """The build folder."""


@dataclass(frozen=True, slots=True)
class NamedTrees:
    """Trees that the user has."""

    source: Path
    folder: Path

    def build(self) -> Path:
        done = run(["ninja", TARGET], self.folder)
        if done.returncode:
            raise CannotJudge(f"does not build:\n{done.stdout[-3000:]}")
        return self.folder


@contextmanager
def trees(named: Sequence[Path]) -> Iterator[Trees]:
    """Those that are named, or from the cache."""
    if named:
        yield NamedTrees(named[0].resolve(), named[1].resolve())
        return
    from harness.errors import FaultloopError
    from harness.jobs.workshop import Workshop

    try:
        with Workshop().emulator_bench() as bench:
            yield bench
    except FaultloopError as error:
        raise CannotJudge(f"{error}\n{error.detail}") from error


def failed_tests(binary: Path, tests: Sequence[str]) -> list[str]:
    """Which of ``tests`` fail with this QEMU."""
    argv = [
        sys.executable,
        "-P",
        "-m",
        "pytest",
        "-q",
        "--no-header",
        "--tb=no",
        "-rfE",
        "-p",
        "no:cacheprovider",
        *tests,
    ]
    done = run(argv, PROJECT, {**os.environ, "FAULTLOOP_QEMU": str(binary)})
    if done.returncode not in (0, TESTS_FAILED):
        raise CannotJudge(f"pytest status {done.returncode}:\n{done.stdout[-3000:]}")
    return re.findall(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.MULTILINE)


def disagreement(binary: Path) -> list[str]:
    """Whether the reference notices."""
    argv = [sys.executable, "-m", "tests.emulator.differential", "--seed", "1", "--accesses", str(ACCESSES)]
    done = run(argv, PROJECT, {**os.environ, "FAULTLOOP_QEMU": str(binary)})
    if done.returncode not in (0, 1):
        raise CannotJudge(f"the comparison ended with status {done.returncode}:\n{done.stdout[-3000:]}")
    return [done.stdout.splitlines()[0]] if done.returncode else []


def judge(mutant: Mutant, bench: Trees, differential: bool) -> list[str]:
    """What catches it."""
    with applied(mutant.patch, bench.source):
        binary = bench.build() / TARGET
        return disagreement(binary) if differential else failed_tests(binary, mutant.tests)


def judge_all(mutants: Sequence[Mutant], bench: Trees, differential: bool) -> int:
    """How many survive."""
    binary = bench.build() / TARGET
    suspects = sorted({test for mutant in mutants for test in mutant.tests})
    broken = disagreement(binary) if differential else failed_tests(binary, suspects)
    if broken:
        raise CannotJudge(f"fails without any mutant: {', '.join(broken)}")
    survivors = 0
    for mutant in mutants:
        begin = time.monotonic()
        caught = judge(mutant, bench, differential)
        survivors += not caught
        verdict = f"caught by {len(caught)}" if caught else "NOT CAUGHT"
        print(f"{mutant.name:44} {verdict:12} {time.monotonic() - begin:5.1f} s", flush=True)
    bench.build()
    return survivors


def main() -> int:
    parser = argparse.ArgumentParser(description="Break the emulator on purpose; the tests must notice.")
    parser.add_argument("--differential", action="store_true", help="the comparison with the reference judges")
    parser.add_argument("names", nargs="*", help="mutants (default: all); first, perhaps, the two trees")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # by way of every `finally`
    names: list[str] = options.names
    named = [Path(name) for name in names[:2]] if len(names) > 1 and "/" in names[0] else []
    try:
        mutants = load(HERE / "mutations", names[len(named) :])
        with trees(named) as bench:
            survivors = judge_all(mutants, bench, options.differential)
    except CannotJudge as error:
        print(f"mutants: {error}", file=sys.stderr)
        return 4
    print(f"{len(mutants)} mutants, {survivors} not caught")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
