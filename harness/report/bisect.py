# SPDX-License-Identifier: GPL-2.0-or-later
"""The result of a bisection: its steps, the commit with its parent, what else could not be judged."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, TextIO

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness import __version__
from harness.bisected import Bisection, Commit, Confidence, End, Step
from harness.report import text
from harness.shown import one_line
from harness.sought import Find, Mark

SCHEMA = "faultloop/bisect/1"
_WIDTH = 116
_STYLE = {Mark.GOOD: "green", Mark.BAD: "red", Mark.SKIP: "yellow"}
_MOST_SUSPECTS = 30
_MOST_LINES = 6
_SURE = 0.99


def show(done: Bisection, stream: TextIO) -> None:
    """Print it; colours only where ``stream`` is a terminal that wants them."""
    _print(done, text.console_for(stream, _WIDTH))


def plain(done: Bisection) -> str:
    """The same as text."""
    return text.captured(show, done)


def _print(done: Bisection, console: Console) -> None:
    console.print(_steps(done))
    if done.judgement is not None:
        table, folded = text.pairs(done.judgement.comparisons)
        if table.row_count:
            console.print(Text("base: the parent; patched: the commit"))
            console.print(table)
        if folded:
            console.print(Text(f"passed   {folded} more paths pass on both"))
    for line in _lines(done):
        console.print(Text(line), soft_wrap=True)
    style = "bold green" if done.end is End.FOUND else "bold yellow"
    head = Text("RESULT   ").append(done.end.upper(), style=style)
    console.print(head.append(f": {one_line(done.summary)}"), soft_wrap=True)


def _steps(done: Bisection) -> Table:
    table = Table(box=SIMPLE, pad_edge=False, collapse_padding=True)
    table.add_column("commit", no_wrap=True)
    table.add_column("subject", max_width=40, no_wrap=True, overflow="ellipsis")
    table.add_column("", no_wrap=True)
    table.add_column("why", overflow="fold")
    table.add_column("objects", justify="right", no_wrap=True)
    table.add_column("time", justify="right", no_wrap=True)
    for step in done.steps:
        mark = Text(str(step.mark), style=_STYLE[step.mark])
        name = _end(done, step) or one_line(step.subject)
        built = str(step.objects) if step.image else "-"
        table.add_row(step.sha[:12], Text(name), mark, Text(one_line(step.reason)), built, f"{step.seconds:.0f} s")
    return table


def _end(done: Bisection, step: Step) -> str:
    names = {done.good.sha: "GOOD", done.bad.sha: "BAD"}
    return f"{names[step.sha]}: {one_line(step.subject)}" if step.sha in names else ""


def _lines(done: Bisection) -> Iterator[str]:
    yield f"tree     {one_line(done.tree)}"
    if done.watched:
        yield f"decides  {', '.join(dict.fromkeys(f'{path} on {setup}' for path, setup in done.watched))}"
    for step in done.skipped:
        yield f"skipped  {step.sha[:12]} {one_line(step.subject)[:60]}: {one_line(step.reason)}"
        for line in step.detail.splitlines()[:_MOST_LINES]:
            yield f"         | {one_line(line)[:110]}"
    if done.confidence is not None:
        yield f"sure     {_sure(done.confidence)}"
    if done.base:
        yield f"base     first built from the objects of {one_line(done.base)}"
    for note in (*done.notes, *(note for step in done.steps for note in step.notes)):
        yield f"note     {one_line(note)}"
    for commit in done.suspects[:_MOST_SUSPECTS]:
        yield f"one of   {_told(commit)}"
    if len(done.suspects) > _MOST_SUSPECTS:
        yield f"one of   ... and {len(done.suspects) - _MOST_SUSPECTS} more, in bisect.json"
    if done.first is not None:
        yield f"parent   {_told(done.parent) if done.parent else '-'}"
        yield f"{'broken' if done.find is Find.BREAK else 'mended'}   {_told(done.first)}"
    if done.judgement is not None:
        yield f"verdict  {done.judgement.verdict}: {one_line(done.judgement.reason)}"
    judged = [step for step in done.steps if not step.end]
    yield f"steps    {len(judged)} and both ends, {len(done.skipped)} skipped, {_span(done.seconds)}"
    if done.folder is not None:
        yield f"results  {done.folder}"


def _told(commit: Commit) -> str:
    who = ", ".join(word for word in (commit.author, commit.date[:10]) if word)
    return one_line(f"{commit.sha} {commit.subject} ({who})")


def _sure(found: Confidence) -> str:
    seen = f"BAD went wrong in {found.bad} of {found.of} runs"
    if found.of < 2:
        return (
            f"{seen}, each commit ran once: whether the paths fail each time is not known (REPEAT=n measures it)"
        )
    said = f"{seen}; a good verdict of {found.repeat} runs is right with {_percent(found.good)}"
    said += f", all {found.goods} of them with {_percent(found.all)}"
    need = wanted(found)
    return said + (f"; for {_percent(_SURE)}: REPEAT={need}" if need > found.repeat else "")


def wanted(found: Confidence) -> int:
    """Runs of each commit with which all good verdicts together are right with 99 %."""
    for repeat in range(1, 1000):
        if (1.0 - (1.0 - found.rate) ** repeat) ** max(1, found.goods) >= _SURE:
            return repeat
    return 1000


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %".replace("100.0 %", "over 99.9 %")


def _span(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def dump(done: Bisection, status: int) -> str:
    """All of it as JSON."""
    judgement = done.judgement
    found: dict[str, Any] = {
        "schema": SCHEMA,
        "faultloop": __version__,
        "exit_status": status,
        "end": str(done.end),
        "summary": done.summary,
        "find": str(done.find),
        "tree": done.tree,
        "good": asdict(done.good),
        "bad": asdict(done.bad),
        "first": asdict(done.first) if done.first else None,
        "parent": asdict(done.parent) if done.parent else None,
        "verdict": str(judgement.verdict) if judgement else None,
        "paths": [
            {
                "path": c.path,
                "setup": c.setup,
                "parent": str(c.base.outcome),
                "commit": str(c.patched.outcome),
                "change": str(c.change),
            }
            for c in (judgement.comparisons if judgement else ())
        ],
        "suspects": [asdict(commit) for commit in done.suspects],
        "left": done.left,
        "watched": [list(key) for key in done.watched],
        "steps": [asdict(step) for step in done.steps],
        "confidence": _confidence(done.confidence),
        "seconds": round(done.seconds, 1),
        "base": done.base,
        "notes": list(done.notes),
        "results": str(done.folder) if done.folder else None,
    }
    return json.dumps(found, indent=1, ensure_ascii=True) + "\n"


def _confidence(found: Confidence | None) -> dict[str, float] | None:
    if found is None:
        return None
    return {**asdict(found), "good": round(found.good, 4), "all": round(found.all, 4)}
