# SPDX-License-Identifier: GPL-2.0-or-later
"""Take what a build made out of its folder, as a stranger may have left it.

The build is over, and it may have put a link in place of a file (to a key of the user's, say, which would end up
in the results), or a pipe that nobody writes to. So no part of a name is followed when it is a link, nothing is
opened that is no regular file, and no more is read than such a file can have.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from harness.errors import BuildError

_GIB = 1 << 30
_MOST_TEXT = 64 << 20
_CHUNK = 1 << 20


def read_text(folder: Path, name: str) -> str:
    """The text of ``folder/name``. BuildError when it is not there, or no regular file on a way without links."""
    with _opened(folder, name, _MOST_TEXT) as file:
        data = b""
        while chunk := os.read(file, _CHUNK):
            data += chunk
        return data.decode("utf-8", errors="replace")


def keep(folder: Path, name: str, target: Path, *, most: int = _GIB) -> None:
    """Copy ``folder/name`` to ``target``, which is new. BuildError as `read_text`."""
    with _opened(folder, name, most) as file, target.open("xb") as copy:
        while chunk := os.read(file, _CHUNK):
            copy.write(chunk)


@contextlib.contextmanager
def _opened(folder: Path, name: str, most: int) -> Iterator[int]:
    *above, last = PurePosixPath(name).parts
    with contextlib.ExitStack() as stack:

        def enter(part: str, flags: int, where: int | None) -> int:
            opened = os.open(part, os.O_RDONLY | os.O_CLOEXEC | flags, dir_fd=where)
            stack.callback(os.close, opened)
            return opened

        try:
            at = enter(str(folder), os.O_DIRECTORY | os.O_NOFOLLOW, None)
            for part in above:
                at = enter(part, os.O_DIRECTORY | os.O_NOFOLLOW, at)
            # Without O_NONBLOCK a pipe is waited for.
            file = enter(last, os.O_NOFOLLOW | os.O_NONBLOCK, at)
        except OSError as error:
            raise BuildError(f"{name}: not made by the build, or not a file: {error.strerror}") from error
        found = os.fstat(file)
        if not stat.S_ISREG(found.st_mode):
            raise BuildError(f"{name}: the build made something that is no regular file")
        if found.st_size > most:
            raise BuildError(f"{name}: the build made a file of {found.st_size} bytes, which is none of its kind")
        yield file
