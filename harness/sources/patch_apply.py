# SPDX-License-Identifier: GPL-2.0-or-later
"""Put a series on a kernel tree, with git, exactly: whole context, no fuzz. The tree itself is only read."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from harness.errors import InfrastructureError, PatchError
from harness.model import Patch, Series
from harness.sources import patch_mend, patch_path
from harness.sources.patch_diff import FileDiff, find
from harness.sources.patch_explain import count_places, explain
from harness.sources.patch_git import Bench, GitOffset, read_entry
from harness.sources.patch_text import printable, split_lines
from harness.temporary import temporary


class Offset(NamedTuple):
    """A hunk that fitted, but at another line than the patch says."""

    patch: int
    """Number of the patch in the series, from 1."""
    path: str
    hunk: int
    """Number of the hunk in its file, from 1."""
    lines: int
    """How far it moved; negative: up."""
    places: int
    """At how many places of the file its old text stands. More than one: git took the nearest."""


class Fit(NamedTuple):
    """How well a series fits a tree."""

    name: str
    applies: bool
    hunks: int
    """Hunks that apply."""
    total: int


@dataclass(frozen=True, slots=True, eq=False)
class Changes(Mapping[str, bytes | None]):
    """What a series makes of a tree: path -> new content, or None for a file that it deletes.

    Only paths whose content, mode or kind differs from the tree's are in it. A symbolic link's content is its
    target. No path lies below a symbolic link, neither of the tree nor of the series, and no link leaves the tree.
    """

    files: Mapping[str, bytes | None]
    modes: Mapping[str, int]
    """Git mode of each path that is not deleted: 0o100644, 0o100755, or 0o120000 for a symbolic link."""
    offsets: tuple[Offset, ...] = ()
    notes: tuple[str, ...] = ()
    """Sentences for the user: what had to be undone to apply it, and which hunk could have gone elsewhere."""

    def __getitem__(self, path: str) -> bytes | None:
        return self.files[path]

    def __iter__(self) -> Iterator[str]:
        return iter(self.files)

    def __len__(self) -> int:
        return len(self.files)


def apply(tree: Path, series: Series, scratch: Path) -> Changes:
    """Apply ``series`` to copies of the files of ``tree`` that it touches, in ``scratch`` (an empty folder).

    Afterwards ``scratch`` holds the touched files as they became, each at its own path with its mode. PatchError
    tells which patch and hunk does not apply, what stands there instead, or that the tree has the patch already.
    """
    parsed = [_parse(patch) for patch in series.patches]
    touched = frozenset(path for files in parsed for file in files for path in file.paths)
    scratch.mkdir(parents=True, exist_ok=True)
    offsets: list[Offset] = []
    notes: list[str] = []
    with temporary("git") as git_dir:
        bench = Bench(scratch, Path(git_dir))
        bench.fill(tree, touched)
        for number, files in enumerate(parsed, 1):
            before = {file.old: bench.content(file.old) for file in files if file.old is not None}
            moved, note = _apply_one(bench, files, series, number)
            notes += [note] if note else []
            for one in moved:
                offset = _offset(one, files, before, number)
                offsets.append(offset)
                if offset.places > 1:
                    notes.append(
                        f"{offset.path}: hunk {offset.hunk} fits at {offset.places} places; taken: line {one.at}, "
                        f"{abs(offset.lines)} lines from where the patch has it"
                    )
    return _collect(tree, scratch, touched, offsets, notes)


def check(tree: Path, series: Series) -> Changes:
    """As `apply`, without keeping the files."""
    with temporary("apply") as scratch:
        return apply(tree, series, Path(scratch))


def has_already(tree: Path, series: Series) -> bool:
    """Whether ``tree`` holds what ``series``, which does not apply, would make of it."""
    parsed = [_parse(patch) for patch in series.patches]
    with _bench(tree, parsed) as bench:
        return bench is not None and all(bench.reverses(files) for files in parsed)


def context_left(tree: Path, series: Series) -> int:
    """With how many lines of context ``series`` would still go on ``tree``; 0 when with none.

    Nothing is ever built like that: it says that a patch is near enough to be made anew by hand.
    """
    parsed = [_parse(patch) for patch in series.patches]
    for context in (2, 1):
        with _bench(tree, parsed) as bench:
            if bench is not None and all(bench.apply_loosely(files, context) for files in parsed):
                return context
    return 0


def nearest(series: Series, trees: Mapping[str, Path]) -> list[Fit]:
    """How well ``series`` fits each of ``trees`` (name -> folder), best first."""
    parsed = [_parse(patch) for patch in series.patches]
    fits = [_fit(name, tree, parsed) for name, tree in trees.items()]
    return sorted(fits, key=lambda fit: (not fit.applies, -fit.hunks))


def _fit(name: str, tree: Path, parsed: Sequence[Sequence[FileDiff]]) -> Fit:
    total = sum(max(1, len(file.hunks)) for files in parsed for file in files)
    failed = 0
    with _bench(tree, parsed) as bench:
        if bench is None:
            return Fit(name, False, 0, total)
        for files in parsed:
            if bench.apply(files) is None:
                failed += sum(len(bench.try_file(file)) for file in files)
    return Fit(name, not failed, total - failed, total)


@contextmanager
def _bench(tree: Path, parsed: Sequence[Sequence[FileDiff]]) -> Iterator[Bench | None]:
    """A bench for a trial; None if the tree cannot take the paths at all."""
    with temporary("apply") as scratch:
        folder, git_dir = Path(scratch, "tree"), Path(scratch, "git")
        folder.mkdir()
        bench = Bench(folder, git_dir)
        try:
            bench.fill(tree, (path for files in parsed for file in files for path in file.paths))
        except PatchError:
            yield None
            return
        yield bench


def _parse(patch: Patch) -> tuple[FileDiff, ...]:
    """The file diffs of ``patch``, checked anew; with the line of each hunk in the user's own file."""
    name = patch.source or patch.subject or "patch"
    diff = find(split_lines(patch.diff.encode("utf-8", "surrogateescape")), name)
    if diff is None:
        raise PatchError(f"{printable(name)}: the patch '{printable(patch.subject)}' holds no diff")
    return diff.files


def _apply_one(
    bench: Bench, files: Sequence[FileDiff], series: Series, number: int
) -> tuple[tuple[GitOffset, ...], str]:
    """Apply one patch; the hunks that moved, and what had to be mended. PatchError if it does not apply."""
    moved = bench.apply(files)
    if moved is not None:
        return moved, ""
    for mended, note in patch_mend.candidates(files):
        moved = bench.apply(mended)
        if moved is not None:
            return moved, note
    raise explain(bench, files, series, number)


def _offset(one: GitOffset, files: Sequence[FileDiff], before: Mapping[str, bytes | None], number: int) -> Offset:
    file = files[one.file]
    content = before.get(file.old or "") or b""
    places = count_places(file.hunks[one.hunk - 1], content)
    return Offset(number, file.name, one.hunk, one.lines, places)


def _collect(
    tree: Path, scratch: Path, touched: frozenset[str], offsets: Sequence[Offset], notes: Sequence[str]
) -> Changes:
    """Compare ``scratch`` with ``tree``; what is there and should not be is an error."""
    for folder, folders, names in os.walk(scratch):
        here = Path(folder)
        linked = [name for name in folders if (here / name).is_symlink()]
        for path in (str((here / name).relative_to(scratch)) for name in [*names, *linked]):
            if path not in touched:
                raise InfrastructureError(f"git apply wrote {printable(path)}, which the patch does not name")
    files: dict[str, bytes | None] = {}
    modes: dict[str, int] = {}
    for path in sorted(touched):
        old, new = read_entry(tree, path, touched), read_entry(scratch, path, frozenset())
        if new == old or (new is not None and old is not None and _same(old, new)):
            continue
        if new is None:
            files[path] = None
            continue
        files[path], modes[path] = new[0], _git_mode(new[1])
        if stat.S_ISLNK(new[1]):
            try:
                patch_path.check_link(path, new[0])
            except patch_path.NameProblem as problem:
                raise PatchError(f"{printable(path)}: {problem}") from None
    return Changes(files, modes, tuple(offsets), tuple(notes))


def _same(old: tuple[bytes, int], new: tuple[bytes, int]) -> bool:
    return old[0] == new[0] and _git_mode(old[1]) == _git_mode(new[1])


def _git_mode(mode: int) -> int:
    if stat.S_ISLNK(mode):
        return 0o120000
    return 0o100755 if mode & stat.S_IXUSR else 0o100644
