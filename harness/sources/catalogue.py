# SPDX-License-Identifier: GPL-2.0-or-later
"""Which paths and which setups there are: ``guest-tests/workloads/catalogue.yaml`` and ``setups.yaml``."""

from __future__ import annotations

import fnmatch
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

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
    cpus: int = Field(default=1, ge=1, le=8)
    page_kib: Literal[4, 16, 64] = 4
    ssidsize: int = Field(default=16, ge=0, le=20)
    stall: Literal["off", "on", "force"] = "on"
    iotlb: int = Field(default=65536, ge=0, le=1 << 20)
    httu: Literal["none", "access", "dirty"] = "none"
    btm: Literal["off", "on", "force"] = "off"
    hw_dirty: bool

    @field_validator("stall", "btm", mode="before")
    @classmethod
    def _switch(cls, value: object) -> object:
        """YAML's `on` and `off` are truth values."""
        return {True: "on", False: "off"}[value] if isinstance(value, bool) else value


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
    """Setups by name, separated by commas or blanks; the file's default when none is named.

    ``NAME+key=value+...`` is a setup of the file with some of its fields changed; that is its name, too.
    """
    table = datafile.load(path, _Setups)
    names = select.replace(",", " ").split() or list(table.default)
    return tuple(Setup(name=n, accel=accel, **_row(n, table).model_dump()) for n in dict.fromkeys(names))


def _row(name: str, table: _Setups) -> _SetupRow:
    known, *changes = name.split("+")
    if known not in table.setups:
        raise UserError(f"unknown setup '{known}': {datafile.nearest(known, list(table.setups))}")
    row = table.setups[known].model_dump()
    for change in changes:
        key, equals, value = change.partition("=")
        if not equals or key not in row:
            raise UserError(f"setup '{name}': no field '{key}': {datafile.nearest(key, list(row))}")
        row[key] = int(value) if value.isdecimal() else value
    try:
        return _SetupRow.model_validate(row)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise UserError(f"setup '{name}': {key}={first['input']}: {first['msg']}") from None
