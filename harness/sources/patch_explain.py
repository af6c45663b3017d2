# SPDX-License-Identifier: GPL-2.0-or-later
"""Say why a patch does not apply: which hunk, what the tree has there, and whether it has the patch already."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from harness.errors import PatchError
from harness.model import Series
from harness.sources.patch_diff import FileDiff
from harness.sources.patch_git import Bench
from harness.sources.patch_hunk import Hunk
from harness.sources.patch_text import listing, printable, split_lines
from harness.temporary import temporary

_AROUND = 3
_COMMON = 200
"""A line that stands in a file more often than this says nothing about a place."""


def explain(bench: Bench, files: Sequence[FileDiff], series: Series, number: int) -> PatchError:
    """The error for patch ``number`` (from 1) of ``series``, which did not apply to ``bench``."""
    patch = series.patches[number - 1]
    where = printable(patch.source) or "the patch"
    which = f"patch {number} of {len(series.patches)}, " if len(series.patches) > 1 else ""
    which += f"'{printable(patch.subject, 100)}'"
    if bench.reverses(files):
        return PatchError(
            f"{where}: {which} is in the tree already (it can be taken out, but not put in): this kernel has it, "
            "or the patch was made the wrong way round"
        )
    failed = _failures(bench, files)
    total = sum(max(1, len(file.hunks)) for file in files)
    fitting = total - sum(len(numbers) for numbers in failed)
    index = next((i for i, numbers in enumerate(failed) if numbers), 0)
    hunk_number = failed[index][0] if failed[index] else 1
    line, place, detail = _place(bench, files, index, hunk_number, patch.hunks)
    name = re.sub(r":\d+$", "", where)
    return PatchError(
        f"{name}:{line}: {which} does not apply: {place} ({fitting} of {total} hunks apply)", detail=detail
    )


def _failures(bench: Bench, files: Sequence[FileDiff]) -> list[tuple[int, ...]]:
    """For each file the numbers of the hunks that do not apply, tried on a copy."""
    with temporary("why") as scratch:
        folder, git_dir = Path(scratch, "tree"), Path(scratch, "git")
        shutil.copytree(bench.folder, folder, symlinks=True)
        trial = Bench(folder, git_dir)
        return [trial.try_file(file) for file in files]


def _place(
    bench: Bench, files: Sequence[FileDiff], index: int, hunk_number: int, lines: Sequence[int]
) -> tuple[int, str, str]:
    """Line in the user's file, what is wrong, and the lines to show."""
    file = files[index]
    before = sum(len(f.hunks) for f in files[:index])
    at = before + hunk_number - 1
    hunk = file.hunks[hunk_number - 1] if file.hunks else None
    line = lines[at] if at < len(lines) else (hunk.line if hunk else file.line)
    if file.old is None:
        return line, f"it creates {file.name}, which the tree has", ""
    content = bench.content(file.old)
    if content is None:
        return line, f"it changes {file.old}, which the tree does not have", ""
    if hunk is None:
        return line, f"the tree cannot take the change of {file.name}", ""
    name = f"hunk {hunk_number} of {len(file.hunks)} of {file.old}"
    tree = [data for _, data in split_lines(content)]
    what, detail = _compare(hunk, tree, file.old, line)
    return line, f"{name}: {what}", detail


def _compare(hunk: Hunk, tree: Sequence[bytes], path: str, line: int) -> tuple[str, str]:
    """What stands in the tree at the place that is most like the hunk's old lines."""
    old = [data for _, data in hunk.old]
    after = [data[1:] for _, data in hunk.body if data[:1] in {b" ", b"+"}]
    if there := _find(after, tree):
        return f"the tree has its result already, at line {there[0] + 1}", ""
    squeezed = [b"".join(data.split()) for data in tree]
    if blank := _find([b"".join(data.split()) for data in old], squeezed):
        first = next((i for i, data in enumerate(old) if tree[blank[0] + i] != data), 0)
        at = line + hunk.old[first].number - hunk.line
        both = (old[first], tree[blank[0] + first])
        detail = f"line {at} of the patch, and line {blank[0] + first + 1} of the tree:\n"
        detail += "\n".join(repr(data.decode("utf-8", "replace"))[:160] for data in both)
        return f"only blanks differ, first at line {at}: tabs or spaces were changed; give the raw mail", detail
    start = _nearest(old, tree, hunk.old_start - 1)
    if start is None:
        return f"nothing like it is in the tree's {path}", _expected(hunk, 0)
    first = next((i for i, data in enumerate(old) if tree[start + i : start + i + 1] != [data]), 0)
    low, high = max(0, start + first - _AROUND), start + first + _AROUND + 1
    shown = listing((n + 1, tree[n]) for n in range(low, min(high, len(tree))))
    detail = f"{_expected(hunk, first)}\nthe tree, {path}:\n{shown}"
    return f"the nearest place is line {start + 1}, and line {start + first + 1} differs", detail


def _expected(hunk: Hunk, first: int) -> str:
    """The hunk's old lines around number ``first``, as they are numbered in the patch's own idea of the file."""
    old = hunk.old
    low = max(0, first - _AROUND)
    rows = [(hunk.old_start + n, old[n].data) for n in range(low, min(first + _AROUND + 1, len(old)))]
    return f"the patch expects:\n{listing(rows)}"


def _find(wanted: Sequence[bytes], lines: Sequence[bytes]) -> list[int]:
    """Indices in ``lines`` where all of ``wanted`` stand in a row."""
    if not wanted:
        return []
    size = len(wanted)
    rarest = min(range(size), key=lambda i: -len(wanted[i]))
    starts = (i - rarest for i, data in enumerate(lines) if data == wanted[rarest])
    return [s for s in starts if s >= 0 and list(lines[s : s + size]) == list(wanted)]


def count_places(hunk: Hunk, content: bytes) -> int:
    """At how many places of ``content`` the old lines of ``hunk`` stand."""
    return len(_find([data for _, data in hunk.old], [data for _, data in split_lines(content)]))


def _nearest(old: Sequence[bytes], tree: Sequence[bytes], hint: int) -> int | None:
    """Where in ``tree`` most of ``old`` stands in place; the place next to ``hint`` of several. None: nowhere."""
    where: dict[bytes, list[int]] = {}
    wanted = set(old)
    for at, data in enumerate(tree):
        if data in wanted:
            where.setdefault(data, []).append(at)
    votes: Counter[int] = Counter()
    for i, data in enumerate(old):
        if data.strip() and len(where.get(data, ())) <= _COMMON:
            votes.update(at - i for at in where.get(data, ()))
    usable = {start: count for start, count in votes.items() if start >= 0}
    if not usable:
        return None
    return min(usable, key=lambda start: (-usable[start], abs(start - hint)))
