# SPDX-License-Identifier: GPL-2.0-or-later
"""The two file formats of the guest image: cpio archives that are written, ELF files that are read."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest

from harness.build import elf
from harness.build.cpio import Archive
from tests.unit.guest_fixtures import elf_file, needs_cpio, unpack_cpio


def small() -> Archive:
    archive = Archive()
    archive.file("b/c/file", b"12345", 0o640)
    archive.link("a", "b/c/file")
    archive.folder("b", 0o700)
    archive.character_device("dev/console", 5, 1)
    return archive


def test_what_goes_in_comes_out() -> None:
    files = unpack_cpio(small().to_bytes())
    assert files["b/c/file"] == (stat.S_IFREG | 0o640, b"12345")
    assert files["a"] == (stat.S_IFLNK | 0o777, b"b/c/file")
    assert files["b"][0] == stat.S_IFDIR | 0o700
    assert files["b/c"][0] == stat.S_IFDIR | 0o755
    assert files["dev/console"][0] == stat.S_IFCHR | 0o600


def test_device_numbers() -> None:
    archive = Archive()
    archive.character_device("tty", 5, 1)
    data = archive.to_bytes()
    assert data[6 + 9 * 8 : 6 + 11 * 8] == b"0000000500000001"


def test_order_of_making_does_not_matter() -> None:
    one, two = Archive(), Archive()
    for name in ("x", "y/z"):
        one.file(name, b"")
    for name in ("y/z", "x"):
        two.file(name, b"")
    assert one.to_bytes() == two.to_bytes()


@pytest.mark.parametrize("length", range(6))
def test_another_archive_may_follow(length: int) -> None:
    archive = Archive()
    archive.file("f", b"x" * length)
    assert len(archive.to_bytes()) % 4 == 0


@pytest.mark.parametrize("path", ["/etc/passwd", "../x", "a/../b", "", ".", "a//b", "a/"])
def test_paths_outside_the_archive(path: str) -> None:
    with pytest.raises(ValueError, match="not a path"):
        Archive().file(path, b"")


def test_nothing_is_overwritten() -> None:
    archive = small()
    with pytest.raises(ValueError, match="already"):
        archive.file("a", b"")
    with pytest.raises(ValueError, match="not a folder"):
        archive.file("b/c/file/below", b"")


@needs_cpio
def test_cpio_itself_reads_it(tmp_path: Path) -> None:
    data = small().to_bytes()
    done = subprocess.run(["cpio", "-it"], input=data, capture_output=True, check=True, cwd=tmp_path)
    assert done.stdout.decode().split() == ["a", "b", "b/c", "b/c/file", "dev", "dev/console"]


def test_needs_of_a_program() -> None:
    found = elf.needs(elf_file("/lib/ld.so.1", ["libc.so.6", "libz.so.1"]))
    assert found == elf.Needs("/lib/ld.so.1", ("libc.so.6", "libz.so.1"))


def test_needs_of_a_static_program() -> None:
    assert elf.needs(elf_file()) == elf.Needs("", ())


@pytest.mark.parametrize("data", [b"\x7fELF", elf_file()[:100], elf_file("/lib/ld", ["libc.so.6"])[:-40]])
def test_elf_cut_short(data: bytes) -> None:
    with pytest.raises(ValueError, match="ELF"):
        elf.needs(data)


def test_program_for_another_cpu() -> None:
    with pytest.raises(ValueError, match="arm64"):
        elf.needs(elf_file(machine=62))


def test_script_is_not_elf() -> None:
    assert not elf.is_elf(b"#!/bin/sh\n" + os.urandom(8))
