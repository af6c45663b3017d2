# SPDX-License-Identifier: GPL-2.0-or-later
"""Hold a mail's diffstat against the diff that was found: git wrote both, so a difference means damage."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness.sources.patch_diff import FileDiff
from harness.sources.patch_text import Line, damaged

SUMMARY = re.compile(
    rb"\s*(\d{1,6}) files? changed(?:, (\d{1,9}) insertions?\(\+\))?(?:, (\d{1,9}) deletions?\(-\))?\s*$"
)
_ROW = re.compile(rb"\s+(\S.*?)\s+\|\s+(\d{1,9})(?:\s[-+]*)?\s*$")
_MAX_ROW = 400


@dataclass(frozen=True, slots=True)
class Stat:
    """A diffstat, as a mail shows it."""

    line: int
    """Line of its summary."""
    files: int
    insertions: int
    deletions: int
    rows: tuple[tuple[str, int], ...]
    """Name (perhaps shortened, ``.../x.c``) and lines changed, for each row that could be read."""


def find_stat(lines: Sequence[Line]) -> Stat | None:
    """The last diffstat in ``lines``, the text before a diff."""
    for at in range(len(lines) - 1, -1, -1):
        match = SUMMARY.match(lines[at].data)
        if match is None:
            continue
        files, insertions, deletions = (int(group or b"0") for group in match.groups())
        rows = []
        for _, data in reversed(lines[max(0, at - files) : at]):
            row = _ROW.match(data[:_MAX_ROW])
            if row is None:
                break
            rows.append((row.group(1).decode("utf-8", "replace"), int(row.group(2))))
        return Stat(lines[at].number, files, insertions, deletions, tuple(reversed(rows)))
    return None


def check_stat(stat: Stat, files: Sequence[FileDiff], name: str) -> None:
    """PatchError when the diff of the file ``name`` is not the one that ``stat`` was made of."""
    added = sum(hunk.added for file in files for hunk in file.hunks)
    removed = sum(hunk.removed for file in files for hunk in file.hunks)
    names = len({file.name for file in files})
    if (names, added, removed) == (stat.files, stat.insertions, stat.deletions):
        return
    raise damaged(
        name,
        stat.line,
        f"the diffstat says {stat.files} files, +{stat.insertions} -{stat.deletions}, but the diff holds "
        f"{names} files, +{added} -{removed}: the mail is cut short or was changed "
        "(if you changed it yourself, take the diffstat out)",
        detail="\n".join(_differences(stat, files)),
    )


def _differences(stat: Stat, files: Iterable[FileDiff]) -> list[str]:
    changed = {file.name: sum(h.added + h.removed for h in file.hunks) for file in files}
    lines = []
    for shown, count in stat.rows:
        tail = shown.removeprefix("...")
        name = next((name for name in changed if name == shown or (tail != shown and name.endswith(tail))), None)
        if name is None:
            lines.append(f"{shown}: {count} lines in the diffstat, not in the diff")
        elif changed[name] != count:
            lines.append(f"{shown}: {count} lines in the diffstat, {changed[name]} in the diff")
    return lines
