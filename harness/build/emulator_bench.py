# SPDX-License-Identifier: GPL-2.0-or-later
"""The emulator's source and objects, to change and to build again, for what breaks the model on purpose."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness.build import emulator
from harness.build.cache import need_space

_NEED_GIB = 1.0


@dataclass(frozen=True, slots=True)
class Bench:
    """See the module. ``source`` may be written to."""

    job: emulator.Job
    trees: emulator.Trees

    @property
    def source(self) -> Path:
        return self.trees.source

    def build(self, *targets: str) -> Path:
        """Bring ``targets`` up to date, or the emulator; its build folder. InfrastructureError if it fails."""
        ninja = ["ninja", f"-j{self.job.jobs}", *(targets or (emulator.BINARY,))]
        self.job.run(ninja, self.trees.binds, self.trees.log)
        return self.trees.build


@contextmanager
def bench(job: emulator.Job) -> Iterator[Bench]:
    """A bench for the length of the block, in the cache's folder: it takes hundreds of MB."""
    need_space(job.cache.root, _NEED_GIB, "a source and build tree of QEMU")
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir=job.cache.root))
    try:
        yield Bench(job, emulator.lay_out(job, folder))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
