#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Break the model on purpose, one way at a time, and see whether the tests notice.

    python3 tests/emulator/mutants.py SOURCE BUILD [NAME ...]

SOURCE is a tree of QEMU with our overlay and patches, BUILD its configured and built folder. Each patch of
``mutations/`` is applied to SOURCE, BUILD is brought up to date (a few objects), the tests that must notice run,
and the patch is taken out again, whatever happens. These tests are named in the patch, in lines
``Caught-by: tests/emulator/test_x.py::test_y``; one that fails is enough, and none may fail without the patch.

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

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parent.parent
TARGET = "qemu-system-aarch64"
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


def load(folder: Path, names: Sequence[str]) -> list[Mutant]:
    """The mutants of ``folder``; all, or those that are named."""
    mutants = []
    for patch in sorted(folder.glob("*.patch")):
        tests = tuple(re.findall(r"^Caught-by: (\S+)$", patch.read_text(), re.MULTILINE))
        if not tests:
            raise CannotJudge(f"{patch}: no line 'Caught-by: tests/emulator/...'")
        mutants.append(Mutant(patch.stem, patch, tests))
    unknown = set(names) - {mutant.name for mutant in mutants}
    if unknown:
        raise CannotJudge(f"no such mutant: {', '.join(sorted(unknown))}")
    return [mutant for mutant in mutants if not names or mutant.name in names]


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


def build(folder: Path) -> None:
    """Bring the binary up to date."""
    done = run(["ninja", TARGET], folder)
    if done.returncode:
        raise CannotJudge(f"does not build:\n{done.stdout[-3000:]}")


def failed_tests(binary: Path, tests: Sequence[str]) -> list[str]:
    """Which of ``tests`` fail with this QEMU."""
    argv = [sys.executable, "-P", "-m", "pytest", "-q", "--no-header", "-rfE", "-p", "no:cacheprovider", *tests]
    done = run(argv, PROJECT, {**os.environ, "FAULTLOOP_QEMU": str(binary)})
    if done.returncode not in (0, TESTS_FAILED):
        raise CannotJudge(f"pytest status {done.returncode}:\n{done.stdout[-3000:]}")
    return re.findall(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.MULTILINE)


def judge(mutant: Mutant, source: Path, folder: Path) -> list[str]:
    """The tests that catch it."""
    with applied(mutant.patch, source):
        build(folder)
        return failed_tests(folder / TARGET, mutant.tests)


def main() -> int:
    parser = argparse.ArgumentParser(description="Break the emulator on purpose; the tests must notice.")
    parser.add_argument("source", type=Path, help="QEMU's sources, with overlay and patches")
    parser.add_argument("build", type=Path, help="their build folder, configured and built")
    parser.add_argument("names", nargs="*", help="mutants (default: all)")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # by way of every `finally`
    source, folder = options.source.resolve(), options.build.resolve()
    survivors = 0
    try:
        mutants = load(HERE / "mutations", options.names)
        build(folder)
        suspects = sorted({test for mutant in mutants for test in mutant.tests})
        broken = failed_tests(folder / TARGET, suspects)
        if broken:
            raise CannotJudge(f"fails without any mutant: {', '.join(broken)}")
        for mutant in mutants:
            begin = time.monotonic()
            caught = judge(mutant, source, folder)
            survivors += not caught
            verdict = f"caught by {len(caught)}" if caught else "NOT CAUGHT"
            print(f"{mutant.name:44} {verdict:12} {time.monotonic() - begin:5.1f} s", flush=True)
    except CannotJudge as error:
        print(f"mutants: {error}", file=sys.stderr)
        return 4
    finally:
        run(["ninja", TARGET], folder)
    print(f"{len(mutants)} mutants, {survivors} not caught")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
