# SPDX-License-Identifier: GPL-2.0-or-later
"""What a full disk means to the user: one message, with the folder, what is left, and the way out."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from harness.errors import InfrastructureError

CACHE = "FAULTLOOP_CACHE"
RESULTS = "FAULTLOOP_RESULTS"
GIB = 1 << 30

_SAID = os.strerror(errno.ENOSPC)


def free_bytes(folder: Path) -> int:
    """Bytes that a normal user can still write in ``folder`` or, when it does not exist yet, above it."""
    while not folder.exists():
        folder = folder.parent
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def disk_bytes(folder: Path) -> int:
    """What the files below ``folder`` take on disk."""
    total = 0
    for here, _, files in os.walk(folder):
        for name in files:
            total += os.lstat(Path(here, name)).st_blocks * 512
    return total


def is_full(told: OSError | str) -> bool:
    """Whether an error, or what a program printed, says that there is no space left."""
    if isinstance(told, shutil.Error):  # several errors, as text
        told = str(told)
    if isinstance(told, str):
        return _SAID in told
    return told.errno in (errno.ENOSPC, errno.EDQUOT)


def full(folder: Path, why: str = "a file could not be written", *, variable: str = CACHE) -> InfrastructureError:
    """The error for a full disk; ``variable`` names another folder."""
    free = free_bytes(folder) / GIB
    return InfrastructureError(
        f"{folder}: no space left ({free:.1f} GiB free): {why}; make room, or name another folder in {variable}"
    )


@contextlib.contextmanager
def told(folder: Path, variable: str) -> Iterator[None]:
    """A disk that fills up while something is written below ``folder`` is the host's fault, and said so."""
    try:
        yield
    except OSError as error:
        if not is_full(error):
            raise
        raise full(folder, variable=variable) from error
