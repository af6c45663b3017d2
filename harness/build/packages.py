# SPDX-License-Identifier: GPL-2.0-or-later
"""The Debian packages that the host needs (``tools/packages.txt``), and which of them are missing."""

from __future__ import annotations

import os
import shutil
import subprocess

from harness import layout
from harness.errors import InfrastructureError

_INSTALL = "apt-get install -y --no-install-recommends"


def wanted() -> list[str]:
    """Their names, in the file's order."""
    lines = layout.project().packages.read_text(encoding="utf-8").splitlines()
    return [word for line in lines for word in line.split("#")[0].split()]


def installed(*names: str) -> frozenset[str]:
    """Those of these packages that dpkg knows as installed; of all when none is named."""
    argv = ["dpkg-query", "-W", "-f=${db:Status-Status} ${Package}\\n", *names]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    told = (line.partition(" ") for line in done.stdout.splitlines())
    return frozenset(name for state, _, name in told if state == "installed")


def missing() -> list[str]:
    """Those that dpkg does not know as installed, in the file's order."""
    there = installed(*wanted())
    return [name for name in wanted() if name not in there]


def remedy(names: list[str]) -> str:
    """The line that installs them; empty when there are none."""
    sudo = "" if os.geteuid() == 0 else "sudo "
    return f"{sudo}apt-get update && {sudo}{_INSTALL} {' '.join(names)}" if names else ""


def require() -> None:
    """InfrastructureError, with that line, when one is missing; other systems than Debian's are not judged."""
    if shutil.which("dpkg-query") is not None and (names := missing()):
        raise InfrastructureError(f"packages are missing; run:  {remedy(names)}")
