# SPDX-License-Identifier: GPL-2.0-or-later
"""The guest image: what is packed, that it is the same each time, and what the user is told when it is not."""

from __future__ import annotations

import base64
import gzip
import io
import shutil
import stat
import struct
import subprocess
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import paramiko
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from harness import layout
from harness.build import guest
from harness.build.cache import Cache
from harness.build.sandbox import Bind, CommandFailed
from harness.errors import BuildError, InfrastructureError
from harness.sources.debian import DebianPackage
from tests.unit.guest_fixtures import elf_file, unpack_cpio

APPLETS = b"\0[\0[[\0mount\0sh\0setsid\0\0"


def deb(path: Path, files: dict[str, bytes], links: dict[str, str] | None = None) -> Path:
    """A Debian package with these files, as dpkg-deb makes it."""
    tree = path.with_suffix(".tree")
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN/control").write_text(
        f"Package: {path.stem}\nVersion: 1\nArchitecture: arm64\n"
        "Maintainer: nobody <n@example.org>\nDescription: x\n"
    )
    for name, data in files.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(data)
    for name, target in (links or {}).items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).symlink_to(target)
    subprocess.run(["dpkg-deb", "--root-owner-group", "-b", str(tree), str(path)], check=True, capture_output=True)
    return path


class FakeDebian:
    """Every package of the recipe, with small files in the right places."""

    shared: Path

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder or self.shared
        self.fetched: list[str] = []

    def resolve(self, package: str, suites: Sequence[str], arch: str | None = None) -> DebianPackage:
        assert arch == "arm64"
        return DebianPackage(package, "1", "arm64", suites[0], f"{package:0<64}", 1, f"pool/{package}.deb")

    def fetch(self, package: DebianPackage) -> Path:
        self.fetched.append(package.name)
        path = self._folder / f"{package.name}.deb"
        if not path.exists():
            files = {name: self.content(name) for name in guest.PACKAGES[package.name]}
            deb(path, files)
        return path

    def content(self, name: str) -> bytes:
        if name.endswith("busybox"):
            return elf_file() + APPLETS
        if name.endswith("dropbear"):
            return elf_file("/lib/ld-linux-aarch64.so.1", ["libc.so.6", "libz.so.1"])
        return elf_file()


class FakeSandbox:
    """Compiles nothing; leaves a file where the program should be."""

    def __init__(self, failure: str = "") -> None:
        self.failure = failure
        self.argv: list[str] = []

    def run(self, argv: Sequence[str], *, binds: Sequence[Bind], **_: object) -> None:
        self.argv = list(argv)
        if self.failure:
            raise CommandFailed(argv, 1, [self.failure])
        out = next(b for b in binds if b.writable)
        (out.source / "workloads").write_bytes(b"program")


@pytest.fixture(scope="module", autouse=True)
def packages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The packages of the recipe, made once."""
    FakeDebian.shared = tmp_path_factory.mktemp("packages")
    yield
    del FakeDebian.shared


def build(tmp_path: Path, **replaced: object) -> guest.GuestImage:
    parts = {
        "cache": Cache(tmp_path / "cache"),
        "debian": FakeDebian(),
        "sandbox": FakeSandbox(),
        "on_output": lambda line: None,
    }
    return guest.build(**(parts | replaced))  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guest, "_compiler_version", lambda: "gcc 1")


def contents(image: guest.GuestImage) -> dict[str, tuple[int, bytes]]:
    return unpack_cpio(gzip.decompress(image.initramfs.read_bytes()))


def test_image_holds_what_the_guest_needs(tmp_path: Path) -> None:
    files = contents(build(tmp_path))
    assert files["init"][1] == (layout.project().guest_tests / "init").read_bytes()
    assert stat.S_IMODE(files["init"][0]) == 0o755
    assert files["faultloop/workloads"] == (stat.S_IFREG | 0o755, b"program")
    assert files["bin/mount"] == (stat.S_IFLNK | 0o777, b"busybox")
    assert stat.S_ISCHR(files["dev/console"][0])
    for folder in ("proc", "sys", "dev", "run", "tmp", "mnt/disk", "faultloop/modules"):
        assert stat.S_ISDIR(files[folder][0]), folder
    assert stat.S_IMODE(files["root/.ssh"][0]) == 0o700


def test_every_folder_that_is_mounted_on_is_there(tmp_path: Path) -> None:
    files = contents(build(tmp_path))
    lines = [line.split() for line in files["init"][1].decode().splitlines()]
    made = {folder for words in lines if words[:1] == ["mkdir"] for folder in words[1:]}
    targets = [words[-1] for words in lines if words[:2] == ["mount", "-t"]]
    targets += [line.split()[1] for line in files["etc/fstab"][1].decode().splitlines()]
    assert {"/proc", "/sys", "/dev", "/dev/pts", "/run", "/tmp", "/mnt/disk"} <= set(targets)
    for target in targets:
        in_sysfs = target.startswith("/sys/")
        assert in_sysfs or target in made or target.lstrip("/") in files, target


def test_keys_are_pinned_on_both_sides(tmp_path: Path) -> None:
    image = build(tmp_path)
    files = contents(image)
    assert stat.S_IMODE(image.client_key.stat().st_mode) == 0o600
    client = paramiko.Ed25519Key.from_private_key_file(str(image.client_key))
    assert files["root/.ssh/authorized_keys"][1].decode().split()[1] == client.get_base64()
    host = files["etc/dropbear/dropbear_ed25519_host_key"]
    assert stat.S_IMODE(host[0]) == 0o600
    kind, encoded = image.host_key.split()
    assert kind == "ssh-ed25519"
    assert base64.b64decode(encoded)[-32:] == host[1][-32:]


def test_two_images_do_not_share_keys(tmp_path: Path) -> None:
    one, two = build(tmp_path, cache=Cache(tmp_path / "1")), build(tmp_path, cache=Cache(tmp_path / "2"))
    assert one.host_key != two.host_key
    assert one.client_key.read_bytes() != two.client_key.read_bytes()


def test_image_but_for_the_keys_is_the_same_each_time(tmp_path: Path) -> None:
    one, two = (contents(build(tmp_path, cache=Cache(tmp_path / str(i)))) for i in range(2))
    differ = {name for name in one if one[name] != two[name]}
    assert one.keys() == two.keys()
    assert differ == {"etc/dropbear/dropbear_ed25519_host_key", "root/.ssh/authorized_keys"}


def test_built_once(tmp_path: Path) -> None:
    debian, cache = FakeDebian(), Cache(tmp_path / "cache")
    one = build(tmp_path, debian=debian, cache=cache)
    debian.fetched.clear()
    two = build(tmp_path, debian=debian, cache=cache)
    assert one == two
    assert debian.fetched == []
    assert len(one.packages) == len(guest.PACKAGES)


@pytest.mark.parametrize("changed", ["init", "workloads/main.c", "driver/sva_testdev.h", "compiler"])
def test_another_input_is_another_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: str) -> None:
    copy = tmp_path / "checkout"
    shutil.copytree(layout.project().guest_tests, copy / "guest-tests")
    monkeypatch.setattr(layout, "project", lambda: layout.Layout(copy))
    before = build(tmp_path)
    if changed == "compiler":
        monkeypatch.setattr(guest, "_compiler_version", lambda: "gcc 2")
    else:
        path = copy / "guest-tests" / changed
        path.write_bytes(path.read_bytes() + b"\n")
    assert build(tmp_path).key != before.key


def test_workloads_that_do_not_compile_show_the_compilers_lines(tmp_path: Path) -> None:
    line = "main.c:1: error: unknown type name 'foo'"
    with pytest.raises(BuildError, match="workloads do not compile") as caught:
        build(tmp_path, sandbox=FakeSandbox(line))
    assert line in caught.value.detail
    assert not list((tmp_path / "cache" / guest.ROOM).iterdir())


def test_warnings_are_errors_and_the_program_is_static(tmp_path: Path) -> None:
    sandbox = FakeSandbox()
    build(tmp_path, sandbox=sandbox)
    assert {"-Werror", "-Wall", "-Wextra", "-static"} <= set(sandbox.argv)


def test_missing_library_is_named(tmp_path: Path) -> None:
    class Lacking(FakeDebian):
        def content(self, name: str) -> bytes:
            if name.endswith("dropbear"):
                return elf_file("/lib/ld-linux-aarch64.so.1", ["libc.so.6", "libnew.so.3"])
            return super().content(name)

    with pytest.raises(InfrastructureError, match=r"/usr/sbin/dropbear in the guest needs libnew\.so\.3: add"):
        build(tmp_path, debian=Lacking(tmp_path))


def test_file_that_a_package_lost_is_named(tmp_path: Path) -> None:
    package = deb(tmp_path / "p.deb", {"bin/other": b""})
    with pytest.raises(InfrastructureError, match=r"p\.deb: has no file bin/busybox"):
        guest.unpack(package, ["bin/busybox"])


def test_links_in_a_package_are_followed(tmp_path: Path) -> None:
    package = deb(
        tmp_path / "p.deb", {"lib/a/real.so": b"it"}, {"lib/a/x.so.1": "real.so", "lib/x.so": "a/x.so.1"}
    )
    assert guest.unpack(package, ["lib/x.so"]) == {"lib/x.so": b"it"}


def test_links_that_lead_nowhere_end(tmp_path: Path) -> None:
    package = deb(tmp_path / "p.deb", {"x": b""}, {"lib/a": "b", "lib/b": "a"})
    with pytest.raises(InfrastructureError, match="has no file lib/a"):
        guest.unpack(package, ["lib/a"])


def test_what_is_no_package_is_told(tmp_path: Path) -> None:
    path = tmp_path / "broken.deb"
    path.write_bytes(b"not a package")
    with pytest.raises(InfrastructureError, match=r"broken\.deb: cannot be unpacked") as caught:
        guest.unpack(path, ["bin/sh"])
    assert caught.value.detail


def test_busybox_without_a_table_of_applets(tmp_path: Path) -> None:
    with pytest.raises(InfrastructureError, match="no table of applets"):
        guest.applets(b"\x7fELF nothing here")


def test_dropbear_reads_the_host_key() -> None:
    key = Ed25519PrivateKey.generate()
    data = guest.dropbear_key(key)
    (length,) = struct.unpack_from(">I", data)
    assert data[4 : 4 + length] == b"ssh-ed25519"
    (size,) = struct.unpack_from(">I", data, 4 + length)
    assert size == 64 and len(data) == 8 + length + 64
    seed = key.private_bytes(
        serialization.Encoding.Raw, serialization.PrivateFormat.Raw, serialization.NoEncryption()
    )
    assert data[8 + length : 40 + length] == seed


def test_modules_follow_the_base_image_at_an_aligned_offset(tmp_path: Path) -> None:
    base = tmp_path / "initramfs"
    base.write_bytes(b"x" * 4099)
    module = tmp_path / "sva_testdev.ko"
    module.write_bytes(b"module")
    dest = guest.append_modules(base, [module], tmp_path / "out")
    data = dest.read_bytes()
    at = data.index(b"070701")
    assert at == 4100 and data[:4099] == b"x" * 4099 and data[4099:at] == b"\0"
    assert unpack_cpio(data[at:])["faultloop/modules/sva_testdev.ko"][1] == b"module"
    assert base.read_bytes() == b"x" * 4099


def test_disk_is_ext4_sparse_and_the_same_each_time(tmp_path: Path) -> None:
    for name in ("1", "2"):
        guest.make_disk(tmp_path / name)
    data = (tmp_path / "1").read_bytes()
    assert data == (tmp_path / "2").read_bytes()
    assert len(data) == guest.DISK_MIB << 20
    assert (tmp_path / "1").stat().st_blocks * 512 < 16 << 20
    assert struct.unpack_from("<H", data, 1024 + 56)[0] == 0xEF53


def test_missing_mkfs_names_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name, path=None: None)
    with pytest.raises(InfrastructureError, match="install the package e2fsprogs"):
        guest.make_disk(tmp_path / "disk")


def test_tar_of_a_package_is_read_whole(tmp_path: Path) -> None:
    """Guard of the fixture itself: dpkg-deb packs names with a leading ``./``."""
    package = deb(tmp_path / "p.deb", {"bin/x": b"1"})
    out = subprocess.run(["dpkg-deb", "--fsys-tarfile", str(package)], check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(out)) as tar:
        assert "./bin/x" in tar.getnames()
