# SPDX-License-Identifier: GPL-2.0-or-later
"""Kernel trees out of tarballs and plain folders, into the cache.

Archives are unpacked by GNU tar inside the sandbox, where nothing but the destination can be written: whatever an
archive holds, it cannot leave its folder. Links that point out of the tree are refused afterwards.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from harness import disk
from harness.build.cache import Cache, file_sha256, need_space
from harness.build.sandbox import Bind, CommandFailed, Sandbox
from harness.errors import InfrastructureError, UserError
from harness.mortal import bound

ROOM = "sources"
TREE = "tree"
"""Folder of the source tree in an entry of that room."""

_LABEL = "source.json"
_TREE_GIB = 3.0
_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".txz", ".tar.zst")
_BUILT_IN_TREE = (".config", "include/config/auto.conf")
_NUMBER = re.compile(r"^(VERSION|PATCHLEVEL|SUBLEVEL|EXTRAVERSION)[ \t]*=[ \t]*(\S*)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Label:
    """What is known of a source tree besides its content, as it lies beside it in the cache."""

    name: str
    """What the user called it when it was brought in."""
    origin: str
    digest: str


def make(cache: Cache, key: str, label: Label, fill: Callable[[Path], None]) -> Path:
    """The tree of the entry ``key``, put at ``folder/tree`` by ``fill`` unless the cache has it.

    UserError, and no entry, when it is no Linux tree or a link in it points outside.
    """

    def maker(folder: Path) -> None:
        need_space(cache.root, _TREE_GIB, "a kernel source tree")
        fill(folder)
        refuse_escaping_links(folder / TREE)  # before anything in it is read
        linux_version(folder / TREE, label.name)
        (folder / _LABEL).write_text(json.dumps(asdict(label), indent=1), encoding="utf-8")

    return cache.make(ROOM, key, maker) / TREE


def label_of(entry: Path) -> Label:
    """The label of an entry of the room."""
    return Label(**json.loads((entry / _LABEL).read_text(encoding="utf-8")))


def tarball(path: Path, name: str, *, cache: Cache, sandbox: Sandbox) -> tuple[Label, Path]:
    """A tarball's unpacked tree."""
    if not path.name.endswith(_SUFFIXES):
        raise UserError(f"{path}: not a tarball by its name (known: {' '.join(_SUFFIXES)})")
    sha256 = file_sha256(path)
    label = Label(name, f"tarball {path.name}, sha256:{sha256}", sha256)
    return label, make(cache, f"tar-{sha256}", label, lambda folder: unpack(path, folder / TREE, sandbox))


def deb(fetch: Callable[[], Path], label: Label, *, cache: Cache, sandbox: Sandbox) -> Path:
    """Tree of the one tarball in a Debian package ``linux-source-X.Y``, which is fetched only when it is needed.

    The label's digest is the package's SHA-256.
    """

    def extract(folder: Path) -> None:
        path = fetch()
        package = folder / "package"
        package.mkdir()
        binds = [Bind(path, "/in/package.deb"), Bind(package, "/out", writable=True)]
        _run(sandbox, ["dpkg-deb", "--extract", "/in/package.deb", "/out"], binds, path)
        tarballs = sorted(package.glob("usr/src/linux-source-*.tar.*"))
        found = [tarball for tarball in tarballs if tarball.name.endswith(_SUFFIXES)]
        if len(found) != 1:
            raise InfrastructureError(f"{path.name}: {len(found)} source tarballs in it, not one")
        unpack(found[0], folder / TREE, sandbox)
        shutil.rmtree(package)

    return make(cache, f"deb-{label.digest}", label, extract)


def folder_snapshot(path: Path, name: str, *, cache: Cache) -> tuple[Label, Path]:
    """A copy of a folder that is not under git, by the names, modes and contents in it."""
    for built in _BUILT_IN_TREE:
        if (path / built).exists():
            raise UserError(f"{path}: was built in place ({built} exists); run `make mrproper` there")
    linux_version(path, name)
    sha256 = tree_sha256(path)
    label = Label(name, f"folder {path.absolute().name}, sha256:{sha256}", sha256)

    def copy(folder: Path) -> None:
        copy_tree(path, folder / TREE)
        if tree_sha256(folder / TREE) != sha256:
            raise UserError(f"{path}: changed while it was being copied; try again")

    return label, make(cache, f"dir-{sha256}", label, copy)


def unpack(archive: Path, tree: Path, sandbox: Sandbox) -> None:
    """Unpack ``archive`` so that ``tree`` is its content, or the content of the one folder in it."""
    out = tree.parent / "unpacked"
    out.mkdir()
    binds = [Bind(archive, f"/in/{archive.name}"), Bind(out, "/out", writable=True)]
    argv = ["tar", "--extract", "--no-same-owner", "--no-same-permissions", "--directory", "/out"]
    _run(sandbox, [*argv, "--file", f"/in/{archive.name}"], binds, archive)
    inside = list(out.iterdir())
    top = inside[0] if len(inside) == 1 and inside[0].is_dir() and not inside[0].is_symlink() else out
    top.rename(tree)
    if out.exists():
        out.rmdir()


def refuse_escaping_links(tree: Path) -> None:
    """UserError when a symbolic link in ``tree`` points outside it."""
    for folder, _, _ in os.walk(tree):
        with os.scandir(folder) as found:
            links = [Path(item.path) for item in found if item.is_symlink()]
        for link in links:
            target = link.readlink()
            landed = Path(os.path.normpath(link.parent / target))
            if target.is_absolute() or not landed.is_relative_to(tree):
                name = link.relative_to(tree)
                raise UserError(f"{name}: a link to {target}, which is outside the tree: refused")


def linux_version(tree: Path, named: str) -> str:
    """``6.1.192`` or ``7.4.0-rc2``, of the tree's Makefile; UserError when this is no Linux tree with arm64."""
    makefile = tree / "Makefile"
    text = makefile.read_text(encoding="utf-8", errors="replace") if makefile.is_file() else ""
    head: dict[str, str] = {found[1]: found[2] for found in _NUMBER.finditer(text[:4096])}
    numbers = [head.get(part, "") for part in ("VERSION", "PATCHLEVEL", "SUBLEVEL")]
    if not all(number.isdigit() for number in numbers):
        raise UserError(f"{named}: not a Linux source tree (no Makefile with VERSION, PATCHLEVEL and SUBLEVEL)")
    if not (tree / "arch" / "arm64" / "Kconfig").is_file():
        raise UserError(f"{named}: a Linux source tree without arch/arm64")
    return ".".join(numbers) + head.get("EXTRAVERSION", "")


def copy_tree(source: Path, destination: Path, *, without: Sequence[str] = ()) -> None:
    """Copy a tree with modes, times and links; blocks are shared where the file system can.

    ``without``: patterns (fnmatch) of names at its top that are left out.
    """
    argv = ["cp", "-a", "--no-preserve=ownership", "--reflink=auto"]
    failure = f"{source}: cannot be copied to {destination}"
    if not without:
        _host([*argv, "--", str(source), str(destination)], failure)
        return
    destination.mkdir()
    names = [p for p in source.iterdir() if not any(fnmatchcase(p.name, pattern) for pattern in without)]
    _host([*argv, "--", *map(str, names), str(destination)], failure)
    shutil.copystat(source, destination)


def link_tree(source: Path, destination: Path) -> None:
    """Copy a tree by hard links: its files are shared and must not be written through the copy."""
    argv = ["cp", "-al", "--", str(source), str(destination)]
    _host(argv, f"{source}: cannot be linked to {destination}")


def tree_sha256(tree: Path) -> str:
    """Hex SHA-256 over names, executable bits and contents below ``tree``; ``.git`` at its top is left out."""
    total = hashlib.sha256()
    for name, path in _sorted_files(tree):
        if path.is_symlink():
            line = f"link {path.readlink()}"
        else:
            line = f"{'x' if path.stat().st_mode & 0o100 else '-'} {file_sha256(path)}"
        total.update(f"{line} {name}\0".encode("utf-8", errors="surrogateescape"))
    return total.hexdigest()


def _sorted_files(tree: Path) -> Iterator[tuple[str, Path]]:
    for folder, folders, files in os.walk(tree):
        here = Path(folder)
        if here == tree and ".git" in folders:
            folders.remove(".git")
        folders.sort()
        linked = [name for name in folders if (here / name).is_symlink()]
        for name in sorted(files + linked):
            path = here / name
            if path.is_symlink() or path.is_file():
                yield str(path.relative_to(tree)), path
            else:
                raise UserError(f"{path}: neither a file, a folder nor a link")


def _host(argv: list[str], failure: str) -> None:
    done = subprocess.run(bound(argv), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        if disk.is_full(done.stderr):
            raise disk.full(Path(argv[-1]).parent, failure)
        raise InfrastructureError(failure, detail=done.stderr.strip())


def _run(sandbox: Sandbox, argv: list[str], binds: list[Bind], archive: Path) -> None:
    try:
        sandbox.run(argv, binds=binds, env={"XZ_DEFAULTS": "-T0"})
    except CommandFailed as error:
        if disk.is_full(error.detail):
            raise disk.full(binds[-1].source, f"while {archive.name} was unpacked") from error
        raise UserError(f"{archive}: cannot be unpacked", detail=error.detail) from error
