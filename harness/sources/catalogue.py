# SPDX-License-Identifier: GPL-2.0-or-later
"""Which paths and which setups there are: ``guest-tests/workloads/catalogue.yaml`` and ``setups.yaml``."""

from __future__ import annotations

import fnmatch
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from harness.errors import UserError
from harness.model import Setup, Workload
from harness.sources import datafile


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _WorkloadRow(_Strict):
    path: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    family: str
    what: str
    functions: tuple[str, ...] = ()
    thread: str = ""
    control: bool = False


class _Workloads(_Strict):
    workloads: tuple[_WorkloadRow, ...]


class _SetupRow(_Strict):
    cpu: str
    oas: int = 44
    memory_mib: int = 512
    cpus: int = 2
    ssidsize: int = Field(default=16, ge=0, le=20)
    stall: bool = True
    iotlb: bool = True
    hw_dirty: bool


class _Setups(_Strict):
    default: tuple[str, ...]
    setups: dict[str, _SetupRow]


def workloads(path: Path, select: str = "") -> tuple[Workload, ...]:
    """Rows of the catalogue, in its order; ``select`` holds names or globs, separated by commas or blanks."""
    rows = [Workload(**row.model_dump()) for row in datafile.load(path, _Workloads).workloads]
    wanted = select.replace(",", " ").split()
    if not wanted:
        return tuple(rows)
    names = [row.path for row in rows]
    for pattern in wanted:
        if not fnmatch.filter(names, pattern):
            raise UserError(f"unknown workload '{pattern}': {datafile.nearest(pattern, names)}")
    return tuple(r for r in rows if any(fnmatch.fnmatch(r.path, pattern) for pattern in wanted))


def setups(path: Path, select: str = "", *, accel: str = "tcg") -> tuple[Setup, ...]:
    """Setups by name, separated by commas or blanks; the file's default when none is named."""
    table = datafile.load(path, _Setups)
    names = select.replace(",", " ").split() or list(table.default)
    for name in names:
        if name not in table.setups:
            raise UserError(f"unknown setup '{name}': {datafile.nearest(name, list(table.setups))}")
    return tuple(Setup(name=n, accel=accel, **table.setups[n].model_dump()) for n in dict.fromkeys(names))
