# SPDX-License-Identifier: GPL-2.0-or-later
"""`faultloop shell`, with a pipe in place of the terminal."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from harness.model import BuiltKernel
from tests.vm.command import ROOT


def test_a_user_is_logged_in_and_the_guest_ends_with_them(base_kernel: BuiltKernel, tmp_path: Path) -> None:
    """With a folder that is shared both ways."""
    (shared := tmp_path / "shared").mkdir()
    (shared / "sub").mkdir()
    (shared / "sub" / "hello.sh").write_text("echo made by the guest\n")
    (shared / "link").symlink_to("/etc/passwd")
    said = "uname -r; ls /dev/sva_testdev; /faultloop/workloads --list | grep -c .; cd /share\n"
    said += "ls /share | wc -l; mkdir from-guest/d; sh sub/hello.sh >from-guest/d/file; exit 7\n"
    done = subprocess.run(
        [str(ROOT / "faultloop"), "shell", "--share", str(shared)],
        input=said,
        env={**os.environ, "FAULTLOOP_RESULTS": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    release, device, paths, inside = done.stdout.split()
    assert (release.startswith("6.1."), device, int(paths) >= 15) == (True, "/dev/sva_testdev", True), done.stderr
    assert int(inside) == 2, "sub and from-guest: no link"
    assert (shared / "from-guest" / "d" / "file").read_text() == "made by the guest\n"
    assert sorted(p.name for p in shared.iterdir()) == ["from-guest", "link", "sub"], "nothing else is left"
    assert done.returncode == 7
    assert "Leave with `exit`" in done.stderr


@pytest.mark.long
def test_a_guest_that_leaves_a_link_brings_nothing(base_kernel: BuiltKernel, tmp_path: Path) -> None:
    done = subprocess.run(
        [str(ROOT / "faultloop"), "shell", "--share", str(tmp_path)],
        input="ln -s /etc/passwd /share/from-guest/x; echo y >/share/from-guest/y; exit 0\n",
        env={**os.environ, "FAULTLOOP_RESULTS": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 4 and "neither a file nor a folder: ./x" in done.stderr, done.stderr
    assert "Traceback" not in done.stderr and not list(tmp_path.iterdir())
