# SPDX-License-Identifier: GPL-2.0-or-later
"""What a selftest of the kernel said, and what our audits of the IOTLB say. Pure: recorded text in, results out.

The two are told apart: a test that fails is the test's business; a translation that no page table allows is ours.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from harness.model import Outcome
from harness.selftested import Ours, Theirs

_DONE = re.compile(r"launch: done: (?P<facts>.*)")
_STALE = re.compile(r"launch: stale: (?P<text>.*)")
_ERROR = re.compile(r"launch: error: (?P<text>.*)")
_FACT = re.compile(r"(\w+)=(\d+)")
_POINT = re.compile(r"(?P<not>not )?ok \d{1,9}\b(?P<skip>.*#\s*SKIP\b)?", re.IGNORECASE)
_TOTALS = re.compile(
    r"# Totals: pass:(\d{1,9}) fail:(\d{1,9}) xfail:(\d{1,9}) xpass:(\d{1,9}) skip:(\d{1,9}) error:(\d{1,9})"
)
"""What kselftest.h prints at the end (ksft_print_cnts())."""


def theirs(output: Sequence[str], status: int) -> Theirs:
    """Counts of the points that the test printed.

    Not a parser of TAP: some of these tests print no version line (mremap), some run one point into the next.
    Where the test says its own sum, that counts; where it did not come to that, the points that begin a line do.
    """
    sums = [m for line in output if (m := _TOTALS.match(line.strip()))]
    if sums:
        passed, failed, xfail, xpass, skipped, error = (int(number) for number in sums[-1].groups())
        return Theirs(status, passed + xfail + xpass, failed + error, skipped)
    points = [m for line in output if (m := _POINT.match(line))]
    skips = [m for m in points if m["skip"]]
    rest = [m for m in points if not m["skip"]]
    good = sum(not m["not"] for m in rest)
    return Theirs(status, good, len(rest) - good, len(skips))


def ours(said: Sequence[str]) -> Ours:
    """The outcome of the audits, from the launcher's own lines.

    ERROR when it did not come to its end, INVALID when nothing of the program was ever cached or compared.
    """
    error = next((m["text"] for line in said if (m := _ERROR.search(line))), "")
    done = next((m["facts"] for line in said if (m := _DONE.search(line))), "")
    if error or not done:
        return Ours(Outcome.ERROR, error or "the launcher did not come to its end")
    facts = {name: int(value) for name, value in _FACT.findall(done)}
    counted = Ours(
        Outcome.PASS,
        audits=facts.get("audits", 0),
        entries=facts.get("entries", 0),
        primed=facts.get("primed", 0),
        stale=facts.get("stale", 0),
    )
    if counted.stale:
        first = next((m["text"] for line in said if (m := _STALE.search(line))), "")
        return replace(counted, outcome=Outcome.STALE, reason=first)
    missing = {
        "no audit was made": counted.audits,
        "the device read none of its pages": counted.primed,
        "the IOTLB held nothing to compare": counted.entries,
    }
    for what, count in missing.items():
        if not count:
            return replace(counted, outcome=Outcome.INVALID, reason=what)
    return counted
