# SPDX-License-Identifier: GPL-2.0-or-later
"""Files between the user and a guest: a folder is copied in, and what the guest leaves is copied out.

The guest's kernel may be hostile (docs/sandbox.md), so nothing of the host is mounted there. What comes back is
one archive of bounded size, of which only plain files and folders are taken, each under a name that stays below
the folder that is made for it.
"""

from __future__ import annotations

import os
import shutil
import stat
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from harness.errors import GuestError, UserError
from harness.shown import one_line
from harness.temporary import temporary
from harness.vm.machine import Guest

INSIDE = "/share"
OUTSIDE = "from-guest"
MOST_IN = 256 << 20
MOST_OUT = 256 << 20
"""Bytes; the archive that comes out of a guest is bounded by ``ssh.FILE_LIMIT``."""
MOST_FILES = 10_000
_LONGEST_NAME = 4096
_CHUNK = 1 << 20


def check(folder: Path) -> list[Path]:
    """What is to be copied in, relative to ``folder``: plain files. UserError when it cannot be."""
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder to share")
    files, size = [], 0
    for path in _walk(folder):
        files.append(path.relative_to(folder))
        size += path.stat().st_size
        if size > MOST_IN or len(files) > MOST_FILES:
            raise UserError(f"{folder}: more than {MOST_IN >> 20} MiB or {MOST_FILES} files: too much for a guest")
    return files


def put(guest: Guest, folder: Path) -> int:
    """Copy a folder to ``/share`` in the guest; how many files those were. Links and devices are left out."""
    files = check(folder)
    with temporary("share") as scratch:
        archive = Path(scratch, "in.tar")
        with tarfile.open(archive, "w", format=tarfile.GNU_FORMAT) as tar:
            for name in files:
                tar.add(folder / name, arcname=name.as_posix(), recursive=False, filter=_plain)
        guest.run(["mkdir", "-p", INSIDE, f"{INSIDE}/{OUTSIDE}"])
        if files:
            guest.put(archive, "/tmp/in.tar")
            done = guest.run(["sh", "-c", f"tar -xf /tmp/in.tar -C {INSIDE} && rm /tmp/in.tar"])
            if done.status:
                raise GuestError(f"the guest could not unpack {folder}", detail=done.stderr)
    return len(files)


def fetch(guest: Guest, folder: Path) -> Path | None:
    """Bring what the guest has in ``/share/from-guest`` to a new folder of that name; None: it left nothing."""
    inside = f"{INSIDE}/{OUTSIDE}"
    listed = guest.run(["sh", "-c", f"ls -A {inside} | head -1; tar -cf /tmp/out.tar -C {inside} ."])
    if not listed.stdout.strip():
        return None
    if listed.status:
        raise GuestError("the guest could not pack its files", detail=listed.stderr)
    with tempfile.TemporaryDirectory(prefix=f".{OUTSIDE}-", dir=folder) as scratch:
        archive, made = Path(scratch, "out.tar"), Path(scratch, "made")
        guest.fetch("/tmp/out.tar", archive)
        made.mkdir()
        unpack(archive, made)
        target = _unused(folder)
        made.rename(target)
    return target


def unpack(archive: Path, into: Path) -> None:
    """Files and folders of a guest's archive, below ``into``, which is new. GuestError for anything else in it."""
    files = size = 0
    try:
        with tarfile.open(archive, "r:") as tar:
            for member in tar:
                files += 1
                size += member.size
                if files > MOST_FILES or size > MOST_OUT:
                    raise GuestError(f"the guest left more than {MOST_FILES} files or {MOST_OUT >> 20} MiB")
                _take(tar, member, into)
    except (tarfile.TarError, EOFError, ValueError, OSError) as error:
        raise GuestError(f"the guest's archive cannot be read: {one_line(str(error))}") from None


def _take(tar: tarfile.TarFile, member: tarfile.TarInfo, into: Path) -> None:
    name = PurePosixPath(member.name)
    shown = one_line(member.name[:200])
    if not name.parts:
        return
    if name.is_absolute() or ".." in name.parts or len(member.name) > _LONGEST_NAME or "\0" in member.name:
        raise GuestError(f"the guest's archive has a name that leaves its folder: {shown}")
    target = into.joinpath(*name.parts)
    if member.isdir():
        target.mkdir(parents=True, exist_ok=True)
        return
    source = tar.extractfile(member) if member.isreg() else None
    if source is None:
        raise GuestError(f"the guest's archive has something that is neither a file nor a folder: {shown}")
    target.parent.mkdir(parents=True, exist_ok=True)
    # Nothing here is a link, and nothing is written twice: the file is new.
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    mode = 0o755 if member.mode & stat.S_IXUSR else 0o644
    with os.fdopen(os.open(target, flags, mode), "wb") as copy:
        shutil.copyfileobj(source, copy, _CHUNK)


def _walk(folder: Path) -> Iterator[Path]:
    """Plain files below a folder, without what came out of guests before."""
    for here, folders, files in os.walk(folder):
        if Path(here) == folder:
            folders[:] = [name for name in folders if not name.lstrip(".").startswith(OUTSIDE)]
        folders.sort()
        for name in sorted(files):
            path = Path(here, name)
            if stat.S_ISREG(path.lstat().st_mode):
                yield path


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Nothing of the user's in it: who they are, or a hard link."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


def _unused(folder: Path) -> Path:
    """``from-guest``, or ``from-guest-2`` and on: what is there is not touched."""
    number = 1
    while True:
        target = folder / (OUTSIDE if number == 1 else f"{OUTSIDE}-{number}")
        if not os.path.lexists(target):
            return target
        number += 1
