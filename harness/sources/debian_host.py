# SPDX-License-Identifier: GPL-2.0-or-later
"""What this host's dpkg and apt know: its architecture and mirror, the archive's keys, the order of versions."""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from harness.errors import InfrastructureError
from harness.mortal import bound

KEYRINGS = (
    "/usr/share/keyrings/debian-archive-keyring.gpg",
    "/usr/share/keyrings/debian-archive-keyring.pgp",
)
_SUITE = (
    "oldoldstable|oldstable|stable|testing|unstable|experimental|"
    "stretch|buster|bullseye|bookworm|trixie|forky|duke|sid"
)
_MAIN = re.compile(rf"(?:{_SUITE})(?:-updates|-backports)?")
_SECURITY = re.compile(rf"(?:{_SUITE})(?:-security|/updates)")


def host_architecture() -> str:
    """Debian's name of this host's architecture: ``amd64``, ``arm64``."""
    return run(["dpkg", "--print-architecture"], "cannot tell this host's Debian architecture").strip()


@functools.total_ordering
class _Version:
    """A Debian version, ordered as dpkg orders it."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Version) and _dpkg_compare(self.text, "eq", other.text)

    def __lt__(self, other: _Version) -> bool:
        return _dpkg_compare(self.text, "lt", other.text)

    def __hash__(self) -> int:
        return 0


def version_key(version: str) -> _Version:
    """Key for sorting Debian versions."""
    return _Version(version)


def _dpkg_compare(left: str, relation: str, right: str) -> bool:
    return subprocess.run(["dpkg", "--compare-versions", left, relation, right], check=False).returncode == 0


def keyring() -> str:
    """The file that holds the keys of the Debian archive."""
    for path in KEYRINGS:
        if Path(path).is_file():
            return path
    raise InfrastructureError(
        "the keys of the Debian archive are not on this host; install the package debian-archive-keyring"
    )


def mirror_origin() -> str:
    """Where the mirror's URL comes from, for `faultloop doctor`; InfrastructureError when there is none."""
    site("sid")
    named = "FAULTLOOP_DEBIAN_MIRROR"
    return named if os.environ.get(named) else "this host's apt configuration"


def site(suite: str) -> str:
    """URL of the archive with ``suite``: as ``FAULTLOOP_DEBIAN_MIRROR`` says, or as the host's apt has it."""
    security = bool(_SECURITY.fullmatch(suite))
    named = os.environ.get("FAULTLOOP_DEBIAN_MIRROR", "").rstrip("/")
    main, apart = (named, "") if named else _host_sites()
    if not main and not apart:
        raise InfrastructureError(
            "this host's apt knows no Debian mirror; name one in FAULTLOOP_DEBIAN_MIRROR (the URL that holds "
            "dists/ and pool/)"
        )
    if security:
        return apart or re.sub(r"/debian$", "/debian-security", main)
    return main or re.sub(r"/debian-security$", "/debian", apart)


def _host_sites() -> tuple[str, str]:
    """Main and security site of the host's own apt configuration; empty where it has none."""
    text = run(
        ["apt-get", "indextargets", "--format", "$(SITE)|$(RELEASE)|$(COMPONENT)", "Created-By: Packages"],
        "cannot read this host's apt sources",
    )
    main = security = ""
    for line in text.splitlines():
        site, release, component = [*line.split("|"), "", ""][:3]
        if component != "main" or site.startswith("cdrom:"):
            continue
        if _MAIN.fullmatch(release):
            main = main or site.rstrip("/")
        elif _SECURITY.fullmatch(release):
            security = security or site.rstrip("/")
    return main, security


def run(argv: Sequence[str], failure: str) -> str:
    """Standard output of a program; InfrastructureError with what it said when it fails."""
    if shutil.which(argv[0]) is None:
        raise InfrastructureError(f"{argv[0]}: not found; Debian packages need apt and dpkg on this host")
    with tempfile.TemporaryFile() as errors:
        done = subprocess.run(
            bound(argv),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            env={**os.environ, "LC_ALL": "C"},
            check=False,
        )
        errors.seek(0)
        said = errors.read().decode("utf-8", errors="replace")
    out = done.stdout.decode("utf-8", errors="replace")
    if done.returncode != 0:
        lines = [line for line in (said + out).splitlines() if line.startswith(("E:", "W:", "Err:", "  "))]
        raise InfrastructureError(failure, detail="\n".join(lines or said.splitlines()[-20:]))
    return out
