# SPDX-License-Identifier: GPL-2.0-or-later
"""QEMU's source with our overlay and hooks: from Debian, or what ``FAULTLOOP_QEMU_SOURCE`` names.

Hooks are for QEMU 10.0. Where some of them do not fit another series, ``patches/qemu/SERIES/`` has those in
another form, each in place of the hook of its name. ``FAULTLOOP_QEMU_SERIES`` chooses a series of Debian's.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.build.cache import ALL, Cache, file_sha256
from harness.build.sandbox import Bind, CommandFailed, Sandbox
from harness.errors import FaultloopError, InfrastructureError, UserError
from harness.sources.archive import copy_tree, tree_sha256, unpack
from harness.sources.debian import ROOM as DEBIAN
from harness.sources.debian import DebianRoot, source_tarball

SOURCE_VARIABLE = "FAULTLOOP_QEMU_SOURCE"

_ROOM = "qemu-sources"
SERIES_VARIABLE = "FAULTLOOP_QEMU_SERIES"
_DEFAULT = "10.0"
_SERIES = {_DEFAULT: "trixie", "10.2": "sid"}
"""The suite of Debian that has it."""
_TREE = "tree"
_VERSION = "VERSION"
_ROMS = "roms"
"""Sources of firmware: 270 of 410 MB, and not built."""
_LEFT_OUT = (_ROMS, ".git")


@dataclass(frozen=True, slots=True)
class QemuSource:
    """An unpacked QEMU, as it was released; not to be written to."""

    tree: Path
    """Sizes not looked at: that of 9,000 files takes longer than all else where the emulator is in the cache."""
    origin: str
    digest: str
    named: bool
    """The user named it: what is wrong with it is the user's to mend."""
    whole: Callable[[], Path]
    """The same tree, looked at, and unpacked again where it was damaged: for who builds from it."""

    @property
    def series(self) -> str:
        """``10.0`` of 10.0.13."""
        return ".".join(version(self.tree).split(".")[:2])


@dataclass(frozen=True, slots=True)
class Changes:
    """What we do to QEMU: ``patches/qemu``, read once, so that what is built is what the key names."""

    overlay: Mapping[str, bytes]
    """Path in QEMU's tree -> our file."""
    hooks: Mapping[str, bytes]
    """Name -> patch, in order."""
    options: tuple[str, ...]
    """Options of QEMU's configure."""

    def identity(self) -> list[object]:
        """What a cache key must hold of it."""
        overlay = {name: hashlib.sha256(content).hexdigest() for name, content in self.overlay.items()}
        hooks = [hashlib.sha256(content).hexdigest() for content in self.hooks.values()]
        return [overlay, hooks, list(self.options)]


def read_changes(folder: Path, series: str = _DEFAULT) -> Changes:
    """Overlay, hooks for a series, and options; InfrastructureError when they are not there."""
    options = folder / "configure.options"
    if not options.is_file():
        raise InfrastructureError(f"{options}: not there; it holds the options of QEMU's configure, one a line")
    lines = [line.strip() for line in options.read_text(encoding="utf-8").splitlines()]
    top = folder / "overlay"
    hooks = {p.name: p for at in (folder, folder / series) for p in at.glob("[0-9]*.patch")}
    return Changes(
        overlay={p.relative_to(top).as_posix(): p.read_bytes() for p in sorted(top.rglob("*")) if p.is_file()},
        hooks={name: hooks[name].read_bytes() for name in sorted(hooks)},
        options=tuple(line for line in lines if line and not line.startswith("#")),
    )


def bring(cache: Cache, sandbox: Sandbox, debian: DebianRoot) -> QemuSource:
    """The source that the environment names, or Debian's."""
    named = os.environ.get(SOURCE_VARIABLE, "")
    if not named:
        series = os.environ.get(SERIES_VARIABLE) or _DEFAULT
        if series not in _SERIES:
            raise UserError(f"{SERIES_VARIABLE}={series}: no such series; there are {', '.join(_SERIES)}")
        source = debian.fetch_source("qemu", _SERIES[series], f"1:{series}.")
        tarball = source_tarball(source)
        sha256 = source.sha256[tarball.name]
        origin = f"Debian qemu {source.version} ({source.suite}), {tarball.name} sha256:{sha256}"
        return _of_tarball(tarball, origin, sha256, cache, sandbox, named=False)
    path = Path(named).expanduser()
    if path.is_file():
        sha256 = file_sha256(path)
        origin = f"{SOURCE_VARIABLE}: tarball {path.name}, sha256:{sha256}"
        return _of_tarball(path, origin, sha256, cache, sandbox, named=True)
    if path.is_dir():
        _require_qemu(path, named)
        sha256 = tree_sha256(path)
        origin = f"{SOURCE_VARIABLE}: tree {path.name}, sha256:{sha256}"
        return QemuSource(path, origin, sha256, named=True, whole=lambda: path)
    raise UserError(f"{SOURCE_VARIABLE}={named}: no such tarball or folder")


def lay_out(source: QemuSource, changes: Changes, tree: Path, sandbox: Sandbox) -> None:
    """Copy the source to ``tree`` with overlay and hooks on it; the error names the patch that does not apply."""
    tree.mkdir()
    for item in source.whole().iterdir():
        if item.name not in _LEFT_OUT:
            copy_tree(item, tree / item.name)
    for name, content in changes.overlay.items():
        if os.path.lexists(tree / name):
            raise _wrong(source, f"patches/qemu/overlay/{name}: QEMU has a file of that name; rename ours")
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(content)
    for name, content in changes.hooks.items():
        hook = tree.parent / "hook.patch"
        hook.write_bytes(content)
        argv = [
            "patch",
            "-p1",
            "-F0",
            "--batch",
            "--no-backup-if-mismatch",
            "--reject-file=-",
            "-i",
            "/in/hook.patch",
        ]
        binds = [Bind(tree, "/build/qemu", writable=True), Bind(hook, "/in/hook.patch")]
        try:
            sandbox.run(argv, binds=binds, cwd="/build/qemu")
        except CommandFailed as error:
            message = f"patches/qemu/{name} does not apply to QEMU {version(tree)} ({source.origin})"
            raise _wrong(source, message, error.detail) from error
        hook.unlink()


def version(tree: Path) -> str:
    """``10.0.13``, of the file VERSION."""
    return (tree / _VERSION).read_text(encoding="utf-8").strip()


def keep_times(tree: Path, known: Mapping[str, tuple[str, int]]) -> dict[str, tuple[str, int]]:
    """Give files that are as they were in an earlier build their earlier times, so that ninja sees what changed.

    Both mappings: path -> SHA-256 and modification time in ns.
    """
    times: dict[str, tuple[str, int]] = {}
    for folder, _, files in os.walk(tree):
        for name in files:
            path = Path(folder, name)
            if path.is_symlink():
                continue
            relative = str(path.relative_to(tree))
            sha256 = file_sha256(path)
            before = known.get(relative)
            if before is not None and before[0] == sha256:
                os.utime(path, ns=(before[1], before[1]))
            elif known:
                os.utime(path)
            times[relative] = (sha256, path.stat().st_mtime_ns)
    return times


def _of_tarball(
    tarball: Path, origin: str, sha256: str, cache: Cache, sandbox: Sandbox, *, named: bool
) -> QemuSource:
    def whole() -> Path:
        return _unpacked(tarball, sha256, cache, sandbox)

    entry = cache.known(_ROOM, sha256)
    if entry is None or not (entry / _TREE / _VERSION).is_file():
        return QemuSource(whole(), origin, sha256, named, whole)
    return QemuSource(entry / _TREE, origin, sha256, named, whole)


def _unpacked(tarball: Path, sha256: str, cache: Cache, sandbox: Sandbox) -> Path:
    def fill(folder: Path) -> None:
        _sound(tarball, cache)
        unpack(tarball, folder / _TREE, sandbox)
        shutil.rmtree(folder / _TREE / _ROMS, ignore_errors=True)
        _require_qemu(folder / _TREE, tarball.name)

    return cache.make(_ROOM, sha256, fill) / _TREE


def _sound(tarball: Path, cache: Cache) -> None:
    """InfrastructureError when a tarball of the cache is not what was fetched."""
    entry = tarball.parent
    if entry.parent == cache.root / DEBIAN and cache.get(DEBIAN, entry.name, read=ALL) is None:
        raise InfrastructureError(
            f"{tarball.name}: was damaged in the cache, and is removed; run the same command again: it is fetched "
            "anew"
        )


def _require_qemu(tree: Path, named: str) -> None:
    if not (
        (tree / _VERSION).is_file() and (tree / "configure").is_file() and (tree / "hw/arm/smmuv3.c").is_file()
    ):
        raise UserError(f"{named}: not QEMU's source (no VERSION, configure and hw/arm/smmuv3.c in it)")


def _wrong(source: QemuSource, message: str, detail: str = "") -> FaultloopError:
    if source.named:
        return UserError(f"{message}; our changes are for QEMU {' and '.join(_SERIES)}", detail=detail)
    return InfrastructureError(message, detail=detail)
