# SPDX-License-Identifier: GPL-2.0-or-later
"""The command lines of README.md and docs/ do what they say: run as they stand, results elsewhere."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.vm.command import ROOT, faultloop
from tests.vm.doc_commands import RUN

FILES = {"x.patch": "6.1-fix-fault-paths.patch", "fix.patch": "6.1-fix-fault-paths.patch"}
"""Files that documents speak of -> ours that stands for it."""
MAKES_OWN = ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")
"""What `make test-long` leaves to a make below it, and a reader's shell has not."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a reader has: the checkout, and some files of their own."""
    here = tmp_path_factory.mktemp("reader")
    for item in ROOT.iterdir():
        if not item.name.startswith(".") and item.name != "results":
            (here / item.name).symlink_to(item)
    for name, ours in FILES.items():
        (here / name).symlink_to(ROOT / "patches" / "linux" / ours)
    words = ("run", "--kernel", "6.1", "--workloads", "anon-reuse", "--setup", "cortex-a57")
    assert faultloop(*words, results=here / "results").status == 1  # documents speak of earlier runs
    return here


@pytest.mark.parametrize(
    "line", [pytest.param(line, marks=[pytest.mark.long] if how.long else []) for line, how in RUN.items()]
)
def test_a_command_line(line: str, folder: Path) -> None:
    environment = {
        **{name: value for name, value in os.environ.items() if name not in MAKES_OWN},
        "FAULTLOOP_RESULTS": str(folder / "results"),
        "PATH": f"{folder}:{os.environ['PATH']}",
    }
    done = subprocess.run(
        ["sh", "-c", line], cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    status = done.returncode
    if line.startswith("make ") and status == 2:  # make's own word for any failure
        told = re.search(r"^make: \*\*\* .* Error (\d+)$", done.stderr, re.M)
        status = int(told[1]) if told else status
    assert status == RUN[line].status, f"{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    assert "Traceback" not in done.stderr
