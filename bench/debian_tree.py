# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian packages with all they need, unpacked into a folder of the cache; none is run or configured."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from harness.build.cache import digest
from harness.build.guest import SUITES
from harness.errors import InfrastructureError
from harness.jobs.workshop import Workshop
from harness.sources.debian import DebianPackage

ROOM = "bench"
_DECORATION = re.compile(r"\(.*?\)|\[.*?\]|:\w+")


def unpacked(shop: Workshop, names: Sequence[str], arch: str | None, have: Collection[str] = ()) -> Path:
    """The folder with packages of ``arch`` (the host's when None) with all they need, but what is in ``have``."""
    packages = closure(shop, names, arch, have)

    def make(folder: Path) -> None:
        for package in packages:
            deb = shop.debian.fetch(package)
            done = subprocess.run(
                ["dpkg-deb", "-x", str(deb), str(folder / "tree")], capture_output=True, check=False
            )
            if done.returncode:
                raise InfrastructureError(f"{deb.name}: cannot be unpacked", detail=done.stderr.decode())

    return shop.cache.make(ROOM, digest("tree", sorted(map(str, packages))), make) / "tree"


def closure(
    shop: Workshop, names: Sequence[str], arch: str | None, have: Collection[str] = ()
) -> tuple[DebianPackage, ...]:
    """The packages and what they depend on; of alternatives the first. A virtual package is passed over."""
    found: dict[str, DebianPackage | None] = {}
    todo = list(names)
    while todo:
        name = todo.pop()
        if name in found or name in have:
            continue
        found[name] = _resolved(shop, name, arch, asked=name in names)
        for group in dependencies(found[name]):
            if not any(one in found or one in have for one in group):
                todo.append(group[0])
    return tuple(package for package in found.values() if package is not None)


def dependencies(package: DebianPackage | None) -> Iterator[list[str]]:
    """Names of each dependency, its alternatives in order."""
    for group in (package.depends if package else "").split(","):
        names = [_DECORATION.sub("", one).strip() for one in group.split("|")]
        if names[0]:
            yield names


def _resolved(shop: Workshop, name: str, arch: str | None, *, asked: bool) -> DebianPackage | None:
    try:
        return shop.debian.resolve(name, SUITES, arch)
    except InfrastructureError:
        if asked:
            raise
        return None
