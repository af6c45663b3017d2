# SPDX-License-Identifier: GPL-2.0-or-later
"""Nothing is left: what the host held before a test against what it holds afterwards.

Looked at are processes, mounts, listening ports, locks and half-made entries of the cache, control groups,
temporary files and half-written results. The test process is made the reaper of orphans, so that whatever a
command leaves running shows up as its child. Other users of the same cache and host are left out: what they hold
is theirs.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

from harness.build import cgroup
from harness.layout import cache_root
from tests.vm.command import ROOT, Called

PATIENCE = 10.0
"""Seconds that what has been killed, or lost its parent, may take to go."""
SECONDS = 300.0
"""That a phase of a command may take to come."""

_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h


@dataclass(frozen=True)
class Host:
    """What there is of each kind, each as one line for a person."""

    processes: frozenset[str]
    ports: frozenset[str]
    """Listening, held by the test process or what is below it."""
    mounts: frozenset[str]
    locks: frozenset[str]
    """Of the cache, held by the test process, what is below it, or a process that is gone."""
    cache: frozenset[str]
    """Half-made entries that nobody is making."""
    groups: frozenset[str]
    """Control groups of a harness that is gone."""
    temporary: frozenset[str]
    results: frozenset[str]
    """Half-written."""

    @classmethod
    def now(cls, place: Place) -> Host:
        ours = [psutil.Process(), *below()]
        return cls(
            processes=frozenset(filter(None, map(alive, ours[1:]))),
            ports=frozenset(port for process in ours for port in _ports(process)),
            mounts=frozenset(_mounts(place)),
            locks=frozenset(_locks(place.cache, {process.pid for process in ours})),
            cache=frozenset(_half_made(place.cache)),
            groups=frozenset(_groups()),
            temporary=frozenset(str(path) for path in place.temporary.iterdir()),
            results=frozenset(str(path) for path in place.results.glob(".[!h]*") if path.suffix != ".lock"),
        )

    def beyond(self, before: Host) -> list[str]:
        """What is here and was not there before."""
        found = []
        for kind in fields(self):
            new = getattr(self, kind.name) - getattr(before, kind.name)
            found += [f"{kind.name}: {line}" for line in sorted(new)]
        return found


@dataclass
class Place:
    """Where the commands of a test run: a folder of their own for results and for temporary files."""

    folder: Path
    cache: Path
    started: list[Command] = field(default_factory=list)

    @property
    def results(self) -> Path:
        return self.folder / "results"

    @property
    def temporary(self) -> Path:
        return self.folder / "tmp"

    @property
    def environment(self) -> dict[str, str]:
        return {
            "FAULTLOOP_RESULTS": str(self.results),
            "FAULTLOOP_CACHE": str(self.cache),
            "TMPDIR": str(self.temporary),
            "PYTHONPATH": str(ROOT),
        }

    def start(
        self, *words: str | Path, until: str = "", behind: Sequence[str] = (), **environment: str
    ) -> Command:
        """``faultloop WORDS``, returned when it runs, or when it has said ``until`` on standard error.

        ``behind``: the beginning of the command line, of a program that runs the rest of it.
        """
        name = self.folder / f"command-{len(self.started)}"
        argv = [*behind, sys.executable, "-P", "-m", "harness", *map(str, words)]
        with name.with_suffix(".out").open("w") as out, name.with_suffix(".err").open("w") as err:
            process = subprocess.Popen(
                argv,
                cwd=ROOT,
                env={**os.environ, **self.environment, **environment},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )
        command = Command(process, name)
        self.started.append(command)
        if until:
            wait(lambda: until in command.said or process.poll() is not None, f"never said {until!r}")
            assert until in command.said, f"ended (status {process.returncode}) without it:\n{command.said}"
        return command

    def run(self, *words: str | Path, behind: Sequence[str] = (), **environment: str) -> Called:
        """``faultloop WORDS`` to its end."""
        return self.start(*words, behind=behind, **environment).end()


@dataclass(frozen=True)
class Command:
    """``faultloop`` while it runs. Its output goes to files: nobody has to read for it to go on."""

    process: subprocess.Popen[bytes]
    name: Path

    @property
    def said(self) -> str:
        """On standard error, so far."""
        return self.name.with_suffix(".err").read_text(errors="replace")

    def end(self, seconds: float = 600.0) -> Called:
        """Wait for it."""
        self.process.wait(seconds)
        out = self.name.with_suffix(".out").read_text(errors="replace")
        return Called(self.process.returncode, out, self.said)


@contextlib.contextmanager
def nothing_left(folder: Path, *, cache: Path | None = None) -> Iterator[Place]:
    """A place for commands; AssertionError when, at the end, something is left of them."""
    place = Place(folder, cache or cache_root())
    place.temporary.mkdir(parents=True, exist_ok=True)
    with reaper():
        before = Host.now(place)
        yield place
        for command in place.started:
            command.process.wait(SECONDS)
        deadline = time.monotonic() + PATIENCE
        while (left := Host.now(place).beyond(before)) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not left, "is left:\n" + "\n".join(left)


@contextlib.contextmanager
def reaper() -> Iterator[None]:
    """Orphans of a command become children of this process; what a failed test left ends with it."""
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    before = {process.pid for process in below()}
    try:
        yield
    finally:
        while left := [p for p in below() if p.pid not in before and alive(p)]:
            for process in left:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            time.sleep(0.05)
        libc.prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


def below() -> list[psutil.Process]:
    """Processes that this one has started, and what those have."""
    return list(psutil.Process().children(recursive=True))


def wait_for(name: str, seconds: float = SECONDS) -> psutil.Process:
    """Until a process whose name begins so runs below this one; one that has ended is none."""
    found: list[psutil.Process] = []

    def look() -> bool:
        for process in below():
            with contextlib.suppress(psutil.NoSuchProcess):
                if process.name().startswith(name) and alive(process):
                    found.append(process)
        return bool(found)

    wait(look, f"no {name} came up", seconds)
    return found[0]


def wait(until: Callable[[], object], otherwise: str, seconds: float = SECONDS) -> None:
    """Until it is true; AssertionError when it does not become so."""
    deadline = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.02)


def alive(process: psutil.Process) -> str:
    """Number and command line of a process; empty when it has ended."""
    with contextlib.suppress(psutil.NoSuchProcess):
        if process.status() != psutil.STATUS_ZOMBIE:
            return f"{process.pid} {' '.join(process.cmdline()) or process.name()}"
    return ""


def _ports(process: psutil.Process) -> Iterator[str]:
    with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        for socket in process.net_connections("inet"):
            if socket.status == psutil.CONN_LISTEN:
                yield f"{socket.laddr.ip}:{socket.laddr.port}"


def _mounts(place: Place) -> Iterator[str]:
    """Below the folders of the place: elsewhere it may be anybody's."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        if any(line.split()[1].startswith(f"{folder}/") for folder in (place.folder, place.cache)):
            yield line


def _locks(cache: Path, ours: set[int]) -> Iterator[str]:
    """proc_locks(5): ``1: FLOCK ADVISORY WRITE PID MAJOR:MINOR:INODE 0 EOF``."""
    names = {file.stat().st_ino: file.name for file in (cache / "locks").glob("*.lock")}
    for line in Path("/proc/locks").read_text().splitlines():
        words = line.replace("-> ", "").split()
        pid, inode = int(words[4]), int(words[5].rpartition(":")[2])
        if inode in names and (pid in ours or (pid > 0 and not psutil.pid_exists(pid))):
            yield names[inode]


def _half_made(cache: Path) -> Iterator[str]:
    """A room that is a link is lent by another cache: what is in it is others'."""
    for path in [*cache.glob(".*"), *cache.glob("*/.*"), *cache.glob("apply-*")]:
        if not path.parent.is_symlink() and not _in_the_making(cache, path):
            yield str(path)


def _in_the_making(cache: Path, entry: Path) -> bool:
    """Whoever makes an entry, here or elsewhere, holds its lock."""
    lock = cache / "locks" / f"{entry.parent.name}-{entry.name.removeprefix('.tmp-')}.lock"
    if not lock.exists():
        return False
    try:
        with FileLock(lock).acquire(blocking=False):
            return False
    except Timeout:
        return True


def _groups() -> Iterator[str]:
    for place in cgroup.places():
        for group in place.folder.glob("faultloop-*-*"):
            owner = group.name.split("-")[1]
            if owner.isdigit() and not psutil.pid_exists(int(owner)):
                yield str(group)
