# SPDX-License-Identifier: GPL-2.0-or-later
"""What measures share: the cache's kernel, emulator and guest image, a scratch folder, the command itself."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from harness import layout
from harness.errors import InfrastructureError
from harness.jobs.workshop import Workshop
from harness.model import BuiltKernel, Kernel, Setup, Workload
from harness.sources import catalogue


@dataclass(frozen=True, slots=True)
class Ran:
    """A command that ended."""

    seconds: float
    stdout: str
    stderr: str
    status: int


class Bench:
    """One bench: things are made when a measure first asks for them."""

    def __init__(self, kernel: str = "6.1") -> None:
        self.kernel_name = kernel
        self.project = layout.project()

    @cached_property
    def shop(self) -> Workshop:
        return Workshop()

    @cached_property
    def kernel(self) -> Kernel:
        return self.shop.kernel(self.kernel_name)

    @cached_property
    def base(self) -> BuiltKernel:
        return self.shop.variant(self.kernel)

    @contextmanager
    def scratch(self, name: str) -> Iterator[Path]:
        """A folder on the cache's file system (hard links), gone afterwards."""
        root = self.shop.cache.root / "bench"
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f"{name}-", dir=root, ignore_cleanup_errors=True) as folder:
            yield Path(folder)

    def setups(self, names: str) -> tuple[Setup, ...]:
        """Setups by name; empty: those of every verdict."""
        return catalogue.setups(self.project.setups, names)

    def workloads(self, names: str) -> tuple[Workload, ...]:
        """Workloads by name, glob or family."""
        return catalogue.workloads(self.project.workloads, names)

    def command(
        self,
        words: Sequence[str],
        results: Path,
        *,
        statuses: Sequence[int] = (0,),
        env: Mapping[str, str] | None = None,
    ) -> Ran:
        """``faultloop`` with these words, as a user runs it; InfrastructureError for any other status."""
        where = {"FAULTLOOP_RESULTS": str(results), "FAULTLOOP_HISTORY": str(results / "history.sqlite")}
        return timed([str(self.project.root / "faultloop"), *words], {**where, **(env or {})}, statuses=statuses)


def timed(argv: Sequence[str], env: Mapping[str, str] | None = None, *, statuses: Sequence[int] = (0,)) -> Ran:
    """Run a command to its end and take its wall time."""
    began = time.monotonic()
    done = subprocess.run(
        list(argv),
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    seconds = time.monotonic() - began
    if done.returncode not in statuses:
        tail = "\n".join((done.stdout + done.stderr).splitlines()[-20:])
        raise InfrastructureError(f"{' '.join(argv[:6])}: exit status {done.returncode}", detail=tail)
    return Ran(seconds, done.stdout, done.stderr, done.returncode)


def python() -> str:
    """The interpreter that runs this."""
    return sys.executable
