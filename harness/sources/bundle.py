# SPDX-License-Identifier: GPL-2.0-or-later
"""A bundle: one archive with a run and all that it takes to have it again, and a list of the SHA-256 of each file.

The same files give the same archive. A bundle is a stranger's file: it is unpacked in the sandbox, and nothing in
it is used before it is one of the files that its list names, of the size and content that the list says.
"""

from __future__ import annotations

import hashlib
import io
import lzma
import os
import re
import stat
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from harness.build.cache import file_sha256
from harness.build.limits import LimitExceeded
from harness.build.sandbox import Bind, CommandFailed, Sandbox
from harness.errors import InfrastructureError, UserError
from harness.shown import printable

SUFFIX = ".bundle.tar.xz"
MANIFEST = "manifest.json"
PROGRAMS = ("reproduce.sh", "emulator/qemu-system-aarch64")
"""What may be run, and has the mode for it in the archive."""

_MOST_BYTES = 4 << 30
_MOST_FILES = 20_000
_MOST_MANIFEST = 8 << 20
_PRESET = 0
"""Of xz: 2 takes twice and a half the time, and saves 3 %."""
_PART = r"[A-Za-z0-9_][A-Za-z0-9_.+=,@-]{0,199}"
_NAME = re.compile(rf"{_PART}(?:/{_PART}){{0,7}}")
_SHA256 = r"^[0-9a-f]{64}$"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class EmulatorFacts(_Strict):
    """The emulator of the run, to tell whether one that is at hand is the same."""

    key: str
    """Of its cache entry: content of source, our changes, options and toolchain."""
    version: str
    origin: str
    machine: str
    """The host's architecture that it runs on."""
    libraries: tuple[str, ...]
    """Shared libraries that it needs."""


class FileFacts(_Strict):
    """One file."""

    size: int = Field(ge=0)
    sha256: str = Field(pattern=_SHA256)


class Manifest(_Strict):
    """``manifest.json``."""

    layout: Annotated[Literal["faultloop/bundle/1"], Field(alias="schema")] = "faultloop/bundle/1"
    faultloop: str
    emulator: EmulatorFacts
    seeds: dict[str, int] = {}
    """Of what was random in the run; workloads of a verdict have nothing random in them."""
    files: dict[str, FileFacts]


def pack(files: Mapping[str, Path | bytes], emulator: EmulatorFacts, version: str, target: Path) -> Manifest:
    """Write the archive of ``files`` (name in it -> content) to ``target``, whole or not at all."""
    for name in files:
        if not _NAME.fullmatch(name):
            raise InfrastructureError(f"{name}: not a name that a bundle can hold")
    listed = {name: _facts(files[name]) for name in sorted(files)}
    manifest = Manifest(faultloop=version, emulator=emulator, files=listed)
    text = manifest.model_dump_json(indent=1, by_alias=True).encode() + b"\n"
    top = target.name.removesuffix(SUFFIX)
    new = target.with_name(f".{target.name}-{os.getpid()}")
    try:
        with lzma.open(new, "wb", preset=_PRESET) as stream, tarfile.open(fileobj=stream, mode="w|") as tar:
            _add(tar, f"{top}/{MANIFEST}", text)
            for name in sorted(files):
                _add(tar, f"{top}/{name}", files[name])
        new.replace(target)
    except OSError as error:
        raise InfrastructureError(f"{target}: cannot be written: {error.strerror}") from error
    finally:
        new.unlink(missing_ok=True)
    return manifest


def _facts(content: Path | bytes) -> FileFacts:
    if isinstance(content, bytes):
        return FileFacts(size=len(content), sha256=hashlib.sha256(content).hexdigest())
    return FileFacts(size=content.stat().st_size, sha256=file_sha256(content))


def _add(tar: tarfile.TarFile, name: str, content: Path | bytes) -> None:
    """Nothing of the host's owners, modes and times."""
    entry = tarfile.TarInfo(name)
    entry.mode = 0o755 if name.partition("/")[2] in PROGRAMS else 0o644
    if isinstance(content, bytes):
        entry.size = len(content)
        tar.addfile(entry, io.BytesIO(content))
        return
    with content.open("rb") as file:
        entry.size = os.fstat(file.fileno()).st_size
        tar.addfile(entry, file)


def unpack(archive: Path, scratch: Path, sandbox: Sandbox) -> tuple[Path, Manifest]:
    """The folder of a bundle, below ``scratch``, and its list, all verified. UserError when anything is amiss.

    ``archive`` may be a folder that was unpacked by hand: what it holds is verified just the same.
    """
    if archive.is_dir():
        return archive, verified(archive, str(archive))
    if not archive.is_file():
        raise UserError(f"{archive}: no such bundle")
    out = scratch / "unpacked"
    out.mkdir()
    limits = replace(sandbox.limits, disk=_MOST_BYTES, files=_MOST_FILES, seconds=900.0, time_is_ours=True)
    argv = ["tar", "--extract", "--xz", "--no-same-owner", "--no-same-permissions", "--directory", "/out"]
    binds = [Bind(archive.absolute(), "/in/bundle"), Bind(out, "/out", writable=True)]
    try:
        sandbox.run([*argv, "--file", "/in/bundle"], binds=binds, limits=limits)
    except CommandFailed as error:
        raise UserError(f"{archive}: not a whole bundle; tar cannot unpack it", detail=error.detail) from error
    except LimitExceeded as error:
        raise UserError(f"{archive}: more than a bundle may hold: {error.message}", detail=error.detail) from error
    inside = [item for item in out.iterdir() if item.is_dir() and not item.is_symlink()]
    if len(inside) != 1 or len(list(out.iterdir())) != 1:
        raise UserError(f"{archive}: not a bundle of faultloop: it holds not one folder and no more")
    return inside[0], verified(inside[0], str(archive))


def verified(folder: Path, named: str) -> Manifest:
    """The list of the bundle in ``folder``, when that holds exactly the files it says."""
    found = dict(_below(folder, named))
    if found.pop(MANIFEST, _MOST_MANIFEST + 1) > _MOST_MANIFEST:
        raise UserError(f"{named}: not a bundle of faultloop: no {MANIFEST} in it, or none of its size")
    try:
        manifest = Manifest.model_validate_json((folder / MANIFEST).read_bytes())
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(printable(str(part)) for part in fault["loc"])
        raise UserError(f"{named}: {MANIFEST}: {where}: {fault['msg']}") from None
    strange = sorted(found.keys() ^ manifest.files.keys())
    if strange:
        there = "not in its list" if strange[0] in found else "missing"
        raise UserError(
            f"{named}: {printable(strange[0])}: {there}; a bundle holds what {MANIFEST} lists, no more"
        )
    for name, facts in manifest.files.items():
        if found[name] != facts.size or file_sha256(folder / name) != facts.sha256:
            raise UserError(f"{named}: {printable(name)}: not what {MANIFEST} says it is (size, SHA-256)")
    return manifest


def _below(folder: Path, named: str) -> Iterator[tuple[str, int]]:
    """Name and size of all files below, no link followed; UserError for whatever is no regular file."""
    total = 0
    waiting = [folder]
    while waiting:
        with os.scandir(waiting.pop()) as items:
            for item in items:
                name = os.path.relpath(item.path, folder)
                mode = item.stat(follow_symlinks=False)
                if stat.S_ISDIR(mode.st_mode):
                    waiting.append(Path(item.path))
                elif not stat.S_ISREG(mode.st_mode):
                    raise UserError(f"{named}: {printable(name)}: neither a file nor a folder: refused")
                elif not _NAME.fullmatch(name):
                    raise UserError(f"{named}: {printable(name)}: a name that no bundle of ours has: refused")
                else:
                    total += mode.st_size
                    if total > _MOST_BYTES:
                        raise UserError(f"{named}: more than {_MOST_BYTES >> 30} GiB: refused")
                    yield name, mode.st_size
