# SPDX-License-Identifier: GPL-2.0-or-later
"""The source tree of a variant, as mounts over the base's tree, which stays untouched and shared.

A patch that only changes files costs one bind mount a file. One that adds, removes or renames files, or
changes what a name is, gets a tree of hard links in which the touched names are unlinked first: the base's
inodes are never written, and the sandbox mounts the tree read-only.

Objects are reused by make's rules: a touched file must be newer than every copied object. And a header that
is added may hide another of the same name further down the include path, which no dependency file knows: all
headers of its name are made newer too.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from harness.build.cache import file_sha256
from harness.build.sandbox import Bind
from harness.errors import PatchError
from harness.sources.archive import copy_tree, link_tree

SOURCE = "/build/src"
"""Where every kernel source lies in the sandbox: the path is in each command line, and so in each object's key."""

_MAX_BINDS = 512


@dataclass(frozen=True, slots=True)
class Touched:
    """Files that a series changes, as they are afterwards."""

    folder: Path
    """Holds each changed or added file at its own path, with its mode."""
    removed: tuple[str, ...]
    """Paths that are gone."""

    @property
    def changed(self) -> tuple[str, ...]:
        """Paths of the changed and added files, sorted."""
        names = []
        for folder, folders, files in os.walk(self.folder):
            here = Path(folder)
            linked = [name for name in folders if (here / name).is_symlink()]
            names += [str((here / name).relative_to(self.folder)) for name in [*files, *linked]]
        return tuple(sorted(names))

    def identity(self) -> list[list[str]]:
        """What a cache key must hold of it: path, kind and content of every touched file."""
        rows = []
        for name in self.changed:
            path = self.folder / name
            if path.is_symlink():
                rows.append([name, "link", str(path.readlink())])
            else:
                kind = "x" if path.stat().st_mode & stat.S_IXUSR else "-"
                rows.append([name, kind, file_sha256(path)])
        return rows + [[name, "removed", ""] for name in self.removed]


def write_touched(applied: Mapping[str, bytes | None], scratch: Path, folder: Path) -> Touched:
    """Lay the result of ``patch_apply.apply`` out in ``folder``; modes and links are those of its scratch."""
    removed = []
    for name, content in sorted(applied.items()):
        pure = PurePosixPath(name)
        if pure.is_absolute() or ".." in pure.parts or ".git" in pure.parts or not pure.parts:
            raise PatchError(f"{name}: not a path inside the tree")
        if content is None:
            removed.append(name)
            continue
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        result = scratch / name
        if result.is_symlink():
            path.symlink_to(os.fsdecode(content))
            continue
        path.write_bytes(content)
        executable = result.is_file() and result.stat().st_mode & stat.S_IXUSR
        path.chmod(0o755 if executable else 0o644)
    return Touched(folder, tuple(removed))


def mounts(
    base: Path,
    touched: Touched | None,
    work: Path,
    newer_than: float,
    *,
    confined: bool = True,
    times: Mapping[str, float] | None = None,
) -> list[Bind]:
    """Mounts that show the variant's source at ``/build/src``.

    ``work`` is where a tree of links may be made (on the cache's file system); ``newer_than`` is when the base's
    objects were finished, seconds since the epoch; ``times`` are those of the touched files, earlier than that for
    one that the objects have seen as it is. Without a sandbox (``confined``) nothing keeps a build from
    writing to its source: it gets a copy.
    """
    if not confined:
        return [Bind(_copied(base, touched, work), SOURCE)]
    if touched is None:
        return [Bind(base, SOURCE)]
    names = touched.changed
    now = max(time.time(), newer_than + 1.0)
    times = times or {}
    for name in names:
        when = times.get(name, now)
        os.utime(touched.folder / name, (when, when), follow_symlinks=False)
    if not touched.removed and len(names) <= _MAX_BINDS and all(_plain(base, touched.folder, n) for n in names):
        return [Bind(base, SOURCE), *(Bind(touched.folder / name, f"{SOURCE}/{name}") for name in names)]
    return [Bind(_linked(base, touched, work, now, {n for n in names if times.get(n, now) <= newer_than}), SOURCE)]


def _plain(base: Path, folder: Path, name: str) -> bool:
    """Whether a regular file is changed into a regular file, on a way without links."""
    old = base / name
    new = folder / name
    ways = [base.joinpath(*PurePosixPath(name).parts[:n]) for n in range(1, len(PurePosixPath(name).parts))]
    return (
        old.is_file() and not old.is_symlink() and not new.is_symlink() and not any(w.is_symlink() for w in ways)
    )


def _copied(base: Path, touched: Touched | None, work: Path) -> Path:
    tree = work / "src"
    copy_tree(base, tree)
    if touched is not None:
        _lay_over(tree, touched, base)
    return tree


def _linked(base: Path, touched: Touched, work: Path, now: float, seen: Collection[str]) -> Path:
    tree = work / "src"
    link_tree(base, tree)
    added = _lay_over(tree, touched, base)
    headers = {PurePosixPath(name).name for name in added if name.endswith(".h") and name not in seen}
    if headers:
        _renew(tree, headers, now)
    return tree


def _lay_over(tree: Path, touched: Touched, base: Path) -> list[str]:
    """Make ``tree``, a copy of ``base``, what the series makes of it; the files that it adds."""
    for name in touched.removed:
        _inside(tree, name).unlink(missing_ok=True)
    added = [name for name in touched.changed if not os.path.lexists(base / name)]
    for name in touched.changed:
        source = touched.folder / name
        path = _inside(tree, name)
        path.unlink(missing_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        os.link(source, path, follow_symlinks=False)
    return added


def _renew(tree: Path, names: set[str], now: float) -> None:
    """Make every file of these names newer, without touching the inode that it shares with the base."""
    for folder, _, files in os.walk(tree):
        for name in names.intersection(files):
            path = Path(folder, name)
            if path.is_symlink():
                continue
            content, mode = path.read_bytes(), path.stat().st_mode
            path.unlink()
            path.write_bytes(content)
            path.chmod(stat.S_IMODE(mode))
            os.utime(path, (now, now))


def _inside(tree: Path, name: str) -> Path:
    """``tree/name``, no folder on the way being a link (it would lead out of the tree, or to another file)."""
    path = tree
    for part in PurePosixPath(name).parts[:-1]:
        path = path / part
        if path.is_symlink():
            raise PatchError(
                f"{name}: {path.relative_to(tree)} is a link in this tree; patch the file it points to"
            )
        if path.exists() and not path.is_dir():
            raise PatchError(f"{name}: {path.relative_to(tree)} is a file, not a folder")
    return tree / name
