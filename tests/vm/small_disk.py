# SPDX-License-Identifier: GPL-2.0-or-later
"""A disk that can be full at any moment: in memory, in a mount namespace of the test's own.

It is filled by making it as small as what is on it, and there is room again when it is made larger. So the harness
finds room when it looks for it at first, and none when it writes, as beside somebody else who fills the disk.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

_SIZE = "8g"

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounts disks of its own, for which root is needed")


@dataclass(frozen=True)
class Disks:
    """Folders that are a disk each for what is run ``behind`` it."""

    holder: int
    """Process that keeps the namespace."""

    @property
    def behind(self) -> list[str]:
        return ["nsenter", f"--mount=/proc/{self.holder}/ns/mnt", "--"]

    def seen(self, folder: Path) -> Path:
        """Where a folder of the namespace is for others."""
        return Path(f"/proc/{self.holder}/root{folder}")

    def clear(self, folder: Path) -> None:
        """Make room."""
        subprocess.run([*self.behind, "mount", "-o", f"remount,size={_SIZE}", str(folder)], check=True)


def fill(folder: Path) -> str:
    """A command for the shell: leaves no room on the disk, behind which it runs."""
    used = f"$(df -B1 --output=used {folder} | tail -n1)"
    once = f"used={used}; mount -o remount,size=$((used > 0 ? used : 4096)) {folder}"  # 0 would be no bound
    return f"{{ {once}; }} || {{ {once}; }} || {{ {once}; }}"  # not when more has been written meanwhile


@contextlib.contextmanager
def disks(*folders: Path, entries: Path | None = None) -> Iterator[Disks]:
    """A disk for each folder; on the first all ``entries`` of a cache are seen at once, and take no room."""
    for folder in folders:
        folder.mkdir()
    script = [f'mount -t tmpfs -o size={_SIZE} tmpfs "{folder}"' for folder in folders]
    for entry in entries.glob("*/*") if entries else ():
        there = folders[0] / entry.relative_to(entries or entry)
        script.append(f'mkdir -p "{there}" && mount --bind "{entry}" "{there}"')
    script += ["echo ready", "exec sleep infinity"]
    holder = subprocess.Popen(
        ["unshare", "--mount", "sh", "-ec", "\n".join(script)], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    try:
        assert holder.stdout.readline() == "ready\n"
        yield Disks(holder.pid)
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()
