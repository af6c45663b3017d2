#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Compare the model with the reference, on random cases.

    python -m tests.emulator.differential [--seed N] [--accesses N] [--ops LIST]

Case after case runs, from --seed on, until --accesses have been compared. The first disagreement is made short and
printed, with the line that repeats it; --ops is the list of that case's operations which are left.

Exit status: 0 when all agree, 1 when not.
"""

from __future__ import annotations

import argparse
import secrets
import sys
import time
from dataclasses import replace
from pathlib import Path

from ..binary import emulator
from .generator import Generator
from .ops import Case
from .run import Result, kept, numbers, ranges, run, shortest

ACCESSES = 100_000
"""By default: some minute's worth."""


def report(whole: Case, short: Case, result: Result) -> str:
    """A disagreement, for people, and how to see it again."""
    lines = [f"seed {whole.seed}: model and reference disagree: {result.wrong}"]
    lines += [f"SMMU {dict(whole.smmu)}, devices in slots {list(whole.slots)}"]
    lines += [f"  {'>' if n == result.index else ' '} {op}" for n, op in enumerate(short.ops)]
    lines += [f"again: make differential SEED={whole.seed} OPS={ranges(kept(whole.ops, short.ops))}"]
    return "\n".join(lines)


def compare(qemu: Path, seed: int, accesses: int) -> tuple[str, str]:
    """Run cases until there were so many accesses: the first disagreement, or nothing, and a summary."""
    began = time.monotonic()
    total = cases = cut = 0
    while total < accesses:
        case = Generator(seed + cases).case()
        result = run(qemu, case)
        total += result.accesses
        cases += 1
        cut += bool(result.unpredictable)
        if result.wrong:
            return report(case, *shortest(qemu, case, result)), ""
    minutes = (time.monotonic() - began) / 60
    summary = f"{total} accesses agree, in {cases} cases from seed {seed} on; {round(total / minutes)} a minute"
    return "", f"{summary}; {cut} ended early, where the architecture leaves a result open"


def main() -> int:
    parser = argparse.ArgumentParser(description="Compare the SMMU's model with a reference.")
    parser.add_argument("--seed", type=int, default=None, help="of the first case (default: a random one)")
    parser.add_argument("--accesses", type=int, default=ACCESSES, help="how many at least (default: %(default)s)")
    parser.add_argument("--ops", help="run these operations of the seed's case only: 3,5,10-12")
    options = parser.parse_args()
    seed = secrets.randbelow(1 << 32) if options.seed is None else options.seed
    if options.ops is None:
        wrong, summary = compare(emulator(), seed, options.accesses)
    else:
        whole = Generator(seed).case()
        case = replace(whole, ops=tuple(whole.ops[n] for n in numbers(options.ops)))
        result = run(emulator(), case)
        wrong = report(whole, case, result) if result.wrong else ""
        summary = f"{result.accesses} accesses agree"
    print(wrong or summary)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
