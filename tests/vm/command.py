# SPDX-License-Identifier: GPL-2.0-or-later
"""Call the command as a user does."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
THREAD = ROOT.parent / "shared" / "threads" / "2023-05-22-notify-on-pte-permission-upgrades-v1.txt"


@dataclass(frozen=True)
class Called:
    """What the command did."""

    status: int
    stdout: str
    stderr: str

    @property
    def run(self) -> dict[str, Any]:
        """``run.json`` as printed by ``--json``."""
        assert self.stdout.startswith("{"), f"no result (status {self.status}):\n{self.stderr}"
        data: dict[str, Any] = json.loads(self.stdout)
        return data


def faultloop(*words: str | Path, results: Path, **environment: str) -> Called:
    """``./faultloop WORDS`` to its end."""
    done = subprocess.run(
        [str(ROOT / "faultloop"), *map(str, words)],
        env={**os.environ, "FAULTLOOP_RESULTS": str(results), **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    return Called(done.returncode, done.stdout, done.stderr)


def outcomes(run: dict[str, Any], side: str) -> dict[tuple[str, str], str]:
    """Outcome by path and setup."""
    return {(p["path"], p["setup"]): p[side]["outcome"] for p in run["paths"]}
