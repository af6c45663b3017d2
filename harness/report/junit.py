# SPDX-License-Identifier: GPL-2.0-or-later
"""Results as JUnit XML: a suite for each variant and setup, a case for each path, splats in ``system-err``."""

from __future__ import annotations

from pathlib import Path

from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite

from harness.model import GuestRecord, Outcome, PathResult, Run
from harness.shown import printable


def write(run: Run, path: Path) -> None:
    """Write the document to ``path``."""
    document = JUnitXml("faultloop")
    for record in run.records:
        document.add_testsuite(_suite(record))
    document.update_statistics()  # type: ignore[no-untyped-call]
    document.write(str(path), pretty=True)


def _suite(record: GuestRecord) -> TestSuite:
    suite = TestSuite(_suite_name(record))
    for result in record.results:
        suite.add_testcase(_case(result, record))
    return suite


def _suite_name(record: GuestRecord) -> str:
    return printable(f"{record.variant}.{record.setup}")


def _case(result: PathResult, record: GuestRecord) -> TestCase:
    case = TestCase(printable(result.path), classname=_suite_name(record), time=result.seconds)
    reason = printable(result.reason)
    if result.outcome.bad:
        case.result = [Failure(reason, str(result.outcome))]
    elif result.outcome is Outcome.ERROR:
        case.result = [Error(reason, str(result.outcome))]
    elif result.outcome.undecided:
        case.result = [Skipped(f"{result.outcome}: {reason}")]
    case.system_out = printable(result.ktap)
    if result.splats:
        case.system_err = printable("\n".join(s.text for s in result.splats))
    return case
