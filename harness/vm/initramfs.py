# SPDX-License-Identifier: GPL-2.0-or-later
"""The guest's initramfs with its variant's modules behind it: two archives in one anonymous file.

The kernel unpacks archives that follow each other (Documentation/driver-api/early-userspace/
buffer-format.rst), so the base archive is never unpacked or copied on disk.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

MODULES = "faultloop/modules"
_TRAILER = "TRAILER!!!"


def assemble(base: Path, modules: Iterable[Path]) -> int:
    """Descriptor of a memory file; QEMU opens it as ``/proc/self/fd/N``. The caller closes it."""
    contents = {module.name: module.read_bytes() for module in modules}
    descriptor = os.memfd_create("initramfs", os.MFD_CLOEXEC)
    try:
        with base.open("rb") as source, os.fdopen(descriptor, "wb", closefd=False) as target:
            shutil.copyfileobj(source, target)
            if contents:
                # unpack_to_rootfs() looks for a newc header at multiples of four only.
                target.write(bytes(-target.tell() % 4))
                target.write(_archive(contents))
    except OSError:
        with suppress(OSError):
            os.close(descriptor)
        raise
    return descriptor


def _archive(contents: Mapping[str, bytes]) -> bytes:
    """A newc archive of ``MODULES`` and the files in it."""
    folders = [str(parent) for parent in reversed(Path(MODULES).parents) if parent.name] + [MODULES]
    entries = [_entry(folder, b"", stat.S_IFDIR | 0o755) for folder in folders]
    entries += [_entry(f"{MODULES}/{name}", data, stat.S_IFREG | 0o644) for name, data in contents.items()]
    return b"".join(entries) + _entry(_TRAILER, b"", 0)


def _entry(name: str, data: bytes, mode: int) -> bytes:
    raw = name.encode() + b"\0"
    # c_magic, then ino mode uid gid nlink mtime filesize devmajor devminor rdevmajor rdevminor namesize check
    numbers = (0, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(raw), 0)
    head = b"070701" + b"".join(b"%08x" % number for number in numbers) + raw
    return head + bytes(-len(head) % 4) + data + bytes(-len(data) % 4)
