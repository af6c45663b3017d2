# SPDX-License-Identifier: GPL-2.0-or-later
"""What the harness costs, against the bare commands: ``python -P -m bench [NAME...]``; docs/performance.md."""

from __future__ import annotations

import argparse
import fnmatch
import sys
from collections.abc import Sequence
from pathlib import Path

from bench import history
from bench.bench import Bench
from bench.frame import Found, LeftOut, Measure, alternate
from bench.measures import ALL
from bench.table import found_table, then_table
from harness import layout
from harness.errors import ExitStatus, FaultloopError, UserError, defect
from harness.interruption import unwinding
from harness.shown import one_line
from harness.sources.datafile import nearest


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print the tables, append to the history. Status 0; 2: unknown name; 4: a measure failed."""
    options = _options(argv)
    with unwinding([]):
        try:
            return run(options)
        except FaultloopError as error:
            print(f"bench: {error.message}", file=sys.stderr)
            return error.status


def run(options: argparse.Namespace) -> int:
    """As :func:`main`; UserError for a name that no measure has."""
    chosen = choose(ALL, options.names)
    path = layout.results_root() / history.FILE
    here, revision = history.machine(), history.commit(layout.project().root)
    earlier = history.newest(path, here)
    found: list[Found] = []
    left: list[LeftOut] = []
    bench = Bench(options.kernel)
    status = 0
    try:
        for measure in chosen:
            rounds = _rounds(measure, options)
            if not rounds:
                left.append(LeftOut(measure.name, f"{measure.takes} a round: ask with {measure.asked}=n rounds"))
                continue
            try:
                rows = _measured(bench, measure, rounds)
            except FaultloopError as error:
                left.append(LeftOut(measure.name, one_line(error.message), failed=True))
                print(f"bench: {measure.name}: {error.message}\n{error.detail}", file=sys.stderr)
                status = ExitStatus.INFRASTRUCTURE
                continue
            for one in rows:
                history.append(path, history.line(one, here, revision))
            found += rows
    except KeyboardInterrupt:
        print(
            "bench: interrupted; what was measured to its end is in the table and in the history", file=sys.stderr
        )
        status = ExitStatus.INTERRUPTED
    _tell(found, left, earlier, path)
    return status


def choose(known: Sequence[Measure], names: Sequence[str]) -> list[Measure]:
    """Measures by name or glob, in the order of the table; all when nothing is named."""
    words = [word for name in names for word in name.replace(",", " ").split()]
    for word in words:
        if not fnmatch.filter([m.name for m in known], word):
            raise UserError(f"unknown measure '{word}': {nearest(word, [m.name for m in known])}")
    return [m for m in known if not words or any(fnmatch.fnmatch(m.name, word) for word in words)]


def _measured(bench: Bench, measure: Measure, rounds: int) -> tuple[Found, ...]:
    def told(done: int) -> None:
        print(f"{measure.name}: round {done} of {rounds}", file=sys.stderr)

    try:
        with measure.prepare(bench) as pair:
            return alternate(measure, pair, rounds, told)
    except FaultloopError:
        raise
    except Exception as error:  # one measure's defect does not cost the others
        raise defect(error) from error


def _rounds(measure: Measure, options: argparse.Namespace) -> int:
    if measure.asked:
        return int(getattr(options, measure.asked.lower()))
    return options.rounds or measure.rounds


def _tell(found: Sequence[Found], left: Sequence[LeftOut], earlier: history.Lines, path: Path) -> None:
    print(found_table(found, left))
    if then := then_table(found, earlier):
        print(f"\nagainst the last time on this machine\n\n{then}")
    if found:
        print(f"\nhistory  {path}")


def _count(text: str) -> int:
    number = int(text)
    if not 0 <= number <= 1000:
        raise argparse.ArgumentTypeError("0 to 1000 rounds")
    return number


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"measures: {', '.join(m.name for m in ALL)}; globs work")
    parser.add_argument("--rounds", type=_count, default=0, help="of each measure; 0: what it takes by itself")
    parser.add_argument("--cold", type=_count, default=0, help="rounds of what builds a kernel, or most of one")
    parser.add_argument("--suite", type=_count, default=0, help="rounds of the test suite")
    parser.add_argument("--workers", type=_count, default=0, help="rounds of a pool of two workers")
    parser.add_argument("--kernel", default="6.1", help="by its name in kernels.yaml")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
