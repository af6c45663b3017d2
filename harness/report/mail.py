# SPDX-License-Identifier: GPL-2.0-or-later
"""The result of a run as text for a mail to the list: plain, under 72 columns, nothing that a mailer would wrap.

Takes ``run.json``, so that a run of last week can be told as well.
"""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Iterable, Mapping, Sequence

from harness.model import Change
from harness.report.schema import Result, Row, RunFile
from harness.shown import one_line

COLUMNS = 71
_SETUP = 10
_CELL = 12
_LEGEND = (
    "Each outcome with device stalls / TLBI commands at the SMMU / calls of the SMMU driver's notifier, "
    "while the path ran."
)


def reply(run: RunFile) -> str:
    """The text of the mail, without headers; the user signs it, or does not."""
    paths = run.paths
    names = _short(dict.fromkeys(row.setup for row in paths))
    parts = [
        _wrap("Run with faultloop: arm64 guests behind an emulated SMMUv3 (no BTM), a PCIe device that stalls."),
        _facts(run, names),
        _table(paths, names),
        _wrap(_LEGEND),
        _wrap(_result(run)),
        *([_wrap("Note: " + _clean(note)) for note in run.notes]),
        "To repeat it:\n\n" + _command(run),
    ]
    if run.verdict in ("FIXES", "PARTIAL"):
        parts.append("Tested-by:")
    return "\n\n".join(parts) + "\n"


def _facts(run: RunFile, names: Mapping[str, str]) -> str:
    patches = run.patch.patches if run.patch else []
    rows = [("patch", p.subject) for p in patches]
    rows += [("", f"<{p.message_id.strip('<>')}>") for p in patches[:1] if p.message_id]
    rows.append(("base", f"Linux {run.kernel.version}, {run.kernel.origin}"))
    if run.builds.patched is not None:
        rows.append(("rebuilt", f"{run.builds.patched.objects} of {run.builds.base.objects} objects"))
    rows.append(("emulator", run.emulator.version))
    for long, short in names.items():
        rows.append(("setup", long if long == short else f"{short} = {long}"))
    return "\n".join(
        textwrap.fill(_clean(text), COLUMNS, initial_indent=f"  {name:9}", subsequent_indent=" " * 11)
        for name, text in rows
    )


def _table(paths: Sequence[Row], names: Mapping[str, str]) -> str:
    """A row for each path; setups that agree share it."""
    compared = any(row.patched for row in paths)
    width = max([len("path"), *(len(row.path) for row in paths)])
    heads = ["base", "patched"] if compared else ["outcome"]
    lines = [_row("path", "setup", heads, "", width)]
    for path in dict.fromkeys(row.path for row in paths):
        mine = [row for row in paths if row.path == path]
        rows = [
            ([_cell(result) for result in (row.base, row.patched) if result is not None], _change(row))
            for row in mine
        ]
        if len(mine) > 1 and all(row == rows[0] for row in rows):
            lines.append(_row(path, "all", *rows[0], width))
            continue
        for number, (row, cells) in enumerate(zip(mine, rows, strict=True)):
            lines.append(_row("" if number else path, names[row.setup], *cells, width))
    lines.insert(1, "-" * max(len(line) for line in lines))
    return "\n".join(lines)


def _row(path: str, setup: str, cells: Iterable[str], change: str, width: int) -> str:
    text = "".join(f" {cell:{_CELL}}" for cell in cells)
    return f"{path:{width}} {setup:{_SETUP}}{text} {change}".rstrip()


def _cell(result: Result) -> str:
    if result.outcome not in ("PASS", "LOOP", "STALE", "CORRUPT"):
        return str(result.outcome)
    return f"{result.outcome} {result.stalls}/{result.tlbi}/{result.notifier_calls}"


def _change(row: Row) -> str:
    return "" if row.change in (None, Change.SAME) else str(row.change)


def _result(run: RunFile) -> str:
    verdict = f"{run.verdict}: " if run.verdict else ""
    return f"Result: {verdict}{_clean(run.summary)}."


def _command(run: RunFile) -> str:
    """The command line, with the patch as the reader has it."""
    words = ["./faultloop", *(w for w in run.command if w != "--fresh")]
    line = shlex.join("x.patch" if w == "{here}/series.patch" else w for w in words)
    return textwrap.fill(
        line,
        COLUMNS - 2,
        initial_indent="  ",
        subsequent_indent="    ",
        break_long_words=False,
        break_on_hyphens=False,
    ).replace("\n", " \\\n")


def _short(names: Iterable[str]) -> dict[str, str]:
    """Names that fit their column; letters where one does not."""
    names = list(names)
    if all(len(name) <= _SETUP for name in names):
        return {name: name for name in names}
    return {name: f"setup {number}" for number, name in enumerate(names, 1)}


def _wrap(text: str) -> str:
    return textwrap.fill(text, COLUMNS, break_on_hyphens=False)


def _clean(text: str) -> str:
    return " ".join(one_line(text).split())
