# SPDX-License-Identifier: GPL-2.0-or-later
"""Is the source that a kernel is built of what was brought in? A bit may turn on a disk, and no build says so.

A tree has 80,000 files, of which a patched variant reads a thousand. So a base's build looks at all of them, a
variant's at those that its patch changes, and at those that were compiled, as kbuild's ``.cmd`` files list them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Sequence
from pathlib import Path

from harness.build.cache import ALL, Cache
from harness.build.variant_tree import SOURCE
from harness.errors import InfrastructureError
from harness.model import Kernel

_TREES = "sources"
_TREE = "tree"
_READ = re.compile(rf"{SOURCE}/([^\s)]+)".encode())


def check(cache: Cache, kernel: Kernel, names: Collection[str] | None = None) -> None:
    """InfrastructureError when one of these files of the source (None: any) is not as it was brought in."""
    entry = kernel.tree.parent
    if entry.parent != cache.root / _TREES:
        return
    read: Sequence[str] = ALL if names is None else [f"{_TREE}/{name}" for name in names]
    # To list 80,000 files takes a second: only these are looked at, unless one of them is wrong.
    changed = cache.changed(_TREES, entry.name, read)
    if changed and cache.get(_TREES, entry.name, read=changed) is None:
        raise InfrastructureError(
            f"the source of Linux {kernel.version} ({kernel.name}) was damaged in the cache, and is removed; run "
            "the same command again: it is brought in anew"
        )


def compiled(out: Path, since: float) -> set[str]:
    """Files of the source that were read for what has been compiled in ``out`` since a time."""
    found: set[str] = set()
    for folder, _, files in os.walk(out):
        for name in files:
            path = Path(folder, name)
            if name.endswith(".cmd") and not path.is_symlink() and path.stat().st_mtime >= since:
                found.update(os.fsdecode(os.path.normpath(match)) for match in _READ.findall(path.read_bytes()))
    return found
