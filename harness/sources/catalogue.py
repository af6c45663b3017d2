# SPDX-License-Identifier: GPL-2.0-or-later
"""Which paths and which setups there are: ``guest-tests/workloads/catalogue.yaml`` and ``setups.yaml``."""

from __future__ import annotations

import fnmatch
import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from harness.errors import UserError
from harness.model import MEMORY_MIB, Differs, Outcome, Setup, Workload
from harness.sources import datafile


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


LARGE_MEMORY_MIB = 512
"""Of a guest whose kernel has larger pages, and so larger blocks, or keeps account of memory in memory."""
_MOST_MEMORY_MIB = 8192
"""Of a guest that a stranger's file describes."""
_WITHOUT_16K = frozenset({"cortex-a53", "cortex-a57", "cortex-a72"})
"""ID_AA64MMFR0_EL1.TGran16 is 0: a kernel of 16 KiB pages stops before it can say a word (head.S)."""
_FAMILY = "family:"
_CPU_FIRST = ("-cpu-first", ", but a CPU writes the page before the device does")
_UNCACHED = ("-uncached", ", and the SMMU has not cached its entry before")


class _WorkloadRow(_Strict):
    path: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    family: str
    forms: tuple[Literal["cpu-first", "uncached"], ...] = ()
    what: str
    functions: tuple[str, ...] = ()
    needs: str = ""
    expect: dict[str, Outcome] = {}
    why: str = ""
    unmended: bool = False
    mended: dict[str, str] = {}
    thread: str = ""
    control: bool = False

    def expanded(self, mended: Mapping[str, str]) -> Iterator[Workload]:
        """The path and its forms, in the guest's order."""
        common = self.model_dump(exclude={"path", "forms", "what", "expect", "control", "mended"})
        mended = {} if self.unmended else {**mended, **self.mended}
        by_cpu = [(), *([_CPU_FIRST] if "cpu-first" in self.forms else [])]
        uncached = [(), *([_UNCACHED] if "uncached" in self.forms else [])]
        for second, first in itertools.product(uncached, by_cpu):
            suffixes = [form for form in (first, second) if form]
            yield Workload(
                path=self.path + "".join(suffix for suffix, _ in suffixes),
                what=f"as {self.path}" + "".join(text for _, text in suffixes) if suffixes else self.what,
                expect=_clean(self.expect) if second else self.expect,
                control=self.control or bool(second),
                mended={} if second else {s: mended[s] for s, o in self.expect.items() if o.bad and s in mended},
                **common,
            )


def _clean(expect: dict[str, Outcome]) -> dict[str, Outcome]:
    """A path that loops for want of an invalidation does not if there is nothing to invalidate."""
    return {series: Outcome.PASS if outcome.bad else outcome for series, outcome in expect.items()}


class _DiffersRow(_Strict):
    paths: tuple[str, ...] = Field(min_length=1)
    when: dict[str, tuple[bool | int | str, ...]] = Field(min_length=1)
    expect: Outcome
    why: str


class _Workloads(_Strict):
    mended: dict[str, str] = {}
    workloads: tuple[_WorkloadRow, ...]
    differs: tuple[_DiffersRow, ...] = ()


class _SetupRow(_Strict):
    cpu: str
    oas: int = 44
    memory_mib: int | None = Field(default=None, ge=64)
    cpus: int = Field(default=1, ge=1, le=8)
    page_kib: Literal[4, 16, 64] = 4
    ssidsize: int = Field(default=16, ge=0, le=20)
    stall: Literal["off", "on", "force"] = "on"
    iotlb: int = Field(default=65536, ge=0, le=1 << 20)
    httu: Literal["none", "access", "dirty"] = "none"
    btm: Literal["off", "on", "force"] = "off"
    hw_dirty: bool
    thp: Literal["always", "madvise", "never"] = "madvise"
    contpte: bool = True
    debug: bool = False
    kasan: bool = False

    @field_validator("page_kib")
    @classmethod
    def _had_by_cpu(cls, value: int, info: ValidationInfo) -> int:
        if value == 16 and info.data.get("cpu") in _WITHOUT_16K:
            raise ValueError(f"{info.data['cpu']} has no pages of 16 KiB; cortex-a35 and cortex-a76 have")
        return value

    @field_validator("stall", "btm", mode="before")
    @classmethod
    def _switch(cls, value: object) -> object:
        """YAML's `on` and `off` are truth values."""
        return {True: "on", False: "off"}[value] if isinstance(value, bool) else value

    def setup(self, name: str, accel: str, memory_mib: int = MEMORY_MIB) -> Setup:
        """The machine of that name. Where no memory is given: ``memory_mib``, or more if its kernel needs it."""
        large = self.page_kib > 4 or self.debug or self.kasan
        needed = max(memory_mib, LARGE_MEMORY_MIB) if large else memory_mib
        memory = needed if self.memory_mib is None else self.memory_mib
        return Setup(name=name, accel=accel, **self.model_dump(exclude={"memory_mib"}), memory_mib=memory)


class _Setups(_Strict):
    default: tuple[str, ...]
    sets: dict[str, tuple[str, ...]] = {}
    setups: dict[str, _SetupRow]


def workloads(path: Path, select: str = "") -> tuple[Workload, ...]:
    """Rows of the catalogue, in its order.

    ``select`` holds names, globs or ``family:X``, separated by commas or blanks.
    """
    table = datafile.load(path, _Workloads)
    rows = [one for row in table.workloads for one in row.expanded(table.mended)]
    wanted = select.replace(",", " ").split()
    if not wanted:
        return tuple(rows)
    names = [row.path for row in rows]
    names += sorted({f"{_FAMILY}{row.family}" for row in rows})
    for pattern in wanted:
        if not fnmatch.filter(names, pattern):
            raise UserError(f"unknown workload '{pattern}': {datafile.nearest(pattern, names)}")
    return tuple(r for r in rows if any(_chosen(r, pattern) for pattern in wanted))


def differences(path: Path) -> tuple[Differs, ...]:
    """Where a setup changes what is expected of some paths. UserError when a row is about nothing there is."""
    table = datafile.load(path, _Workloads)
    names = [one.path for row in table.workloads for one in row.expanded({})]
    fields = ("series", *_SetupRow.model_fields)
    for row in table.differs:
        for pattern in row.paths:
            if not fnmatch.filter(names, pattern):
                raise UserError(
                    f"{path}: differs: no path is called '{pattern}'; {datafile.nearest(pattern, names)}"
                )
        for key in row.when:
            if key not in fields:
                raise UserError(f"{path}: differs: no field '{key}'; {datafile.nearest(key, list(fields))}")
    return tuple(Differs(**row.model_dump()) for row in table.differs)


def _chosen(row: Workload, pattern: str) -> bool:
    return fnmatch.fnmatch(row.path, pattern) or fnmatch.fnmatch(f"{_FAMILY}{row.family}", pattern)


def setups(path: Path, select: str = "", *, accel: str = "tcg", memory_mib: int = MEMORY_MIB) -> tuple[Setup, ...]:
    """Setups by name, or by that of a set, separated by commas or blanks; the file's default when none is named.

    ``NAME+key=value+...`` is a setup of the file with some of its fields changed; that is its name, too.
    ``memory_mib`` is what those get that do not say how much they have.
    """
    table = datafile.load(path, _Setups)
    words = select.replace(",", " ").split() or list(table.default)
    names = [name for word in words for name in table.sets.get(word, (word,))]
    return tuple(_row(name, table).setup(name, accel, memory_mib) for name in dict.fromkeys(names))


def checked_setup(given: Setup) -> Setup:
    """A setup that a stranger's file describes, if it could be one of setups.yaml; else UserError."""
    fields = {key: value for key, value in asdict(given).items() if key not in ("name", "accel")}
    try:
        row = _SetupRow.model_validate(fields)
    except ValidationError as error:
        fault = error.errors()[0]
        raise UserError(f"setup: {'.'.join(map(str, fault['loc']))}: {fault['msg']}") from None
    made = row.setup(given.name, given.accel)
    strange = (
        not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+=-]{0,99}", given.name)
        or not re.fullmatch(r"[a-z0-9-]{1,40}", row.cpu)
        or given.accel not in ("tcg", "kvm")
        or made.memory_mib > _MOST_MEMORY_MIB
        or not 0 <= row.oas <= 64
    )
    if strange:
        raise UserError("setup: a name, CPU, accelerator, or a size of memory or address that no setup has")
    return made


def setup_names(path: Path) -> list[tuple[str, str]]:
    """Names that `setups` takes, and what each is: sets first."""
    table = datafile.load(path, _Setups)
    sets = [(name, ", ".join(members)) for name, members in table.sets.items()]
    return [*sets, *((name, row.cpu) for name, row in table.setups.items())]


def _row(name: str, table: _Setups) -> _SetupRow:
    known, *changes = name.split("+")
    if known not in table.setups:
        raise UserError(f"unknown setup '{known}': {datafile.nearest(known, [*table.setups, *table.sets])}")
    row = table.setups[known].model_dump()
    for change in changes:
        key, equals, value = change.partition("=")
        if not equals or key not in row:
            raise UserError(f"setup '{name}': no field '{key}': {datafile.nearest(key, list(row))}")
        row[key] = int(value) if value.isdecimal() else value  # `on` and `off` are pydantic's own words, too
    try:
        return _SetupRow.model_validate(row)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise UserError(f"setup '{name}': {key}={first['input']}: {first['msg']}") from None
