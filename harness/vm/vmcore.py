# SPDX-License-Identifier: GPL-2.0-or-later
"""Give QEMU's dump of an arm64 guest what a debugger looks for in a vmcore: the note VMCOREINFO.

QEMU adds one only when the guest's kernel tells it through fw_cfg, which would be another kernel than the one
under test. So the text is made here, of what ``arch_crash_save_vmcoreinfo()`` puts there (arch/arm64/kernel), and
where the kernel lies is looked up in the dump: its own banner is there.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from harness.errors import GuestError

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_NOTE = struct.Struct("<III")
_PT_LOAD, _PT_NOTE = 1, 4
_PAGE = 4096
_MIB2 = 2 << 20
_BANNER = b"Linux version "


@dataclass(frozen=True, slots=True)
class Facts:
    """Of the kernel that was running."""

    release: str
    symbols: Mapping[str, int]
    """``System.map``: `_text`, `linux_banner` and `swapper_pg_dir` are needed."""
    va_bits: int
    page_size: int
    build_id: str
    """Hex; empty: unknown."""


@dataclass(frozen=True, slots=True)
class _Segment:
    kind: int
    flags: int
    offset: int
    virtual: int
    physical: int
    size: int
    in_memory: int
    align: int


def symbols(system_map: str) -> dict[str, int]:
    """Name -> address, of a ``System.map``."""
    rows = (line.split() for line in system_map.splitlines())
    return {row[2]: int(row[0], 16) for row in rows if len(row) == 3}


def finish(raw: Path, facts: Facts, target: Path) -> None:
    """Copy the dump ``raw`` to ``target``, with the note; zeros become holes. GuestError if it is none."""
    with raw.open("rb") as dump:
        segments, table = _segments(dump)
        offset = _voffset(dump, segments, facts)
        note = _note(_text(facts, offset, min(s.physical for s in segments if s.kind == _PT_LOAD)))
        notes = next(s for s in segments if s.kind == _PT_NOTE)
        dump.seek(notes.offset)
        content = dump.read(notes.size) + note
        with target.open("xb") as copy:
            _copy_sparse(dump, copy)
            end = (os.fstat(dump.fileno()).st_size + 7) & ~7
            copy.seek(end)
            copy.write(content)
            number = segments.index(notes)
            entry = _SEGMENT.pack(notes.kind, notes.flags, end, 0, 0, len(content), len(content), notes.align)
            copy.seek(table + number * _SEGMENT.size)
            copy.write(entry)


def _segments(dump: BinaryIO) -> tuple[list[_Segment], int]:
    head = dump.read(_HEADER.size)
    if len(head) < _HEADER.size or head[:6] != b"\x7fELF\x02\x01":
        raise GuestError("QEMU's dump of the guest is no 64-bit ELF file")
    table, size, count = (_HEADER.unpack(head)[i] for i in (5, 9, 10))
    if size != _SEGMENT.size or not 0 < count < 1000:
        raise GuestError("QEMU's dump of the guest has no table of segments")
    dump.seek(table)
    found = [_Segment(*_SEGMENT.unpack(dump.read(size))) for _ in range(count)]
    if not {_PT_LOAD, _PT_NOTE} <= {s.kind for s in found}:
        raise GuestError("QEMU's dump of the guest has no memory or no notes")
    return found, table


def _voffset(dump: BinaryIO, segments: list[_Segment], facts: Facts) -> int:
    """Virtual minus physical address of the kernel's image: its banner is where it must be."""
    text, banner = facts.symbols["_text"], facts.symbols["linux_banner"]
    for segment in segments:
        if segment.kind != _PT_LOAD:
            continue
        for base in range(segment.physical, segment.physical + segment.size, _MIB2):
            dump.seek(segment.offset + base - segment.physical + banner - text)
            if dump.read(len(_BANNER)) == _BANNER:
                return text - base
    raise GuestError("the kernel was not found in the dump of the guest: is it another one's?")


def _text(facts: Facts, offset: int, memory: int) -> str:
    lines = {
        "OSRELEASE": facts.release,
        "BUILD-ID": facts.build_id,
        "PAGESIZE": facts.page_size,
        "SYMBOL(swapper_pg_dir)": f"{facts.symbols['swapper_pg_dir']:x}",
        "SYMBOL(_stext)": f"{facts.symbols.get('_stext', facts.symbols['_text']):x}",
        "NUMBER(VA_BITS)": facts.va_bits,
        "NUMBER(kimage_voffset)": f"{offset:#x}",
        "NUMBER(PHYS_OFFSET)": f"{memory:#x}",
        "NUMBER(TCR_EL1_T1SZ)": f"{64 - facts.va_bits:#x}",
        "KERNELOFFSET": "0",
    }
    return "".join(f"{name}={value}\n" for name, value in lines.items() if value != "")


def _note(text: str) -> bytes:
    """An ELF note; name and content are padded to 4 bytes."""
    name, content = b"VMCOREINFO\0", text.encode()
    pad = b"\0" * (-len(content) % 4)
    return _NOTE.pack(len(name), len(content), 0) + name.ljust(12, b"\0") + content + pad


def _copy_sparse(dump: BinaryIO, copy: BinaryIO) -> None:
    zeros = bytes(_PAGE * 16)
    dump.seek(0)
    while chunk := dump.read(len(zeros)):
        if chunk == zeros:
            copy.seek(len(chunk), os.SEEK_CUR)
        else:
            copy.write(chunk)
    copy.truncate()
