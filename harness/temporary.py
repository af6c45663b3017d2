# SPDX-License-Identifier: GPL-2.0-or-later
"""Temporary folders that do not outlast their maker for long: the next command removes what a killed one has left.

Each is locked (flock(2)) while it is in use; one that nobody has locked belongs to nobody.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

_PREFIX = "faultloop-"


@contextlib.contextmanager
def temporary(what: str) -> Iterator[Path]:
    """An empty folder, gone at the end."""
    while True:
        with tempfile.TemporaryDirectory(prefix=f"{_PREFIX}{what}-", ignore_cleanup_errors=True) as name:
            held = _locked(Path(name))
            if held is None:  # swept in the moment between it and its lock
                continue
            try:
                yield Path(name)
                return
            finally:
                os.close(held)


def sweep() -> None:
    """Remove this user's folders that nobody uses any more."""
    for left in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*-*"):
        with contextlib.suppress(OSError):
            if left.lstat().st_uid != os.geteuid() or left.is_symlink() or not left.is_dir():
                continue
            held = _locked(left)
            if held is not None:
                try:
                    shutil.rmtree(left, ignore_errors=True)
                finally:
                    os.close(held)


def _locked(folder: Path) -> int | None:
    """A descriptor that keeps the lock of a folder; None when somebody else has it, or it is gone."""
    try:
        held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    with contextlib.suppress(OSError):
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(held).st_nlink:
            return held
    os.close(held)
    return None
