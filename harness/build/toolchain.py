# SPDX-License-Identifier: GPL-2.0-or-later
"""The host's programs that builds need, which package brings each, and their versions as part of a cache key."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.errors import InfrastructureError

CROSS = "aarch64-linux-gnu-"
_PATH = "/usr/bin:/bin:/usr/sbin:/sbin"

KERNEL_TOOLS: Mapping[str, str] = {
    f"{CROSS}gcc": "gcc-aarch64-linux-gnu",
    f"{CROSS}ld": "binutils-aarch64-linux-gnu",
    "gcc": "gcc",
    "make": "make",
    "flex": "flex",
    "bison": "bison",
    "bc": "bc",
    "perl": "perl",
}
"""Program -> Debian package, for a kernel of our configuration."""

EMULATOR_TOOLS: Mapping[str, str] = {
    "gcc": "gcc",
    "ninja": "ninja-build",
    "patch": "patch",
    "pkg-config": "pkg-config",
    "python3": "python3",
}
"""Program -> Debian package, for QEMU."""

EMULATOR_LIBRARIES: Mapping[str, str] = {
    "glib-2.0": "libglib2.0-dev",
    "libseccomp": "libseccomp-dev",
    "slirp": "libslirp-dev",
    "zlib": "zlib1g-dev",
}
"""pkg-config name -> Debian package, for QEMU."""

EMULATOR_HEADERS: Mapping[str, str] = {"/usr/include/libfdt.h": "libfdt-dev"}
"""Header of a library that has no pkg-config file everywhere -> Debian package."""

_KERNEL_VERSIONS = (f"{CROSS}gcc", f"{CROSS}ld", "gcc", "make")


def missing(tools: Mapping[str, str]) -> dict[str, str]:
    """Those of ``tools`` that the sandbox would not find: program -> package."""
    return {tool: package for tool, package in tools.items() if shutil.which(tool, path=_PATH) is None}


def require(tools: Mapping[str, str]) -> None:
    """InfrastructureError that names what is missing and what to install."""
    _refuse(missing(tools))


def _refuse(lacking: Mapping[str, str]) -> None:
    if lacking:
        packages = " ".join(sorted(set(lacking.values())))
        raise InfrastructureError(f"not found: {', '.join(lacking)}; install {packages}")


def versions(tools: Sequence[str]) -> dict[str, str]:
    """First line of ``--version`` of each program."""
    found = {}
    for tool in tools:
        path = shutil.which(tool, path=_PATH)
        if path is None:
            raise InfrastructureError(f"{tool}: not found")
        done = subprocess.run(
            [path, "--version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            env={"LC_ALL": "C"},
        )
        found[tool] = done.stdout.partition("\n")[0].strip()
    return found


def kernel_versions() -> dict[str, str]:
    """What of the toolchain decides how a kernel comes out."""
    require(KERNEL_TOOLS)
    return versions(_KERNEL_VERSIONS)


def emulator_missing() -> dict[str, str]:
    """What QEMU's build lacks on this host: program, library or header -> package."""
    lacking = missing(EMULATOR_TOOLS)
    if "pkg-config" not in lacking:
        lacking |= {name: package for name, package in EMULATOR_LIBRARIES.items() if not _library(name)}
    return lacking | {path: package for path, package in EMULATOR_HEADERS.items() if not Path(path).is_file()}


def emulator_versions() -> dict[str, str]:
    """What of the host decides how QEMU comes out: compiler, interpreter, libraries."""
    _refuse(emulator_missing())
    return versions(("gcc", "python3")) | {name: _library(name) for name in EMULATOR_LIBRARIES}


def _library(name: str) -> str:
    """Version of a library as pkg-config knows it, empty when it does not."""
    path = shutil.which("pkg-config", path=_PATH) or "pkg-config"
    done = subprocess.run(
        [path, "--modversion", name],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        env={"LC_ALL": "C", "PATH": _PATH},
    )
    return done.stdout.strip() if done.returncode == 0 else ""
