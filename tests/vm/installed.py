# SPDX-License-Identifier: GPL-2.0-or-later
"""The wheel, built as pip builds it, and an environment that it is installed in, away from the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from harness import layout
from harness.build.cache import Cache, digest, file_sha256
from tests.vm.command import ROOT, Called

_TOOLS = ROOT / "tests" / "data" / "build-tools.txt"
_PIP = [sys.executable, "-P", "-m", "pip", "--quiet", "--disable-pip-version-check"]


@dataclass(frozen=True)
class Installed:
    """The command out of the wheel."""

    command: Path
    state: Path

    def __call__(self, *words: str | Path, cwd: Path, **environment: str) -> Called:
        """``faultloop WORDS`` to its end in ``cwd``; results go where they go when nothing is said."""
        argv = [str(self.command), *map(str, words)]
        own = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "FAULTLOOP_RESULTS")}
        own |= {"FAULTLOOP_CACHE": str(layout.cache_root()), "XDG_STATE_HOME": str(self.state)}
        # b4 is a program of the locked environment.
        own["PATH"] = f"{self.command.parent}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        own |= environment
        done = subprocess.run(argv, cwd=cwd, env=own, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        return Called(done.returncode, done.stdout, done.stderr)


def build_wheel(source: Path, folder: Path) -> Path:
    """``pip wheel`` without isolation: what it builds with is fetched once, and kept in the cache."""

    def fetch(entry: Path) -> None:
        _run(
            [*_PIP, "install", "--no-deps", "--require-hashes", "--target", str(entry / "site"), "-r", str(_TOOLS)]
        )

    tools = Cache(layout.cache_root()).make("test-tools", digest(file_sha256(_TOOLS), sys.version), fetch) / "site"
    wheel = ["wheel", "--no-build-isolation", "--no-deps", "--no-index", "--wheel-dir", str(folder)]
    _run([*_PIP, *wheel, str(source)], PYTHONPATH=str(tools))
    (found,) = folder.glob("*.whl")
    return found


def install(wheel: Path, folder: Path) -> Installed:
    """The wheel in an environment of its own, its libraries those of the locked environment."""
    venv = folder / "venv"
    _run([sys.executable, "-m", "venv", "--without-pip", str(venv)])
    site = next(venv.glob("lib/python3*/site-packages"))
    _run([*_PIP, "--python", str(venv / "bin" / "python"), "install", "--no-deps", "--no-index", str(wheel)])
    (site / "locked.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return Installed(venv / "bin" / "faultloop", folder / "state")


def _run(argv: list[str], **environment: str) -> None:
    done = subprocess.run(argv, env={**os.environ, **environment}, capture_output=True, text=True, cwd="/")
    assert done.returncode == 0, done.stdout + done.stderr
