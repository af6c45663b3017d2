# SPDX-License-Identifier: GPL-2.0-or-later
"""Build what a guest boots besides its kernel: an initramfs of Debian packages and our workloads, and a disk.

No root is needed. The same packages and sources give the same initramfs but for the two SSH keys, which are made
once for each cache entry: the client's, which the guest accepts, and the host's, which the client pins.
"""

from __future__ import annotations

import gzip
import io
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from harness import layout
from harness.build import cpio, elf
from harness.build.cache import ALL, Cache, digest, file_sha256
from harness.build.cpio import Archive, padded
from harness.build.sandbox import Bind, CommandFailed, Sandbox
from harness.errors import BuildError, InfrastructureError
from harness.model import GuestImage
from harness.sources.debian import DebianPackage, DebianRoot

OnOutput = Callable[[str], None]

ROOM: Final = "guest"
SUITES: Final = ("bookworm", "bookworm-updates", "bookworm-security")
ARCH: Final = "arm64"

MODULES: Final = "faultloop/modules"
"""Folder of the guest's modules; its init loads them all."""

_LIBRARIES: Final = "lib/aarch64-linux-gnu"
_LOADER: Final = "lib/ld-linux-aarch64.so.1"

PACKAGES: Final[Mapping[str, Mapping[str, str]]] = {
    "busybox-static": {"bin/busybox": "bin/busybox"},
    "dropbear-bin": {"usr/sbin/dropbear": "usr/sbin/dropbear"},
    "openssh-sftp-server": {"usr/lib/openssh/sftp-server": "usr/lib/sftp-server"},
    "libc6": {
        f"{_LIBRARIES}/ld-linux-aarch64.so.1": _LOADER,
        f"{_LIBRARIES}/libc.so.6": f"{_LIBRARIES}/libc.so.6",
    },
    "libcrypt1": {f"{_LIBRARIES}/libcrypt.so.1": f"{_LIBRARIES}/libcrypt.so.1"},
    "libtomcrypt1": {f"usr/{_LIBRARIES}/libtomcrypt.so.1": f"{_LIBRARIES}/libtomcrypt.so.1"},
    "libtommath1": {f"usr/{_LIBRARIES}/libtommath.so.1": f"{_LIBRARIES}/libtommath.so.1"},
    "libgmp10": {f"usr/{_LIBRARIES}/libgmp.so.10": f"{_LIBRARIES}/libgmp.so.10"},
    "zlib1g": {f"{_LIBRARIES}/libz.so.1": f"{_LIBRARIES}/libz.so.1"},
}
"""Debian package -> file of it -> where that lies in the guest."""

_FSTAB: Final = """\
proc   /proc                proc      defaults  0 0
dev    /dev                 devtmpfs  defaults  0 0
sys    /sys                 sysfs     defaults  0 0
debug  /sys/kernel/debug    debugfs   defaults  0 0
trace  /sys/kernel/tracing  tracefs   defaults  0 0
run    /run                 tmpfs     defaults  0 0
tmp    /tmp                 tmpfs     defaults  0 0
"""

_ETC: Final[Mapping[str, str]] = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\n",
    "etc/group": "root:x:0:\n",
    "etc/shells": "/bin/sh\n",
    "etc/hostname": "faultloop\n",
    "etc/fstab": _FSTAB,
}

_FOLDERS: Final = ("dev", "proc", "sys", "run", "tmp", "mnt/disk", MODULES)

COMPILER: Final = "aarch64-linux-gnu-gcc"
CFLAGS: Final = (
    *("-std=gnu11", "-O2", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-Wmissing-prototypes"),
    *("-Wstrict-prototypes", "-Wshadow", "-Wundef", "-fno-pie", "-no-pie", "-static", "-pthread"),
    *("-Wl,--build-id=none", "-s"),
)

DISK_MIB: Final = 64
_DISK_UUID: Final = "0fa17100-0000-4000-8000-000000000001"
_GZIP_LEVEL: Final = 6


@dataclass(frozen=True, slots=True)
class _Keys:
    client: bytes
    """Private, as OpenSSH writes it."""
    client_public: str
    host: bytes
    """Private, as Dropbear reads it."""
    host_public: str


def build(*, cache: Cache, debian: DebianRoot, sandbox: Sandbox, on_output: OnOutput) -> GuestImage:
    """The guest image, from the cache when its packages and sources are those of an earlier one.

    BuildError when the workloads do not compile, InfrastructureError when a package or a tool is missing.
    """
    packages = [debian.resolve(name, SUITES, ARCH) for name in PACKAGES]
    sources = layout.project().guest_tests
    key = digest([str(p) for p in packages], _sources_digest(sources), _recipe_digest(), _compiler_version())

    def make(folder: Path) -> None:
        keys = _make_keys()
        program = _compile(sources, folder, sandbox, on_output)
        on_output("packing the initramfs")
        archive = _archive(_package_files(debian, packages, on_output), program, sources / "init", keys)
        (folder / "initramfs").write_bytes(gzip.compress(archive.to_bytes(), _GZIP_LEVEL, mtime=0))
        _write_private(folder / "client_key", keys.client)
        (folder / "host_key.pub").write_text(keys.host_public + "\n", encoding="ascii")
        (folder / "packages").write_text("".join(f"{p}\n" for p in packages), encoding="utf-8")
        on_output("making the disk")
        make_disk(folder / "disk")

    return _image(cache.make(ROOM, key, make, read=ALL), key)


def append_modules(initramfs: Path, modules: Sequence[Path], dest: Path) -> Path:
    """Write ``initramfs`` followed by an archive with ``modules`` to ``dest``; returns ``dest``.

    The kernel unpacks both (init/initramfs.c): a variant's modules go on top of the one base image.
    """
    archive = Archive()
    for module in modules:
        archive.file(f"{MODULES}/{module.name}", module.read_bytes())
    dest.write_bytes(padded(initramfs.read_bytes()) + archive.to_bytes())
    return dest


def make_disk(path: Path) -> None:
    """An empty ext4 file system of ``DISK_MIB`` MiB in a sparse file; the same bytes each time."""
    mkfs = shutil.which("mkfs.ext4", path=os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin")
    if mkfs is None:
        raise InfrastructureError("mkfs.ext4: not found; install the package e2fsprogs")
    with path.open("wb") as file:
        file.truncate(DISK_MIB << 20)
    # Nothing is left for the guest's kernel to do later, by itself: it would show in the measurements.
    extended = f"lazy_itable_init=0,lazy_journal_init=0,nodiscard,hash_seed={_DISK_UUID},root_owner=0:0"
    argv = [mkfs, "-q", "-F", "-t", "ext4", "-U", _DISK_UUID, "-E", extended, str(path)]
    done = subprocess.run(
        argv, env={"PATH": os.defpath, "E2FSPROGS_FAKE_TIME": "1", "LC_ALL": "C"}, capture_output=True, check=False
    )
    if done.returncode:
        raise InfrastructureError(f"mkfs.ext4: exit status {done.returncode}", detail=_text(done.stderr))


def _image(entry: Path, key: str) -> GuestImage:
    return GuestImage(
        initramfs=entry / "initramfs",
        disk=entry / "disk",
        client_key=entry / "client_key",
        host_key=(entry / "host_key.pub").read_text(encoding="ascii").strip(),
        key=key,
        packages=tuple((entry / "packages").read_text(encoding="utf-8").splitlines()),
    )


def _source_files(sources: Path) -> list[Path]:
    """All that goes into the image: init, the workloads, and the driver's interface."""
    workloads = sources / "workloads"
    files = [sources / "init", *(sources / "driver").glob("sva_*.h"), *workloads.glob("*.[ch]")]
    for path in files:
        if not path.is_file():
            raise InfrastructureError(f"{path}: missing from the checkout")
    return sorted(files)


def _sources_digest(sources: Path) -> str:
    return digest([(str(p.relative_to(sources)), file_sha256(p)) for p in _source_files(sources)])


def _recipe_digest() -> str:
    """This code is an input too: what it packs, and how."""
    return digest([file_sha256(Path(module)) for module in (__file__, cpio.__file__)])


def _compiler_version() -> str:
    compiler = shutil.which(COMPILER)
    if compiler is None:
        raise InfrastructureError(f"{COMPILER}: not found; install the package gcc-aarch64-linux-gnu")
    done = subprocess.run([compiler, "--version"], capture_output=True, check=False)
    return _text(done.stdout).split("\n")[0]


def _compile(sources: Path, folder: Path, sandbox: Sandbox, on_output: OnOutput) -> bytes:
    """The workloads, one static program. Warnings are errors; BuildError holds the compiler's own lines."""
    names = sorted(p.name for p in (sources / "workloads").glob("*.c"))
    with tempfile.TemporaryDirectory(dir=folder) as out:
        binds = (Bind(sources, "/build/guest-tests"), Bind(Path(out), "/build/out", writable=True))
        argv = [COMPILER, *CFLAGS, "-I../driver", *names, "-o", "/build/out/workloads"]
        on_output("compiling the workloads")
        try:
            sandbox.run(argv, binds=binds, cwd="/build/guest-tests/workloads", on_output=on_output)
        except CommandFailed as error:
            raise BuildError("the guest's workloads do not compile", detail=error.detail) from error
        return (Path(out) / "workloads").read_bytes()


def _package_files(debian: DebianRoot, packages: Iterable[DebianPackage], on_output: OnOutput) -> dict[str, bytes]:
    """Path in the guest -> content."""
    files: dict[str, bytes] = {}
    for package in packages:
        on_output(f"{package.name} {package.version}")
        wanted = PACKAGES[package.name]
        found = unpack(debian.fetch(package), wanted)
        files |= {wanted[path]: data for path, data in found.items()}
    _check_libraries(files)
    return files


def unpack(package: Path, wanted: Iterable[str]) -> dict[str, bytes]:
    """Content of files of a ``.deb``, symbolic links in it followed; InfrastructureError when one is missing."""
    done = subprocess.run(["dpkg-deb", "--fsys-tarfile", str(package)], capture_output=True, check=False)
    if done.returncode:
        raise InfrastructureError(f"{package.name}: cannot be unpacked", detail=_text(done.stderr))
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as tar:
        members = {str(PurePosixPath(m.name)): m for m in tar.getmembers()}
        return {path: _content(tar, members, path, package) for path in wanted}


def _content(tar: tarfile.TarFile, members: Mapping[str, tarfile.TarInfo], path: str, package: Path) -> bytes:
    name, steps = path, 0
    while (member := members.get(name)) is not None and member.issym() and steps < 8:
        target = PurePosixPath(name).parent / member.linkname
        name, steps = os.path.normpath(str(target)).lstrip("/"), steps + 1
    file = tar.extractfile(member) if member is not None and member.isfile() else None
    if file is None:
        raise InfrastructureError(f"{package.name}: has no file {path}: the recipe in {__name__} needs a look")
    return file.read()


def _check_libraries(files: Mapping[str, bytes]) -> None:
    """Every program finds its loader and its libraries."""
    have = {PurePosixPath(path).name for path in files}
    for path, data in files.items():
        if not elf.is_elf(data):
            continue
        needs = elf.needs(data)
        missing = [lib for lib in needs.libraries if lib not in have]
        if needs.interpreter and needs.interpreter.lstrip("/") not in files:
            missing.append(needs.interpreter)
        if missing:
            raise InfrastructureError(
                f"/{path} in the guest needs {', '.join(missing)}: add the package to PACKAGES in {__name__}"
            )


def _archive(files: Mapping[str, bytes], program: bytes, init: Path, keys: _Keys) -> Archive:
    archive = Archive()
    for folder in _FOLDERS:
        archive.folder(folder)
    archive.folder("root/.ssh", 0o700)
    # The kernel opens it for init before anything is mounted on /dev.
    archive.character_device("dev/console", 5, 1)
    for path, text in _ETC.items():
        archive.file(path, text.encode("ascii"))
    for path, data in files.items():
        archive.file(path, data, 0o755)
    for applet in applets(files["bin/busybox"]):
        if f"bin/{applet}" not in archive:
            archive.link(f"bin/{applet}", "busybox")
    archive.file("faultloop/workloads", program, 0o755)
    archive.file("init", init.read_bytes(), 0o755)
    archive.file("etc/dropbear/dropbear_ed25519_host_key", keys.host, 0o600)
    archive.file("root/.ssh/authorized_keys", f"{keys.client_public}\n".encode("ascii"), 0o600)
    return archive


def applets(busybox: bytes) -> tuple[str, ...]:
    """Names that a busybox binary answers to: its own sorted table, which starts with ``[`` and ``[[``.

    It cannot be asked: it is a program for another CPU.
    """
    start = busybox.find(b"\0[\0[[\0")
    end = busybox.find(b"\0\0", start + 1)
    names = busybox[start + 1 : end].decode("ascii", errors="replace").split("\0") if start >= 0 else []
    if "sh" not in names or "mount" not in names:
        raise InfrastructureError("busybox: no table of applets found in the binary")
    return tuple(names)


def _make_keys() -> _Keys:
    client, host = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    return _Keys(
        client=client.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
        ),
        client_public=_public_line(client),
        host=dropbear_key(host),
        host_public=_public_line(host),
    )


def _public_line(key: Ed25519PrivateKey) -> str:
    line = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return line.decode("ascii")


def dropbear_key(key: Ed25519PrivateKey) -> bytes:
    """A host key as Dropbear stores it (its src/ed25519.c, buf_put_ed25519_priv_key): two SSH strings,
    the kind, then seed and public key."""
    seed = key.private_bytes(
        serialization.Encoding.Raw, serialization.PrivateFormat.Raw, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return _ssh_string(b"ssh-ed25519") + _ssh_string(seed + public)


def _ssh_string(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


def _write_private(path: Path, data: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)


def _text(data: bytes) -> str:
    return data.decode("utf-8", errors="replace").strip()
