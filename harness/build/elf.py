# SPDX-License-Identifier: GPL-2.0-or-later
"""Which shared libraries a program needs: a missing one is told at build time, not by a guest that cannot log in.

Reads 64-bit little-endian ELF files (System V ABI, chapters 4 and 5), nothing else.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_DYNAMIC = struct.Struct("<qQ")

_PT_LOAD, _PT_DYNAMIC, _PT_INTERP = 1, 2, 3
_DT_NULL, _DT_NEEDED, _DT_STRTAB = 0, 1, 5
_EM_AARCH64 = 183


@dataclass(frozen=True, slots=True)
class Needs:
    """What an ELF file asks the dynamic loader for."""

    interpreter: str
    """Path of the loader; empty for a static program or a library."""
    libraries: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Segment:
    kind: int
    offset: int
    address: int
    size: int


def is_elf(data: bytes) -> bool:
    return data.startswith(b"\x7fELF")


def needs(data: bytes) -> Needs:
    """The loader and libraries of an arm64 ELF file; ValueError when it is not one, or is cut short."""
    try:
        return _needs(data)
    except struct.error as error:
        raise ValueError(f"ELF file cut short: {error}") from error


def _needs(data: bytes) -> Needs:
    ident, _, machine, _, _, table, _, _, _, size, count, *_ = _HEADER.unpack_from(data)
    if not is_elf(ident) or ident[4:6] != b"\x02\x01" or machine != _EM_AARCH64:
        raise ValueError("not a 64-bit little-endian ELF file for arm64")
    segments = []
    for index in range(count):
        kind, _, offset, address, _, in_file, _, _ = _SEGMENT.unpack_from(data, table + index * size)
        segments.append(_Segment(kind, offset, address, in_file))
    interpreter = "".join(
        data[s.offset : s.offset + s.size].rstrip(b"\0").decode() for s in segments if s.kind == _PT_INTERP
    )
    dynamic = [entry for s in segments if s.kind == _PT_DYNAMIC for entry in _entries(data, s)]
    strings = next((_file_offset(segments, value) for tag, value in dynamic if tag == _DT_STRTAB), 0)
    return Needs(interpreter, tuple(_string(data, strings + value) for tag, value in dynamic if tag == _DT_NEEDED))


def _entries(data: bytes, segment: _Segment) -> list[tuple[int, int]]:
    found = []
    for at in range(segment.offset, segment.offset + segment.size, _DYNAMIC.size):
        tag, value = _DYNAMIC.unpack_from(data, at)
        if tag == _DT_NULL:
            break
        found.append((tag, value))
    return found


def _file_offset(segments: list[_Segment], address: int) -> int:
    for s in segments:
        if s.kind == _PT_LOAD and s.address <= address < s.address + s.size:
            return address - s.address + s.offset
    raise ValueError("ELF file whose string table is in no segment")


def _string(data: bytes, at: int) -> str:
    end = data.find(b"\0", at)
    if end < 0:
        raise ValueError("ELF file cut short in its string table")
    return data[at:end].decode()
