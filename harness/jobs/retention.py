# SPDX-License-Identifier: GPL-2.0-or-later
"""Which results folders of earlier nights go, by count and by size.

Only folders of nights are looked at, never those of other runs. The last night stays, and so do those that an open
failure refers to: where it was seen first, and the last good night before that. The history keeps every row.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.disk import disk_bytes
from harness.errors import UserError

KEEP = 30
KEEP_SIZE = "20G"
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


@dataclass(frozen=True, slots=True)
class Kept:
    """The folder of a night."""

    name: str
    size: int
    """Bytes on disk."""


def size_of(text: str) -> int:
    """Bytes of ``20G``, ``500M``; UserError for anything else."""
    match = re.fullmatch(r"(\d+)\s*([KMGT]?)i?B?", text.strip(), re.IGNORECASE)
    if not match:
        raise UserError(f"KEEP_SIZE={text}: a size is a number with K, M, G or T, like 20G")
    return int(match.group(1)) * _UNITS[match.group(2).upper()]


def surplus(folders: Sequence[Kept], needed: Collection[str], *, keep: int, size: int) -> list[str]:
    """Names of folders to remove. ``folders``: the latest first; ``needed`` are never among the result."""
    gone: list[str] = []
    for number, one in enumerate(folders):
        if number >= max(1, keep) and one.name not in needed:
            gone.append(one.name)
    total = sum(one.size for one in folders if one.name not in gone)
    for one in reversed(folders[1:]):
        if total <= size:
            break
        if one.name not in needed and one.name not in gone:
            gone.append(one.name)
            total -= one.size
    return gone


def prune(results: Path, names: Sequence[str], needed: Collection[str], *, keep: int, size: int) -> list[str]:
    """Remove what is too much of the folders ``names`` (the latest first) of ``results``; what was removed."""
    there = [name for name in names if (results / name).is_dir() and not (results / name).is_symlink()]
    folders = [Kept(name, disk_bytes(results / name)) for name in there]
    gone = surplus(folders, needed, keep=keep, size=size)
    for name in gone:
        # One rename first: a folder is there whole, or not at all.
        doomed = results / f".partial-gone-gone-{os.getpid()}-{name}"
        (results / name).rename(doomed)
        shutil.rmtree(doomed, ignore_errors=True)
    return gone
