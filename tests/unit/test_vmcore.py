# SPDX-License-Identifier: GPL-2.0-or-later
"""The note that makes QEMU's dump a vmcore."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from harness.errors import GuestError
from harness.vm import vmcore

TEXT = 0xFFFF800008000000
RAM = 0x40000000
BANNER = 0x12340
FACTS = vmcore.Facts(
    release="6.1.192",
    symbols={"_text": TEXT, "linux_banner": TEXT + BANNER, "swapper_pg_dir": TEXT + 0x5000},
    va_bits=48,
    page_size=4096,
    build_id="ab12",
)


def dump(path: Path, *, kernel_at: int | None = 0x200000) -> Path:
    """As QEMU writes it: header, notes, memory."""
    memory = bytearray(6 << 20)
    if kernel_at is not None:
        memory[kernel_at + BANNER : kernel_at + BANNER + 14] = b"Linux version "
    name = b"CORE\0\0\0\0"
    notes = struct.pack("<III", 5, 8, 1) + name + b"\x11" * 8
    head = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01", 4, 183, 1, 0, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    table = struct.pack("<IIQQQQQQ", 4, 0, 176, 0, 0, len(notes), len(notes), 0)
    table += struct.pack("<IIQQQQQQ", 1, 0, 176 + len(notes), 0, RAM, len(memory), len(memory), 0)
    path.write_bytes(head + table + notes + memory)
    return path


def notes_of(path: Path) -> dict[str, bytes]:
    elf = ELFFile(io.BytesIO(path.read_bytes()))
    found = [note for segment in elf.iter_segments("PT_NOTE") for note in segment.iter_notes()]
    return {note["n_name"]: note["n_descdata"] for note in found}


def test_the_dump_has_the_note_and_all_that_it_had(tmp_path: Path) -> None:
    raw = dump(tmp_path / "raw")
    vmcore.finish(raw, FACTS, made := tmp_path / "vmcore")
    notes = notes_of(made)
    lines = dict(line.split("=", 1) for line in notes["VMCOREINFO"].decode().splitlines())
    assert notes["CORE"] == b"\x11" * 8
    assert lines["NUMBER(kimage_voffset)"] == hex(TEXT - RAM - 0x200000)
    assert (lines["OSRELEASE"], lines["PAGESIZE"], lines["BUILD-ID"]) == ("6.1.192", "4096", "ab12")
    assert (lines["SYMBOL(swapper_pg_dir)"], lines["NUMBER(TCR_EL1_T1SZ)"]) == (f"{TEXT + 0x5000:x}", "0x10")
    before, after = (ELFFile(io.BytesIO(path.read_bytes())) for path in (raw, made))
    (old,), (new,) = (list(elf.iter_segments("PT_LOAD")) for elf in (before, after))
    assert old.data() == new.data() and old.header == new.header
    assert made.stat().st_blocks * 512 < raw.stat().st_size // 4, "zeros are holes"


def test_a_kernel_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(GuestError, match="not found in the dump"):
        vmcore.finish(dump(tmp_path / "raw", kernel_at=None), FACTS, tmp_path / "vmcore")


@pytest.mark.parametrize("content", [b"", b"\x7fELF" + b"\0" * 10, b"KDUMP   " * 100])
def test_what_is_no_dump(tmp_path: Path, content: bytes) -> None:
    (raw := tmp_path / "raw").write_bytes(content)
    with pytest.raises(GuestError, match="no 64-bit ELF"):
        vmcore.finish(raw, FACTS, tmp_path / "vmcore")


def test_symbols() -> None:
    assert vmcore.symbols("ffff800008000000 T _text\nnonsense\n") == {"_text": TEXT}
