#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Feed the emulator random input until it dies, or the time is over.

    python -m tests.emulator.fuzz [--seed N] [--seconds N]

The emulator is built with AddressSanitizer and UndefinedBehaviorSanitizer, unless FAULTLOOP_QEMU names one. What
ends it is made short, printed, and written to a file that belongs into corpus/ when it is mended.

Exit status: 0 when nothing was found, 1 otherwise.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from ..binary import emulator
from .generator import Fuzzer
from .run import kind, run

SECONDS = 60


def shrink(lines: Sequence[str], fails: Callable[[list[str]], bool]) -> list[str]:
    """Lines none of which can be left out (ddmin, by complements)."""
    left = list(lines)
    size = max(1, len(left) // 2)
    while True:
        at, removed = 0, False
        while at < len(left):
            fewer = left[:at] + left[at + size :]
            if fails(fewer):
                left, removed = fewer, True
            else:
                at += size
        if size == 1 and not removed:
            return left
        size = max(1, size // 2)


def fuzz(qemu: Path, seed: int, seconds: float, folder: Path) -> tuple[str, str]:
    """What was found, or nothing; and a summary."""
    end = time.monotonic() + seconds
    cases = commands = 0
    while time.monotonic() < end:
        fuzzer = Fuzzer(seed + cases)
        lines = fuzzer.lines()
        died = run(qemu, fuzzer.smmu, fuzzer.devices, lines)
        if died:
            return report(qemu, fuzzer, seed + cases, lines, died, folder), ""
        cases += 1
        commands += len(lines)
    return "", f"{commands} commands in {cases} cases from seed {seed} on: QEMU lives"


def report(qemu: Path, fuzzer: Fuzzer, seed: int, lines: list[str], died: str, folder: Path) -> str:
    """The short case, kept in a file."""
    what = kind(died)
    short = shrink(lines, lambda fewer: kind(run(qemu, fuzzer.smmu, fuzzer.devices, fewer)) == what)
    case = {"what": what, "smmu": dict(fuzzer.smmu), "devices": list(map(dict, fuzzer.devices)), "lines": short}
    file = folder / f"fuzz-{seed}.json"
    file.write_text(json.dumps(case, indent=1) + "\n", encoding="utf-8")
    return "\n".join([f"seed {seed}: {died[-3000:]}", *short, f"kept in {file}"])


def main() -> int:
    parser = argparse.ArgumentParser(description="Feed the emulator random input.")
    parser.add_argument("--seed", type=int, default=None, help="of the first case (default: a random one)")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="for how long (default: %(default)s)")
    options = parser.parse_args()
    seed = secrets.randbelow(1 << 32) if options.seed is None else options.seed
    found, summary = fuzz(sanitized(), seed, options.seconds, Path.cwd())
    print(found or summary)
    return 1 if found else 0


def sanitized() -> Path:
    """The emulator with sanitizers, or the one that is named."""
    if os.environ.get("FAULTLOOP_QEMU"):
        return emulator()
    from harness.jobs.workshop import Workshop

    return Workshop().sanitized_emulator.binary


if __name__ == "__main__":
    sys.exit(main())
