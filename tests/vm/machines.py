# SPDX-License-Identifier: GPL-2.0-or-later
"""A pool on this machine: a scheduler and workers as processes, each worker with a cache of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.vm.command import ROOT, Called

READY_SECONDS = 60.0
GONE_SECONDS = 40.0


@dataclass
class Machines:
    """Scheduler and workers; all of them, and what they started, are gone when it is closed."""

    folder: Path
    tls: Mapping[str, str] = field(default_factory=dict)
    url: str = ""
    processes: dict[str, subprocess.Popen[str]] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """Of a client."""
        store = (self.folder / "store").as_uri()
        return {"FAULTLOOP_POOL": self.url, "FAULTLOOP_STORE": store, **self.tls}

    def scheduler(self) -> None:
        address = f"{'tls' if self.tls else 'tcp'}://127.0.0.1:0"
        self.url = self._start("scheduler", ["scheduler", address], {})

    def worker(self, name: str, *options: str, root: Path = ROOT, **environment: str) -> None:
        cache = {"FAULTLOOP_CACHE": str(self.folder / f"cache-{name}")}
        words = ["worker", self.url, "--name", name, *(options or ("--guests", "1"))]
        self._start(name, words, {**self.environment, **cache, **environment}, root)

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def below(self, name: str) -> list[psutil.Process]:
        """What a worker has started, and what that has."""
        return list(psutil.Process(self.processes[name].pid).children(recursive=True))

    def emulators(self, name: str) -> list[psutil.Process]:
        return [process for process in self.below(name) if is_emulator(process)]

    def wait_for_guest(self, *names: str) -> dict[str, list[psutil.Process]]:
        """Until each of these workers runs one; their processes."""
        wait(lambda: all(self.emulators(name) for name in names), "no guest came up on a worker")
        return {name: self.below(name) for name in names}

    def close(self) -> None:
        everything = [process for name in self.processes for process in self._below_if_alive(name)]
        for process in reversed(self.processes.values()):
            if process.poll() is None:
                process.terminate()
        for process in self.processes.values():
            process.wait(GONE_SECONDS)
        assert not [p for p in everything if alive(p)], "a worker left processes"

    def _below_if_alive(self, name: str) -> list[psutil.Process]:
        return self.below(name) if self.processes[name].poll() is None else []

    def _start(self, name: str, words: list[str], environment: dict[str, str], root: Path = ROOT) -> str:
        log = self.folder / f"{name}.log"
        with log.open("w") as file:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-P", "-m", "harness", *words],
                cwd=self.folder,
                env={**os.environ, **self.tls, "PYTHONPATH": str(root), **environment},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                text=True,
            )
        wait(lambda: "ready at" in log.read_text() or self.processes[name].poll() is not None, f"no {name}")
        for line in log.read_text().splitlines():
            if line.startswith("ready at "):
                return line.removeprefix("ready at ")
        raise AssertionError(f"{name} did not come up:\n{log.read_text()}")


@contextlib.contextmanager
def machines(folder: Path, *workers: str, tls: Mapping[str, str] | None = None) -> Iterator[Machines]:
    """A scheduler, and workers of these names with room for one guest each."""
    pool = Machines(folder, tls or {})
    try:
        pool.scheduler()
        for name in workers:
            pool.worker(name)
        yield pool
    finally:
        pool.close()


@contextlib.contextmanager
def client(pool: Machines, *words: str, results: Path) -> Iterator[subprocess.Popen[str]]:
    """``faultloop WORDS`` on the pool, while it runs."""
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "harness", *words],
        env={
            **os.environ,
            **pool.environment,
            "PYTHONPATH": str(ROOT),
            "FAULTLOOP_RESULTS": str(results),
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.communicate()


def ended(process: subprocess.Popen[str]) -> Called:
    """A client's end."""
    out, err = process.communicate(timeout=300)
    return Called(process.returncode, out, err)


def alive(process: psutil.Process) -> bool:
    return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)


def is_emulator(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return bool(process.name().startswith("qemu-system"))
    return False


def wait(until: object, otherwise: str, seconds: float = READY_SECONDS) -> None:
    assert callable(until)
    deadline = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.05)


def wait_gone(processes: list[psutil.Process], seconds: float = GONE_SECONDS) -> None:
    """Until none of them is there any more."""
    wait(lambda: not any(alive(p) for p in processes), "processes are left", seconds)
