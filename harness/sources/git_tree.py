# SPDX-License-Identifier: GPL-2.0-or-later
"""A commit's tree as the files by which it differs from a tree that lies on disk.

Nothing is checked out: both are listed by git's own object ids, and only what differs is read. So a kernel of
80,000 files costs a second, and no filter or attribute of anybody's is met.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from harness.build.cache import Cache, digest
from harness.errors import PatchError, UserError
from harness.sources import patch_path

Listing = Mapping[str, tuple[str, str]]
"""Path -> git mode and object id."""
Read = Callable[[Sequence[str], bytes], bytes]
"""A git command in the repository of the commit, and what it is fed with."""

LINK = "120000"
_FILES = ("100644", "100755", LINK)
_ROOM = "listings"
_MOST_BYTES = 1 << 30
"""Of all changed files together: a release of the kernel against the one before is a tenth of it."""


def of_commit(read: Read, commit: str) -> Listing:
    """The files of a commit; submodules, which no kernel has, are left out."""
    found: dict[str, tuple[str, str]] = {}
    for row in read(["ls-tree", "-r", "-z", "--full-tree", commit], b"").split(b"\0")[:-1]:
        head, _, name = row.partition(b"\t")
        mode, _, blob = head.decode("ascii").split()
        if mode in _FILES:
            found[os.fsdecode(name)] = (mode, blob)
    return found


def of_folder(tree: Path, key: str, cache: Cache, kind: str) -> Listing:
    """The files of a tree on disk as git would list them; every byte is read once, then the cache has it.

    ``key`` stands for the content of ``tree``; ``kind`` is git's object format, sha1 or sha256.
    """

    def maker(folder: Path) -> None:
        with gzip.open(folder / "listing.json.gz", "wt", encoding="ascii", compresslevel=1) as file:
            json.dump(_walk(tree, kind), file)

    entry = cache.make(_ROOM, digest("listing", 1, key, kind), maker)
    with gzip.open(entry / "listing.json.gz", "rt", encoding="ascii") as file:
        return {name: (mode, blob) for name, (mode, blob) in json.load(file).items()}


def _walk(tree: Path, kind: str) -> dict[str, tuple[str, str]]:
    found = {}
    for folder, folders, files in os.walk(tree):
        here = Path(folder)
        if here == tree and ".git" in folders:
            folders.remove(".git")
        for name in [*files, *(name for name in folders if (here / name).is_symlink())]:
            path = here / name
            if path.is_symlink():
                mode, data = LINK, os.fsencode(path.readlink())
            else:
                mode = "100755" if path.stat().st_mode & 0o100 else "100644"
                data = path.read_bytes()
            found[str(path.relative_to(tree))] = (mode, blob_id(data, kind))
    return found


def blob_id(data: bytes, kind: str) -> str:
    """Git's object id of a file's content."""
    return hashlib.new(kind, b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def differing(old: Listing, new: Listing) -> tuple[list[str], list[str]]:
    """Names that ``new`` adds or changes, and names that it lacks, sorted."""
    changed = sorted(name for name, entry in new.items() if old.get(name) != entry)
    return changed, sorted(name for name in old if name not in new)


def write(read: Read, listing: Listing, names: Sequence[str], folder: Path) -> None:
    """Lay ``names`` of a commit out in ``folder``, each with its mode.

    PatchError for a name that leaves the tree, or a link that points out of it.
    """
    for name in names:
        _check(name)
    feed = "".join(f"{listing[name][1]}\n" for name in names).encode("ascii")
    sizes = read(["cat-file", "--batch-check=%(objecttype) %(objectsize)"], feed).split(b"\n")[:-1]
    if sum(int(row.split()[1]) for row in sizes if row.startswith(b"blob ")) > _MOST_BYTES:
        raise UserError(f"{len(names)} files differ, more than {_MOST_BYTES >> 30} GiB: these are not two kernels")
    data = read(["cat-file", "--batch"], feed)
    at = 0
    for name in names:
        end = data.index(b"\n", at)
        words = data[at:end].split()
        if len(words) != 3 or words[1] != b"blob":
            raise UserError(f"{name}: the repository lacks its content (a partial clone?); nothing is fetched")
        at = end + 1 + int(words[2])
        _write(folder, name, listing[name][0], data[end + 1 : at])
        at += 1


def _check(name: str) -> None:
    try:
        patch_path.check(os.fsencode(name))
    except patch_path.NameProblem as problem:
        raise PatchError(f"a commit cannot be built: {problem}") from None


def _write(folder: Path, name: str, mode: str, data: bytes) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if mode == LINK:
        try:
            patch_path.check_link(name, data)
        except patch_path.NameProblem as problem:
            raise PatchError(f"a commit cannot be built: {problem}") from None
        path.symlink_to(os.fsdecode(data))
        return
    path.write_bytes(data)
    path.chmod(0o755 if mode == "100755" else 0o644)
