# SPDX-License-Identifier: GPL-2.0-or-later
"""Small ELF files, and a reader of cpio archives that shares no code with the writer under test."""

from __future__ import annotations

import shutil
import struct
from collections.abc import Sequence

import pytest

needs_cpio = pytest.mark.skipif(shutil.which("cpio") is None, reason="no cpio on this host")
"""`make test` installs it (tools/test-packages.txt)."""


def elf_file(interpreter: str = "", libraries: Sequence[str] = (), *, machine: int = 183) -> bytes:
    """An ELF file with these in its program headers, and nothing else."""
    strings = b"\0" + b"".join(name.encode() + b"\0" for name in libraries)
    offsets = [strings.index(b"\0" + name.encode() + b"\0") + 1 for name in libraries]
    loader = interpreter.encode() + b"\0"
    headers = 64 + 3 * 56
    at_strings = headers + len(loader)
    at_dynamic = at_strings + len(strings)
    base = 0x10000
    tags = [(1, offset) for offset in offsets] + [(5, base + at_strings), (0, 0)]
    dynamic = b"".join(struct.pack("<qQ", *tag) for tag in tags)
    total = at_dynamic + len(dynamic)

    def segment(kind: int, offset: int, size: int) -> bytes:
        return struct.pack("<IIQQQQQQ", kind, 4, offset, base + offset, base + offset, size, size, 8)

    segments = [segment(1, 0, total), segment(2, at_dynamic, len(dynamic))]
    segments.append(segment(3 if interpreter else 0, headers, len(loader)))
    ident = b"\x7fELF\x02\x01\x01" + bytes(9)
    header = struct.pack("<16sHHIQQQIHHHHHH", ident, 3, machine, 1, 0, 64, 0, 0, 64, 56, 3, 64, 0, 0)
    return header + b"".join(segments) + loader + strings + dynamic


def unpack_cpio(data: bytes) -> dict[str, tuple[int, bytes]]:
    """Path -> mode and content of a ``newc`` archive, read as init/initramfs.c reads it."""
    found: dict[str, tuple[int, bytes]] = {}
    at = 0
    while True:
        assert at % 4 == 0 and data[at : at + 6] == b"070701", f"no header at {at}"
        fields = [int(data[at + 6 + i * 8 : at + 14 + i * 8], 16) for i in range(13)]
        size, name_size = fields[6], fields[11]
        name = data[at + 110 : at + 110 + name_size]
        assert name.endswith(b"\0")
        body = (at + 110 + name_size + 3) & ~3
        path = name[:-1].decode()
        if path == "TRAILER!!!":
            assert not any(data[body:])
            return found
        assert path not in found
        parent = path.rpartition("/")[0]
        assert not parent or parent in found, f"{path} comes before its folder"
        found[path] = (fields[1], data[body : body + size])
        at = (body + size + 3) & ~3
