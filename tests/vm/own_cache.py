# SPDX-License-Identifier: GPL-2.0-or-later
"""A cache of the test's own, with the real emulator and guest image in it, and no kernel and no record.

Nothing is fetched with it: the indexes of Debian are those of the real cache, taken for fresh.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from harness.build import emulator_source, guest
from harness.build.emulator import ROOM as EMULATORS
from harness.jobs.workshop import Workshop

_LISTS = "state/lists"


def make(root: Path, shop: Workshop) -> Path:
    """Emulator and guest image are copies, to be damaged; what was fetched is linked."""
    tree = emulator_source.bring(shop.cache, shop.sandbox, shop.debian).tree
    _copy(shop.emulator.binary.parent, root / EMULATORS)
    _copy(shop.guest_image.disk.parent, root / guest.ROOM)
    _copy(tree.parent, root / "qemu-sources", "-l")
    for package in shop.cache.entries("debian"):
        _copy(package, root / "debian", "-l")
    _indexes(shop.cache.root / "apt", root / "apt")
    return root


def _copy(entry: Path, room: Path, *how: str) -> None:
    """Keys hold: an entry is the same by its name."""
    room.mkdir(parents=True, exist_ok=True)
    argv = ["cp", "-a", *how, str(entry), str(room)]
    if subprocess.run(argv, capture_output=True, check=False).returncode:  # another file system has no links
        shutil.rmtree(room / entry.name, ignore_errors=True)
        subprocess.run(["cp", "-a", str(entry), str(room)], check=True)


def _indexes(old: Path, new: Path) -> None:
    """Each apt root, its lists linked (apt replaces them, it does not write to them), its stamp renewed."""
    for root in old.iterdir():
        if (root / "updated").exists():
            shutil.copytree(
                root, new / root.name, ignore=lambda path, names: names if path.endswith(_LISTS) else ()
            )
            for file in (root / _LISTS).iterdir():
                if file.is_file() and file.name != "lock":
                    _link(file, new / root.name / _LISTS / file.name)
            (new / root.name / "updated").touch()


def _link(file: Path, target: Path) -> None:
    try:
        os.link(file, target)
    except OSError:
        shutil.copy2(file, target)
