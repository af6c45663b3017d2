# SPDX-License-Identifier: GPL-2.0-or-later
"""`faultloop shell`, with a pipe in place of the terminal."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from harness.model import BuiltKernel
from tests.vm.command import ROOT


def test_a_user_is_logged_in_and_the_guest_ends_with_them(base_kernel: BuiltKernel, tmp_path: Path) -> None:
    said = "uname -r; ls /dev/sva_testdev; /faultloop/workloads --list | grep -c .; exit 7\n"
    done = subprocess.run(
        [str(ROOT / "faultloop"), "shell"],
        input=said,
        env={**os.environ, "FAULTLOOP_RESULTS": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    release, device, paths = done.stdout.split()
    assert (release.startswith("6.1."), device, int(paths) >= 15) == (True, "/dev/sva_testdev", True), done.stderr
    assert done.returncode == 7
    assert "Leave with `exit`" in done.stderr
