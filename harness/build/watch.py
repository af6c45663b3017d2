# SPDX-License-Identifier: GPL-2.0-or-later
"""Look after a command in the sandbox while it runs, and end it when it uses more than it may.

Some bounds the kernel keeps (sandbox.py sets them): the size of a file, of /tmp, of a process; the number of
processes. The sums it does not keep for everyone: memory of all processes, space of all files. They are looked at
four times a second, so a command can overshoot by what it gets hold of in that time; below a reserve of the host's
disk and memory it is ended whatever it used itself. And it is the kernel's first victim when memory runs out.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from harness import disk
from harness.build.cgroup import Groups
from harness.build.limits import VARIABLE, Limits

_EVERY_SECONDS = 0.25
_MIB = 1 << 20
_DISK_RESERVE = 512 * _MIB
_MEMORY_RESERVE = 256 * _MIB
_DEEPEST = 100
"""Folders within each other; a kernel has 12."""
_LOOK_AGAIN_BYTES = 256 * _MIB
_LOOK_AGAIN_FILES = 100_000
"""Folders are measured when the disk holds so much more than at the last time: a walk takes a while."""


class Watch:
    """Of one command. ``breach`` says, once it was ended, what was too much; ``limit`` is that limit's name."""

    def __init__(
        self,
        limits: Limits,
        folders: Sequence[Path],
        groups: Groups,
        status: Callable[[], bytes],
        kill: Callable[[], None],
    ) -> None:
        """``status`` gives what bubblewrap has reported so far; ``kill`` ends the command."""
        self.breach = self.limit = ""
        self._limits = limits
        self._folders = [_Folder(folder, limits) for folder in folders if folder.is_dir()]
        self._groups = groups
        self._status = status
        self._kill = kill
        self._printed = self._lines = 0
        self._namespace = ""
        self._done = threading.Event()
        self._began = time.monotonic()
        self._thread = threading.Thread(target=self._look, name="sandbox watch", daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        # Also what came after the last look; whoever reads the folders now must come to an end.
        self._check(self._groups.breaches())
        for folder in self._folders:
            self._check(folder.contents())

    def printed(self, count: int) -> None:
        """The command printed ``count`` bytes more, in one line."""
        self._printed += count
        self._lines += 1
        # A line costs memory of its own, even when it is empty.
        if self._printed > self._limits.output or self._lines * 64 > self._limits.output:
            self._end(f"printed more than {self._limits.output // _MIB} MiB", "output")

    def _look(self) -> None:
        try:
            self._look_until_done()
        finally:
            if not self._done.is_set():  # an error in here must not leave it unwatched
                self._end("could not be watched any more", "")

    def _look_until_done(self) -> None:
        limits = self._limits
        while True:
            left = limits.seconds - (time.monotonic() - self._began)
            if self._done.wait(max(0.0, min(_EVERY_SECONDS, left))):
                return
            if left <= 0:
                self._end(f"not done after {_span(limits.seconds)}", "" if limits.time_is_ours else "hours")
            for folder in self._folders:
                self._check(folder.breaches())
            self._check(self._groups.breaches())
            self._check(self._processes())
            if self.breach:
                return

    def _check(self, breaches: Iterable[tuple[str, str]]) -> None:
        for what, limit in breaches:
            self._end(what, limit)

    def _processes(self) -> Iterator[tuple[str, str]]:
        self._namespace = self._namespace or _namespace(self._status())
        tasks = used = 0
        for process in _members(self._namespace) if self._namespace else ():
            threads, held = _usage(process)
            tasks += threads
            used += held
        if tasks > self._limits.processes:
            yield f"started more than {self._limits.processes} processes", "processes"
        if used > self._limits.memory:
            yield f"used more than {self._limits.memory / (1 << 30):.1f} GiB of memory", "memory"
        if (free := available_memory()) is not None and free < _MEMORY_RESERVE:
            yield f"the host had only {free // _MIB} MiB of memory left while it ran", ""

    def _end(self, what: str, limit: str) -> None:
        if not self.breach:
            self.limit = limit
            self.breach = f"{what}, and was stopped" + (f" ({VARIABLE}={limit}=... allows more)" if limit else "")
            self._kill()


class _Folder:
    """A folder that the command may write."""

    def __init__(self, path: Path, limits: Limits) -> None:
        self._path = path
        self._limits = limits
        self._bytes, self._files = self._left()
        self._short = self._bytes < _DISK_RESERVE

    def breaches(self) -> Iterator[tuple[str, str]]:
        """What is too much here now, with the name of the limit."""
        left_bytes, left_files = self._left()
        if left_bytes < _DISK_RESERVE and not self._short:
            left = f"only {left_bytes // _MIB} MiB of the disk were left while it ran"
            yield f"{self._path}: no space left: {left}; make room, or name another folder in {disk.CACHE}", ""
        margin = min(_LOOK_AGAIN_BYTES, self._limits.disk // 4), min(_LOOK_AGAIN_FILES, self._limits.files // 4)
        if self._bytes - left_bytes < margin[0] and self._files - left_files < margin[1]:
            return
        self._bytes, self._files = left_bytes, left_files
        yield from self.contents()

    def contents(self) -> Iterator[tuple[str, str]]:
        """What of the limits its contents pass."""
        size, count, depth = measure(self._path)
        if size > self._limits.disk:
            yield f"wrote more than {self._limits.disk / (1 << 30):.1f} GiB", "disk"
        if count > self._limits.files:
            yield f"wrote more than {self._limits.files} files", "files"
        if depth > _DEEPEST:
            yield f"put folders into folders, more than {_DEEPEST} deep", ""

    def _left(self) -> tuple[int, int]:
        found = os.statvfs(self._path)
        return found.f_bavail * found.f_frsize, found.f_ffree


def measure(folder: Path) -> tuple[int, int, int]:
    """Bytes, number of entries and depth of what is below ``folder``; what vanishes meanwhile does not count.

    A file counts with its length, also where it has holes: they are read like all else. Nothing below `_DEEPEST`
    is looked at: names get too long there, for this and for all that would read it later.
    """
    size = count = deepest = 0
    todo = [(str(folder), 1)]
    while todo:
        path, depth = todo.pop()
        deepest = max(deepest, depth)
        if depth > _DEEPEST:
            continue
        with contextlib.suppress(OSError), os.scandir(path) as found:
            for item in found:
                count += 1
                with contextlib.suppress(OSError):
                    known = item.stat(follow_symlinks=False)
                    size += max(known.st_size, known.st_blocks * 512)
                    if item.is_dir(follow_symlinks=False):
                        todo.append((item.path, depth + 1))
    return size, count, deepest


def available_memory() -> int | None:
    """Bytes that the host can still give out without swapping; None if it does not say."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        text = Path("/proc/meminfo").read_text(encoding="ascii")
        return int(text.partition("MemAvailable:")[2].split()[0]) << 10
    return None


def _namespace(status: bytes) -> str:
    """``pid:[4026532181]`` of what bubblewrap reports first; empty before it has."""
    with contextlib.suppress(ValueError):
        first = json.loads(status.partition(b"\n")[0])
        if isinstance(first, dict) and "pid-namespace" in first:
            return f"pid:[{first['pid-namespace']}]"
    return ""


def _members(namespace: str) -> Iterable[str]:
    """Folders in /proc of the processes of a PID namespace."""
    with os.scandir("/proc") as found:
        for item in found:
            if item.name.isdigit():
                with contextlib.suppress(OSError):
                    if str(Path(item.path, "ns/pid").readlink()) == namespace:
                        yield item.path


def _usage(process: str) -> tuple[int, int]:
    """Threads, and bytes of memory that are not a file's, of a process."""
    tasks = held = 0
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path(process, "status").read_text(encoding="utf-8", errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name in ("RssAnon", "RssShmem"):
                held += int(value.split()[0]) << 10
            elif name == "Threads":
                tasks = int(value)
    return tasks, held


def _span(seconds: float) -> str:
    return f"{seconds / 3600:g} h" if seconds >= 3600 else f"{seconds:g} s"
