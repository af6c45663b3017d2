# SPDX-License-Identifier: GPL-2.0-or-later
"""The host's programs that builds need, which package brings each, and their versions as part of a cache key."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence

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

_KERNEL_VERSIONS = (f"{CROSS}gcc", f"{CROSS}ld", "gcc", "make")


def missing(tools: Mapping[str, str]) -> dict[str, str]:
    """Those of ``tools`` that the sandbox would not find: program -> package."""
    return {tool: package for tool, package in tools.items() if shutil.which(tool, path=_PATH) is None}


def require(tools: Mapping[str, str]) -> None:
    """InfrastructureError that names what is missing and what to install."""
    lacking = missing(tools)
    if lacking:
        raise InfrastructureError(
            f"not found: {', '.join(lacking)}; install {' '.join(sorted(set(lacking.values())))}"
        )


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
