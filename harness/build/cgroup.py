# SPDX-License-Identifier: GPL-2.0-or-later
"""A control group of its own for a command in the sandbox, where this user may make one.

Root is free of RLIMIT_NPROC, so for root this is what bounds the number of processes. Version 2 gives memory and
processes (Linux Documentation/admin-guide/cgroup-v2.rst): the new group lies beside our own or further up, in the
nearest folder that we may write and that passes both controllers on. Of version 1 only ``pids`` is used, below our
own group. A desktop's login session may make none: RLIMIT_NPROC and watch.py are its bounds.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.build.limits import Limits

_NAME = "faultloop-"
_JOIN = 'for d in $0; do echo 0 >"$d/cgroup.procs" || exit 125; done; exec "$@"'
_REMOVE_SECONDS = 5.0
_numbers = itertools.count()


@dataclass(frozen=True, slots=True)
class Place:
    """A folder of a cgroup hierarchy in which groups can be made, and what they can bound there."""

    folder: Path
    controllers: frozenset[str]


@dataclass(frozen=True, slots=True)
class Groups:
    """The groups of one command."""

    folders: tuple[Path, ...]

    def join(self) -> list[str]:
        """The beginning of a command line: the process enters the groups and becomes the rest of the line."""
        return ["sh", "-c", _JOIN, " ".join(map(str, self.folders))] if self.folders else []

    def breaches(self) -> Iterator[tuple[str, str]]:
        """What the kernel has refused because it was too much, each with the limit's name."""
        for folder in self.folders:
            if _count(folder / "pids.events", "max"):
                yield f"started {_text(folder / 'pids.max')} processes", "processes"
            if _count(folder / "memory.events", "oom_kill"):
                yield f"used more than {int(_text(folder / 'memory.max') or 0) >> 20} MiB of memory", "memory"


def places(proc: Path = Path("/proc/self"), writable: int = os.W_OK) -> list[Place]:
    """Where this process may make groups, for each hierarchy that there is."""
    own = [line.split(":", 2) for line in _text(proc / "cgroup").splitlines()]
    found = []
    for mounted, root, kind, options in _mounts(_text(proc / "mountinfo")):
        for _, names, path in own:
            if root != "/" and not path.startswith(root):
                continue
            folder = mounted / path.removeprefix(root).lstrip("/")
            if kind == "cgroup" and names == "pids" and "pids" in options and os.access(folder, writable):
                found.append(Place(folder, frozenset({"pids"})))
            elif kind == "cgroup2" and not names:
                found += _above(folder, mounted, writable)
    return found


def _above(own: Path, mounted: Path, writable: int) -> list[Place]:
    """The nearest folder from ``own`` upwards whose groups have a memory and a pids controller."""
    for folder in (own, *own.parents):
        passed = {"memory", "pids"}.intersection(_text(folder / "cgroup.subtree_control").split())
        if passed == {"memory", "pids"} and os.access(folder, writable):
            return [Place(folder, frozenset(passed))]
        if folder == mounted:
            break
    return []


def _mounts(mountinfo: str) -> Iterator[tuple[Path, str, str, Sequence[str]]]:
    """Mount point, root, type and options of the mounted hierarchies (proc_pid_mountinfo(5))."""
    for line in mountinfo.splitlines():
        words, _, rest = line.partition(" - ")
        kind, _, options = rest.partition(" ")
        if kind in ("cgroup", "cgroup2"):
            fields = words.split()
            yield Path(fields[4]), fields[3], kind, options.split(" ")[-1].split(",")


@contextlib.contextmanager
def groups(limits: Limits) -> Iterator[Groups]:
    """Groups with these bounds for a command; they are removed at the end, when all in them is gone."""
    made: list[Path] = []
    try:
        for place in places():
            _sweep(place.folder)
            folder = place.folder / f"{_NAME}{os.getpid()}-{next(_numbers)}"
            with contextlib.suppress(OSError):
                folder.mkdir()
                made.append(folder)
                _bound(folder, place.controllers, limits)
        yield Groups(tuple(made))
    finally:
        for folder in made:
            _remove(folder)


def _bound(folder: Path, controllers: frozenset[str], limits: Limits) -> None:
    (folder / "pids.max").write_text(f"{limits.hard_processes}\n", encoding="ascii")
    if "memory" in controllers:
        (folder / "memory.max").write_text(f"{limits.memory}\n", encoding="ascii")
        (folder / "memory.oom.group").write_text("1\n", encoding="ascii")
        with contextlib.suppress(OSError):  # not there without swap accounting
            (folder / "memory.swap.max").write_text("0\n", encoding="ascii")


def _remove(folder: Path) -> None:
    """Remove a group. Its processes are killed by now, but a dying one may need a moment."""
    end = time.monotonic() + _REMOVE_SECONDS
    while True:
        try:
            folder.rmdir()
            return
        except FileNotFoundError:
            return
        except OSError:
            if time.monotonic() > end:
                return
            time.sleep(0.01)


def _sweep(folder: Path) -> None:
    """Remove groups of harnesses that were killed."""
    for left in folder.glob(f"{_NAME}*-*"):
        owner = left.name.removeprefix(_NAME).partition("-")[0]
        if owner.isdigit() and not Path("/proc", owner).exists():
            with contextlib.suppress(OSError):
                left.rmdir()


def _count(path: Path, name: str) -> int:
    """A number of a file of ``name number`` lines; 0 if it is not there."""
    rows = (line.split() for line in _text(path).splitlines())
    return next((int(row[1]) for row in rows if len(row) == 2 and row[0] == name and row[1].isdigit()), 0)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
