# SPDX-License-Identifier: GPL-2.0-or-later
"""From what the user calls a kernel to its unpacked source: name of kernels.yaml, path, tarball, ``PATH@REF``."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, model_validator

from harness.build.cache import Cache
from harness.build.sandbox import Sandbox, of_user
from harness.errors import InfrastructureError, UserError
from harness.layout import project
from harness.model import Kernel
from harness.sources import archive, datafile, git
from harness.sources.archive import Label
from harness.sources.debian import DebianPackage, DebianRoot, is_bad_signature

_DEPENDENCY = re.compile(r"\b(linux-source-\d+\.\d+)\b")


class SeriesRow(BaseModel):
    """One named series: the Debian package, or the metapackage, that brings its source."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    package: str = Field(default="", pattern=r"^(linux-source-\d+\.\d+)?$")
    metapackage: str = Field(default="", pattern=r"^[a-z0-9.+-]*$")
    suites: tuple[str, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _one_of_two(self) -> SeriesRow:
        if bool(self.package) == bool(self.metapackage):
            raise ValueError("give either package or metapackage")
        return self


class KernelTable(BaseModel):
    """``kernels.yaml``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    default: str
    series: dict[str, SeriesRow] = Field(min_length=1)

    @model_validator(mode="after")
    def _default_exists(self) -> KernelTable:
        if self.default not in self.series:
            raise ValueError(f"default '{self.default}' is not among the series")
        return self


def load(path: Path) -> KernelTable:
    """Read ``kernels.yaml``; UserError with file and line when it is not valid."""
    return datafile.load(path, KernelTable)


def default() -> str:
    """The kernel that is meant when the user names none."""
    return load(project().kernels).default


def cached(*, cache: Cache) -> list[Kernel]:
    """The kernels whose sources the cache holds, by name; no network, contents not checked."""
    found = []
    for entry in cache.entries(archive.ROOM):
        label, tree = archive.label_of(entry), entry / archive.TREE
        found.append(_kernel(label.name, label, tree))
    return sorted(found, key=lambda kernel: kernel.name)


def newest_cached(*, cache: Cache) -> dict[str, Kernel]:
    """Of each name in the cache the newest version."""
    return {kernel.name: kernel for kernel in sorted(cached(cache=cache), key=_age)}


def _age(kernel: Kernel) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", kernel.version)]


def resolve(
    name: str,
    *,
    cache: Cache,
    debian: DebianRoot,
    sandbox: Sandbox | None = None,
    table: KernelTable | None = None,
) -> Kernel:
    """The kernel that ``name`` means, unpacked in the cache.

    A name of the table comes first (``./6.1`` means a folder of that name); then an existing path: a repository's
    work tree as it is, a plain folder, a tarball; then ``PATH@REF``; then the series that ``newest`` has come to.
    UserError for anything else.
    """
    table = table or load(project().kernels)
    sandbox = sandbox or of_user()
    name = name or table.default
    row = table.series.get(name)
    if row is not None:
        return _from_debian(name, row, cache, debian, sandbox)
    path = Path(name).expanduser()
    if path.is_dir() and git.has_work_tree(path):
        return _kernel(name, *git.export_work_tree(path, name, cache=cache, sandbox=sandbox))
    if path.is_dir() and git.is_repository(path):
        raise UserError(f"{name}: a bare repository; name a commit: {name}@REF")
    if path.is_dir():
        return _kernel(name, *archive.folder_snapshot(path, name, cache=cache))
    if path.is_file():
        return _kernel(name, *archive.tarball(path, name, cache=cache, sandbox=sandbox))
    before, at, ref = name.rpartition("@")
    repository = Path(before).expanduser()
    if at and ref and repository.is_dir():
        if not git.is_repository(repository):
            raise UserError(f"{before}: not a git repository, so '@{ref}' says nothing there")
        return _kernel(name, *git.export_ref(repository, ref, name, cache=cache, sandbox=sandbox))
    moving = _moving(name, table, cache, debian, sandbox)
    if moving is not None:
        return moving
    near = datafile.nearest(name, list(table.series))
    raise UserError(f"unknown kernel '{name}': no series of kernels.yaml, no path, no PATH@REF; {near}")


def _moving(name: str, table: KernelTable, cache: Cache, debian: DebianRoot, sandbox: Sandbox) -> Kernel | None:
    """The kernel of a name that moves on (``newest``), if it is of the series ``name`` by now."""
    if not re.fullmatch(r"\d+\.\d+", name):
        return None
    for alias, row in table.series.items():
        if row.metapackage:
            with contextlib.suppress(InfrastructureError):
                if _package(row, debian).name == f"linux-source-{name}":
                    return _from_debian(alias, row, cache, debian, sandbox)
    return None


def _kernel(name: str, label: Label, tree: Path) -> Kernel:
    version = archive.linux_version(tree, name)
    return Kernel(name=name, version=version, origin=label.origin, digest=label.digest, tree=tree)


def _from_debian(name: str, row: SeriesRow, cache: Cache, debian: DebianRoot, sandbox: Sandbox) -> Kernel:
    try:
        return _current(name, row, cache, debian, sandbox)
    except InfrastructureError as error:
        known = [kernel for kernel in cached(cache=cache) if kernel.name == name]
        if not known or is_bad_signature(error):
            raise
        newest = max(known, key=_age)
        cache.notice(f"{error.message}; going on with what the cache has: {newest.origin}")
        return newest


def _current(name: str, row: SeriesRow, cache: Cache, debian: DebianRoot, sandbox: Sandbox) -> Kernel:
    package = _package(row, debian)
    origin = f"Debian {package.name} {package.version} ({package.suite}), sha256:{package.sha256}"
    label = Label(name, origin, package.sha256)
    return _kernel(name, label, archive.deb(lambda: debian.fetch(package), label, cache=cache, sandbox=sandbox))


def _package(row: SeriesRow, debian: DebianRoot) -> DebianPackage:
    if row.package:
        return debian.resolve(row.package, row.suites)
    meta = debian.resolve(row.metapackage, row.suites)
    found = _DEPENDENCY.search(meta.depends)
    if found is None:
        raise InfrastructureError(
            f"Debian {meta.name} {meta.version} depends on no linux-source-X.Y: '{meta.depends}'"
        )
    return debian.resolve(found.group(1), [meta.suite])
