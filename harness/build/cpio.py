# SPDX-License-Identifier: GPL-2.0-or-later
"""Write cpio archives of the ``newc`` kind, as the kernel unpacks them (Documentation/driver-api/early-userspace).

No root is needed: owners are always root, and a device node is a header without data. The same content gives the
same bytes: entries are sorted, inode numbers count up, and every time stamp is the epoch.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import PurePosixPath

_MAGIC = b"070701"
_TRAILER = "TRAILER!!!"
_ALIGNMENT = 4
"""The kernel (init/initramfs.c) takes a further archive only at such an offset."""


@dataclass(frozen=True, slots=True)
class _Entry:
    mode: int
    data: bytes = b""
    device: tuple[int, int] = (0, 0)


@dataclass(slots=True)
class Archive:
    """A tree under construction; paths are relative to its root, parents appear by themselves."""

    _entries: dict[str, _Entry] = field(default_factory=dict)

    def folder(self, path: str, mode: int = 0o755) -> None:
        self._add(path, _Entry(stat.S_IFDIR | mode))

    def file(self, path: str, data: bytes, mode: int = 0o644) -> None:
        self._add(path, _Entry(stat.S_IFREG | mode, data))

    def link(self, path: str, target: str) -> None:
        """A symbolic link."""
        self._add(path, _Entry(stat.S_IFLNK | 0o777, os.fsencode(target)))

    def character_device(self, path: str, major: int, minor: int, mode: int = 0o600) -> None:
        self._add(path, _Entry(stat.S_IFCHR | mode, device=(major, minor)))

    def __contains__(self, path: str) -> bool:
        return path in self._entries

    def names(self) -> tuple[str, ...]:
        return tuple(sorted(self._entries))

    def to_bytes(self) -> bytes:
        """The archive, padded so that another one may follow it."""
        parts = [_record(inode, path, self._entries[path]) for inode, path in enumerate(self.names(), start=1)]
        parts.append(_record(0, _TRAILER, _Entry(0)))
        return padded(b"".join(parts))

    def _add(self, path: str, entry: _Entry) -> None:
        pure = PurePosixPath(path)
        if pure.is_absolute() or not pure.parts or ".." in pure.parts or str(pure) != path:
            raise ValueError(f"not a path below the archive's root: {path!r}")
        known = self._entries.get(path)
        if known is not None and not (stat.S_ISDIR(known.mode) and stat.S_ISDIR(entry.mode)):
            raise ValueError(f"in the archive already: {path!r}")
        parent = str(pure.parent)
        if parent != ".":
            above = self._entries.get(parent)
            if above is None:
                self.folder(parent)
            elif not stat.S_ISDIR(above.mode):
                raise ValueError(f"{parent!r} is not a folder, so {path!r} cannot be in it")
        self._entries[path] = entry


def padded(data: bytes) -> bytes:
    """``data`` followed by zeros up to where the kernel looks for a further archive."""
    return data + bytes(-len(data) % _ALIGNMENT)


def _record(inode: int, path: str, entry: _Entry) -> bytes:
    name = os.fsencode(path) + b"\0"
    links = 2 if stat.S_ISDIR(entry.mode) else 1
    fields = (
        inode,
        entry.mode,
        0,  # user
        0,  # group
        links,
        0,  # time of modification
        len(entry.data),
        0,
        0,  # device that the file lies on
        *entry.device,
        len(name),
        0,  # checksum, of another kind of archive
    )
    header = _MAGIC + b"".join(b"%08X" % value for value in fields)
    return padded(header + name) + padded(entry.data)
