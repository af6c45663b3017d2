# SPDX-License-Identifier: GPL-2.0-or-later
"""Which of Linux's own tests are run bound to the device: ``guest-tests/selftests/selftests.yaml``."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from harness.errors import UserError
from harness.model import Outcome
from harness.sources import datafile


class Selftest(BaseModel):
    """A row."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    program: str = Field(pattern=r"^[A-Za-z0-9_-]+$")
    argv: tuple[str, ...] = ()
    before: str = ""
    series: str = Field(default="", pattern=r"^(?:\d+\.\d+)?$")
    cpus: int = Field(default=1, ge=1, le=8)
    nodes: int = Field(default=1, ge=1, le=4)
    seconds: int = Field(default=600, ge=1, le=3600)
    long: bool = False
    expect: dict[str, Outcome] = Field(min_length=1)
    why: str = Field(min_length=1)

    def too_new_for(self, version: str) -> bool:
        """Whether the kernel of that version is older than what this test needs."""
        return bool(self.series) and _numbers(version) < _numbers(self.series)

    def expected(self, version: str) -> Outcome:
        """What the row says of the newest series that is not newer than this kernel, or else of its oldest."""
        known = sorted(self.expect, key=_numbers)
        return self.expect[next((s for s in reversed(known) if _numbers(s) <= _numbers(version)), known[0])]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid")

    tests: tuple[Selftest, ...]


def load(path: Path, names: Sequence[str] = ()) -> tuple[Selftest, ...]:
    """Rows that ``names`` (globs) choose; without any, all that do not take long. UserError: unknown name."""
    rows = datafile.load(path, _Table).tests
    if not names:
        return tuple(row for row in rows if not row.long)
    known = [row.name for row in rows]
    for name in names:
        if not fnmatch.filter(known, name):
            raise UserError(f"unknown selftest '{name}': {datafile.nearest(name, known)}")
    return tuple(row for row in rows if any(fnmatch.fnmatch(row.name, name) for name in names))


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("-")[0].split(".")[:2] if part.isdecimal())
