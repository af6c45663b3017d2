# SPDX-License-Identifier: GPL-2.0-or-later
"""Folders and cache entries as one object of the store.

A pack is a tar file, compressed, with names, modes, times and links, the same bytes for the same folder. make goes
by the times: objects must stay newer than what they were made of. Unpacking writes below its folder only, whatever
the pack says: links are laid last, so that nothing is written through one.
"""

from __future__ import annotations

import gzip
import os
import shutil
import stat
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from harness.build.cache import MANIFEST, Cache, digest
from harness.build.store import Ref, Store
from harness.errors import InfrastructureError

_SENT = "sent"
"""Room of the cache that remembers which object an entry became."""
_LEVEL = 1
_NANO = 1_000_000_000
_NAME = "ref"
_PACK = ".pack"
"""Lies in the folder that the cache is making, and so goes with it when its maker is killed."""
_NO_PACK = (
    *(tarfile.TarError, EOFError, zlib.error, ValueError),
    *(FileExistsError, FileNotFoundError, NotADirectoryError),
)


def send(cache: Cache, store: Store, room: str, key: str) -> Ref:
    """Put a cache entry into the store; its pack's name. It is packed once, as long as the store keeps it."""
    known = _known(cache, room, key)
    if known is not None and store.has(known):
        return known
    entry = cache.get(room, key)
    if entry is None:
        raise InfrastructureError(f"{cache.root}/{room}/{key}: not in the cache any more")

    def maker(folder: Path) -> None:
        pack(entry, packed := folder / _PACK)
        ref = store.put(packed)
        packed.unlink()
        (folder / _NAME).write_text(str(ref), encoding="ascii")

    cache.remove(_SENT, digest(room, key))
    cache.make(_SENT, digest(room, key), maker)
    sent = _known(cache, room, key)
    assert sent is not None
    return sent


def bring(cache: Cache, store: Store, room: str, key: str, ref: Ref) -> Path:
    """The entry, out of the store unless the cache has it."""

    def maker(folder: Path) -> None:
        store.get(ref, packed := folder / _PACK)
        unpack(packed, folder)
        packed.unlink()
        (folder / MANIFEST).unlink(missing_ok=True)

    return cache.make(room, key, maker)


def put_folder(store: Store, folder: Path, *, scratch: Path) -> Ref:
    """Pack a folder into the store; ``scratch`` is where the pack is made."""
    with tempfile.TemporaryDirectory(prefix=".pack-", dir=scratch) as temporary:
        pack(folder, target := Path(temporary) / "pack")
        return store.put(target)


def get_folder(store: Store, ref: Ref, folder: Path, *, scratch: Path) -> None:
    """Unpack an object of the store into ``folder``, which is there and empty."""
    with tempfile.TemporaryDirectory(prefix=".pack-", dir=scratch) as temporary:
        store.get(ref, target := Path(temporary) / "pack")
        unpack(target, folder)


def pack(folder: Path, target: Path) -> None:
    """Write all below ``folder`` to ``target``."""
    with (
        target.open("xb") as file,
        gzip.GzipFile("", "wb", _LEVEL, file, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for name, path in _members(folder):
            info = _info(name, path)
            if info.isreg():
                with path.open("rb") as content:
                    tar.addfile(info, content)
            else:
                tar.addfile(info)


def unpack(packed: Path, folder: Path) -> None:
    """Lay a pack out below ``folder``. InfrastructureError when it is no pack, or means to write elsewhere."""
    links: list[tuple[Path, str]] = []
    try:
        with tarfile.open(packed, "r:gz") as tar:
            for info in tar:
                path = _inside(folder, info.name)
                if info.issym():
                    links.append((path, info.linkname))
                else:
                    _lay(tar, info, path)
        for path, target in links:
            path.symlink_to(target)
    except (
        tarfile.TarError,
        EOFError,
        zlib.error,
        FileExistsError,
        FileNotFoundError,
        NotADirectoryError,
        ValueError,
    ) as error:
        raise InfrastructureError(f"an object of the store is no pack of files: {error}") from error


def _lay(tar: tarfile.TarFile, info: tarfile.TarInfo, path: Path) -> None:
    if info.isdir():
        path.mkdir(exist_ok=True)
        return
    content = tar.extractfile(info) if info.isreg() else None
    if content is None:
        raise ValueError(f"{info.name}: neither a file, a folder nor a link")
    with path.open("xb") as copy:
        shutil.copyfileobj(content, copy)
    path.chmod(stat.S_IMODE(info.mode) & 0o777)
    at = round(float(info.mtime) * _NANO)
    os.utime(path, ns=(at, at))


def _inside(folder: Path, name: str) -> Path:
    """``folder/name``; ValueError when that is not below it. Its folders come before it, and are no links."""
    pure = PurePosixPath(name)
    if pure.is_absolute() or ".." in pure.parts or not pure.parts:
        raise ValueError(f"{name}: not a name below its folder")
    return folder / pure


def _members(folder: Path) -> Iterator[tuple[str, Path]]:
    """All below ``folder``, a folder before what is in it, in one order."""
    for here, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted([*folders, *files]):
            path = Path(here, name)
            yield str(path.relative_to(folder)), path


def _info(name: str, path: Path) -> tarfile.TarInfo:
    found = path.lstat()
    info = tarfile.TarInfo(name)
    info.mode = stat.S_IMODE(found.st_mode)
    if stat.S_ISDIR(found.st_mode):
        info.type, info.mode = tarfile.DIRTYPE, 0o755
    elif stat.S_ISLNK(found.st_mode):
        info.type, info.linkname = tarfile.SYMTYPE, str(path.readlink())
    elif stat.S_ISREG(found.st_mode):
        info.size = found.st_size
        seconds, rest = divmod(found.st_mtime_ns, _NANO)
        info.mtime = found.st_mtime if rest else seconds
    else:
        raise InfrastructureError(f"{path}: neither a file, a folder nor a link")
    return info


def _known(cache: Cache, room: str, key: str) -> Ref | None:
    note = cache.get(_SENT, digest(room, key))
    return Ref.parse((note / _NAME).read_text(encoding="ascii")) if note else None
