# SPDX-License-Identifier: GPL-2.0-or-later
"""Kernel trees out of tarballs, packages and folders; what a hostile one can do: nothing."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.build.cache import Cache
from harness.build.sandbox import Sandbox
from harness.errors import FaultloopError, InfrastructureError, UserError
from harness.sources import archive
from tests.unit import fake_kernel


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    made = fake_kernel.write(tmp_path / "linux-6.1.7")
    (made / "run.sh").write_text("#!/bin/sh\n")
    (made / "run.sh").chmod(0o755)
    (made / "arch/arm64/lnk").symlink_to("../../mm")
    return made


def _tar(tree: Path, path: Path, *options: str) -> Path:
    subprocess.run(["tar", "-C", str(tree.parent), "-caf", str(path), *options, tree.name], check=True)
    return path


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz", ".tar.xz"])
def test_tarball(tree: Path, tmp_path: Path, cache: Cache, suffix: str) -> None:
    label, found = archive.tarball(_tar(tree, tmp_path / f"x{suffix}"), "x", cache=cache, sandbox=Sandbox())
    assert archive.tree_sha256(found) == archive.tree_sha256(tree)
    assert archive.linux_version(found, "x") == "6.1.7"
    assert label.digest in label.origin
    assert archive.label_of(found.parent) == label


def test_tarball_without_a_top_folder(tree: Path, tmp_path: Path, cache: Cache) -> None:
    path = tmp_path / "x.tar"
    subprocess.run(["tar", "-C", str(tree), "-cf", str(path), "."], check=True)
    assert (archive.tarball(path, "x", cache=cache, sandbox=Sandbox())[1] / "Makefile").is_file()


def test_debian_package(tree: Path, tmp_path: Path, cache: Cache) -> None:
    package = tmp_path / "pkg"
    (package / "usr/src").mkdir(parents=True)
    (package / "DEBIAN").mkdir()
    (package / "DEBIAN/control").write_text(
        "Package: linux-source-6.1\nVersion: 6.1.7-1\nArchitecture: all\nMaintainer: a <a@b>\nDescription: x\n"
    )
    _tar(tree, package / "usr/src/linux-source-6.1.tar.xz")
    subprocess.run(["dpkg-deb", "-b", str(package), str(tmp_path / "x.deb")], check=True, capture_output=True)
    label = archive.Label("6.1", "Debian", "abc")
    found = archive.deb(lambda: tmp_path / "x.deb", label, cache=cache, sandbox=Sandbox())
    assert archive.tree_sha256(found) == archive.tree_sha256(tree)
    assert sorted(path.name for path in found.parent.iterdir()) == ["entry.json", "source.json", "tree"]
    archive.deb(lambda: pytest.fail("fetched again"), label, cache=cache, sandbox=Sandbox())


def _file(name: str, content: bytes = b"x") -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    return info, content


def _link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info, b""


@pytest.mark.parametrize(
    "members",
    [
        [_file("../escaped")],
        [_file("linux-6.1.7/../../escaped")],
        [_file("/tmp/escaped")],
        [_link("linux-6.1.7/out", "/etc"), _file("linux-6.1.7/out/escaped")],
        [_link("linux-6.1.7/out", "../../.."), _file("linux-6.1.7/out/escaped")],
        [_link("linux-6.1.7/passwd", "/etc/passwd")],
        [_link("linux-6.1.7/mm/up", "../../x")],
        [_link("linux-6.1.7/hard", "/etc/hostname", tarfile.LNKTYPE)],
        [_link("linux-6.1.7/pipe", "", tarfile.FIFOTYPE)],
    ],
)
def test_hostile_tarball(
    tree: Path, tmp_path: Path, cache: Cache, members: list[tuple[tarfile.TarInfo, bytes]]
) -> None:
    path = _tar(tree, tmp_path / "x.tar")
    with tarfile.open(path, "a") as tar:
        for info, content in members:
            tar.addfile(info, io.BytesIO(content))
    with pytest.raises(FaultloopError):
        archive.tarball(path, "x", cache=cache, sandbox=Sandbox())
    assert not list(tmp_path.rglob("escaped")) and not Path("/tmp/escaped").exists()
    assert cache.entries(archive.ROOM) == [] and not list(cache.root.glob("sources/.tmp*"))


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda tree: (tree / "Makefile").unlink(), "not a Linux source tree"),
        (
            lambda tree: (tree / "Makefile").write_text("VERSION = six\nPATCHLEVEL = 1\nSUBLEVEL = 0\n"),
            "not a Linux",
        ),
        (lambda tree: (tree / "arch/arm64/Kconfig").unlink(), "without arch/arm64"),
    ],
)
def test_not_a_kernel(tree: Path, tmp_path: Path, cache: Cache, spoil: Callable[[Path], object], why: str) -> None:
    spoil(tree)
    with pytest.raises(UserError, match=why):
        archive.tarball(_tar(tree, tmp_path / "x.tar"), "x", cache=cache, sandbox=Sandbox())
    with pytest.raises(UserError, match=why):
        archive.folder_snapshot(tree, "x", cache=cache)
    assert cache.entries(archive.ROOM) == []


@pytest.mark.parametrize("content", [b"", b"this is no archive", b"\x1f\x8b\x08" + b"\0" * 40])
def test_broken_tarball(tmp_path: Path, cache: Cache, content: bytes) -> None:
    path = tmp_path / "x.tar.gz"
    path.write_bytes(content)
    with pytest.raises(UserError):
        archive.tarball(path, "x", cache=cache, sandbox=Sandbox())


def test_unknown_suffix(tmp_path: Path, cache: Cache) -> None:
    (tmp_path / "x.zip").write_text("x")
    with pytest.raises(UserError, match=r"not a tarball by its name \(known: \.tar "):
        archive.tarball(tmp_path / "x.zip", "x", cache=cache, sandbox=Sandbox())


def test_full_disk_is_no_fault_of_the_tarball(tree: Path, tmp_path: Path, cache: Cache) -> None:
    class Full(Sandbox):
        def run(self, argv: object, **kwargs: object) -> None:
            super().run(["sh", "-c", "echo 'tar: x: Cannot write: No space left on device'; exit 2"])

    with pytest.raises(InfrastructureError, match="no space left"):
        archive.tarball(_tar(tree, tmp_path / "x.tar"), "x", cache=cache, sandbox=Full())


def test_snapshot_of_a_folder(tree: Path, cache: Cache) -> None:
    label, found = archive.folder_snapshot(tree, "x", cache=cache)
    assert archive.tree_sha256(found) == archive.tree_sha256(tree) == label.digest
    assert (found / "run.sh").stat().st_mode & 0o111
    (tree / "mm/memory.c").write_text("changed")
    again, other = archive.folder_snapshot(tree, "x", cache=cache)
    assert again.digest != label.digest
    assert (found / "mm/memory.c").read_text() != "changed" == (other / "mm/memory.c").read_text()


@pytest.mark.parametrize("built", [".config", "include/config/auto.conf"])
def test_folder_that_was_built_in_place(tree: Path, cache: Cache, built: str) -> None:
    (tree / built).parent.mkdir(parents=True, exist_ok=True)
    (tree / built).touch()
    with pytest.raises(UserError, match="make mrproper"):
        archive.folder_snapshot(tree, "x", cache=cache)


def test_tree_hash_sees_names_modes_links_and_contents(tree: Path) -> None:
    seen = {archive.tree_sha256(tree)}
    (tree / ".git").mkdir()
    (tree / ".git/HEAD").write_text("x")
    os.utime(tree / "Makefile", (1, 1))
    assert archive.tree_sha256(tree) in seen
    link = tree / "arch/arm64/lnk"
    changes: list[Callable[[], object]] = [
        lambda: (tree / "run.sh").chmod(0o644),
        lambda: (tree / "run.sh").rename(tree / "walk.sh"),
        lambda: (tree / "walk.sh").write_text("#!/bin/sh\n\n"),
        lambda: subprocess.run(["ln", "-sfn", "../../kernel", str(link)], check=True),
    ]
    for change in changes:
        change()
        seen.add(archive.tree_sha256(tree))
    assert len(seen) == 5


def test_copy_without_names_of_the_top(tmp_path: Path) -> None:
    tree = tmp_path / "from"
    for name in ("vmlinux", "vmlinux.a", ".tmp_vmlinux1", "sub/vmlinux"):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(name)
    os.utime(tree / "sub/vmlinux", (1, 1))
    tree.chmod(0o750)
    archive.copy_tree(tree, tmp_path / "to", without=("vmlinux", ".tmp_*"))
    left = sorted(str(p.relative_to(tmp_path / "to")) for p in (tmp_path / "to").rglob("*"))
    assert left == ["sub", "sub/vmlinux", "vmlinux.a"]
    assert (tmp_path / "to/sub/vmlinux").stat().st_mtime == 1
    assert (tmp_path / "to").stat().st_mode & 0o777 == 0o750
