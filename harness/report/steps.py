# SPDX-License-Identifier: GPL-2.0-or-later
"""A series patch by patch, as text."""

from __future__ import annotations

from collections.abc import Sequence

from harness.model import Step
from harness.shown import one_line


def plain(steps: Sequence[Step]) -> str:
    """A line for each patch, its faults below it, and the sentence that names the first that has any."""
    lines = []
    for step in steps:
        verdict = str(step.run.judgement.verdict) if step.run and step.run.judgement else "-"
        subject = one_line(step.patch.subject)
        lines.append(f"{step.number:>3}/{len(steps)}  {'BAD ' if step.faults else 'ok  '}{verdict:16} {subject}")
        lines += [f"         {one_line(fault)}" for fault in step.faults]
        lines += [f"           {one_line(line)}" for line in step.detail.splitlines()[:10]]
    bad = [step for step in steps if step.faults]
    if bad:
        lines.append(f"first bad: patch {bad[0].number}, {one_line(bad[0].faults[0])}")
    else:
        lines.append(f"all {len(steps)} patches build, and none is worse than the one before")
    return "\n".join(lines) + "\n"
