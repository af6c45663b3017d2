# SPDX-License-Identifier: GPL-2.0-or-later
"""Read ``patches/linux/catalogue.yaml``: which patches of ours there are, and what is expected of each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from harness.errors import UserError
from harness.expected import Expectation
from harness.model import Verdict
from harness.sources import datafile

_Names = tuple[str, ...]
_LISTS = ("mends", "leaves", "breaks", "stale", "corrupts", "invalid", "chance")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Row(_Strict):
    file: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.-]*\.patch$")
    base: str
    title: str
    approach: str
    verdict: Verdict
    mends: _Names
    leaves: _Names
    breaks: _Names
    stale: _Names = ()
    corrupts: _Names = ()
    invalid: _Names = ()
    chance: _Names = ()
    splat: str
    end: Literal["POWEROFF", "PANIC"]
    thread: str
    reason: str
    also: tuple[str, ...] = ()
    cost: Literal["", "va", "asid", "none"] = ""
    uncounted: _Names = ()
    flaw: str = ""
    long: bool = False


class _Catalogue(_Strict):
    sets: dict[str, _Names]
    loops: dict[str, _Names]
    skips: dict[str, _Names]
    damaged: dict[str, _Names] = {}
    uncounted: _Names = ()
    patches: tuple[_Row, ...] = Field(min_length=1)


@dataclass(frozen=True, slots=True)
class Expectations:
    """The whole file, with the names of sets replaced by those of paths."""

    patches: tuple[Expectation, ...]
    sets: Mapping[str, frozenset[str]]
    loops: Mapping[str, frozenset[str]]
    """Series of kernels.yaml -> paths that LOOP on it."""
    skips: Mapping[str, frozenset[str]]
    """Series of kernels.yaml -> paths that are skipped on it."""
    damaged: Mapping[str, frozenset[str]]
    """Series of kernels.yaml -> paths that are CORRUPT on it."""


def load(path: Path, paths: Sequence[str]) -> Expectations:
    """Read the catalogue; ``paths`` are the names of all paths there are.

    UserError when the file is not valid, or names something that there is not.
    """
    data = datafile.load(path, _Catalogue)
    names = _Sets(path, data.sets, paths)
    loops = {base: names.expand(listed, f"loops of {base}") for base, listed in data.loops.items()}
    skips = {base: names.expand(listed, f"skips of {base}") for base, listed in data.skips.items()}
    damaged = {base: names.expand(listed, f"damaged of {base}") for base, listed in data.damaged.items()}
    uncounted = names.expand(data.uncounted, "uncounted")
    found = []
    for row in data.patches:
        if row.base not in loops:
            raise UserError(f"{path}: {row.file}: `loops` says nothing of its base '{row.base}'")
        if row.base not in skips:
            raise UserError(f"{path}: {row.file}: `skips` says nothing of its base '{row.base}'")
        lists = {key: names.expand(getattr(row, key), row.file) for key in _LISTS}
        lists |= {"loops": loops[row.base], "skips": skips[row.base]}
        lists["damaged"] = damaged.get(row.base, frozenset())
        lists["uncounted"] = uncounted | names.expand(row.uncounted, row.file)
        found.append(Expectation(**{**row.model_dump(), **lists}))
    sets = {name: names.expand([name], "") for name in data.sets}
    return Expectations(tuple(found), sets, loops, skips, damaged)


class _Sets:
    """Names of paths and of sets of them."""

    def __init__(self, file: Path, sets: Mapping[str, _Names], paths: Sequence[str]) -> None:
        self._file = file
        self._sets = sets
        self._paths = frozenset(paths)
        twice = sorted(self._paths & set(sets))
        if twice:
            raise UserError(f"{file}: the set '{twice[0]}' has the name of a path")

    def expand(self, listed: Iterable[str], where: str, within: _Names = ()) -> frozenset[str]:
        """The paths that are meant; a set may hold sets. SET@SETUP is each of its paths on that setup."""
        found: set[str] = set()
        for name in listed:
            alone, at, setup = name.partition("@")
            if name in within:
                raise UserError(f"{self._file}: the set '{name}' holds itself")
            if name in self._sets:
                found |= self.expand(self._sets[name], f"set {name}", (*within, name))
            elif at and alone in self._sets:
                found |= {f"{path}@{setup}" for path in self.expand([alone], where, within)}
            elif alone in self._paths:
                found.add(name)
            else:
                near = datafile.nearest(name, [*self._sets, *sorted(self._paths)])
                raise UserError(f"{self._file}: {where}: no path and no set is called '{name}'; {near}")
        return frozenset(found)
