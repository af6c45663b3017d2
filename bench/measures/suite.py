# SPDX-License-Identifier: GPL-2.0-or-later
"""How long the checks and unit tests take, and where. `make test` is an hour's: pytest tells its time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from junitparser import JUnitXml

from bench.bench import Bench, python, timed
from bench.frame import Measure, Pair, Row, Values

_SHOWN = 5


@contextmanager
def _prepare(bench: Bench) -> Iterator[Pair]:
    parts: list[str] = []
    root = bench.project.root

    def ours() -> Values:
        check = timed(["sh", str(root / "tools" / "check.sh")], statuses=(0, 1)).seconds
        with bench.scratch("suite") as folder:
            report = folder / "junit.xml"
            words = [
                python(),
                "-P",
                "-m",
                "pytest",
                "-q",
                "-n",
                "2",
                "--dist",
                "worksteal",
                f"--junitxml={report}",
            ]
            unit = timed(
                [*words, str(root / "tests" / "unit")], {"PYTHONPATH": str(root)}, statuses=(0, 1)
            ).seconds
            parts[:] = [slowest(report)]
        return {"check": check, "unit": unit}

    yield Pair(ours, None, parts)


def slowest(report: Path) -> str:
    """The modules in which tests spent most time, by pytest's own report."""
    seconds: defaultdict[str, float] = defaultdict(float)
    for suite in JUnitXml.fromfile(str(report)):
        for case in suite:
            seconds[str(case.classname).rpartition("tests.")[2]] += case.time or 0.0
    rows = sorted(seconds.items(), key=lambda row: -row[1])[:_SHOWN]
    return f"{sum(seconds.values()):.0f} s of tests: " + ", ".join(f"{name} {took:.1f} s" for name, took in rows)


MEASURES = (
    Measure(
        "suite",
        (Row("check", "`make check`"), Row("unit", "its unit tests")),
        _prepare,
        asked="SUITE",
        takes="one to two minutes",
    ),
)
