# SPDX-License-Identifier: GPL-2.0-or-later
"""Object trees of a bisection's steps: each step is built from the one that is nearest to it.

A patched variant starts from its base's objects and is thrown away. The commits of a bisection lie between two
ends, and a step is nearer to another step than to an end. So the objects of the last few steps are kept, each
with its *lineage*: every file in which any of its forebears differed from the base's source, with content and
time. Make trusts times only. A file that is in the new step as the objects saw it keeps its time; any other gets
one that is newer than they are, also one that goes back to what the base has.

Steps of one bisection are built from each other's objects, which a commit's Makefile could have poisoned. They
are commits of one tree that its user chose to build; and nothing that was built so answers for another job, since
the keys differ.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import stat
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.build.cache import Cache
from harness.build.variant_tree import Touched
from harness.sources.archive import copy_tree, link_tree

ROOM = "objects"
KEPT = 3
"""Object trees that are kept, 170 to 250 MB each: the ends of the range that is left, and one more."""
_LINEAGE = "lineage.json"
_OUT = "out"
_LINKED = ("vmlinux", "vmlinux.o", "vmlinux.unstripped", ".tmp_vmlinux*")
"""Of an object tree's top: half of its bytes, and linked again from whatever a patch compiles."""
COPIED = ("*", *(f"!{_OUT}/{pattern}" for pattern in _LINKED))
"""Of a base's entry: what a variant's objects are made of."""
_HEADER_WEIGHT = 50
"""A header costs as much as so many other files, at a guess."""

_GDB_HELPERS = "vmlinux-gdb.py"
_NOT_FOR_MODULES = (".o", ".a", ".o.cmd", ".a.cmd", ".syms", ".S")
_TICK = 0.05
"""Seconds by which times of files are apart for sure."""
_AS_BASE = ("base", "")
State = tuple[str, str]
"""Kind and content hash of a file, as in `Touched.identity`; or that above."""


@dataclass(frozen=True, slots=True)
class Lineage:
    """What an object tree was built from."""

    states: Mapping[str, State]
    times: Mapping[str, float]
    """When each of these became what it is, seconds since the epoch."""
    finished: float

    def weight(self, wanted: Mapping[str, State]) -> int:
        """How much is likely to be built anew for a step with these states."""
        return sum(_HEADER_WEIGHT if name.endswith(".h") else 1 for name in self.differing(wanted))

    def differing(self, wanted: Mapping[str, State]) -> list[str]:
        """Names of files that the objects saw otherwise."""
        names = {**self.states, **wanted}
        return sorted(n for n in names if self.states.get(n, _AS_BASE) != wanted.get(n, _AS_BASE))


@dataclass(frozen=True, slots=True)
class Start:
    """Objects to start from."""

    out: Path
    lineage: Lineage

    def lay_out(self, base: Path, fresh: Touched, folder: Path) -> tuple[Touched, Lineage, list[str]]:
        """The touched files in ``folder``, the lineage of what they give, and what the objects saw otherwise.

        To the files of ``fresh`` come those that must be seen to have changed back into the base's.
        """
        wanted = states(fresh)
        moved = self.lineage.differing(wanted)
        now = _after(self.lineage.finished)
        new = {name: wanted.get(name, _AS_BASE) for name in {**self.lineage.states, **wanted}}
        times = {name: self.lineage.times.get(name, 0.0) for name in new} | dict.fromkeys(moved, now)
        copy_tree(fresh.folder, folder)
        for name, state in new.items():
            source = base / name
            if state == _AS_BASE and source.is_file() and not source.is_symlink():
                target = folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target)
                target.chmod(0o755 if source.stat().st_mode & stat.S_IXUSR else 0o644)
        return Touched(folder, fresh.removed), Lineage(new, times, now), moved

    def copy(self, out: Path) -> None:
        """Copy the objects to ``out``, but for what is linked of them."""
        copy_tree(self.out, out, without=_LINKED)


def _after(finished: float) -> float:
    """A time that is later than objects of then, and earlier than those that are about to be made."""
    if 0.0 < finished + _TICK - time.time() < 1.0:
        time.sleep(_TICK)
    return max(time.time(), finished + _TICK)


def states(touched: Touched) -> dict[str, State]:
    """State of each file that a step has otherwise than the base."""
    return {name: (kind, sha) for name, kind, sha in touched.identity()}


def of_base(entry: Path) -> Start:
    """The objects in the entry of a base's build."""
    finished = json.loads((entry / "build.json").read_text(encoding="utf-8"))["finished"]
    return Start(entry / _OUT, Lineage({}, {}, float(finished)))


def moves_config(names: Sequence[str]) -> bool:
    """Whether a change of these files may change what Kconfig makes of our fragments."""
    return any(name.startswith("scripts/") or Path(name).name.startswith("Kconfig") for name in names)


def prune(out: Path) -> None:
    """Drop what external modules do not need from an object tree: 160 MB become 20."""
    for folder, folders, files in os.walk(out):
        here = Path(folder)
        if here == out:
            folders[:] = [name for name in folders if name not in ("include", "scripts")]
        for name in files:
            if name == _GDB_HELPERS:
                continue
            if name.endswith(_NOT_FOR_MODULES) or name.startswith((".tmp_", "vmlinux", "Image")):
                (here / name).unlink()


def in_tree_modules(out: Path) -> list[Path]:
    """Modules of the kernel itself, as its build lists them (``lib/x.ko``, ``lib/x.o`` since 6.3)."""
    listed = out / "modules.order"
    names = listed.read_text(encoding="utf-8").split() if listed.exists() else []
    return [out / Path(name.removeprefix("kernel/")).with_suffix(".ko") for name in names]


class Store:
    """The object trees that were built on one base with one configuration and one toolchain."""

    def __init__(self, cache: Cache, base_key: str) -> None:
        self._cache = cache
        self._base = base_key

    @contextlib.contextmanager
    def nearest(self, fresh: Touched, base: Path) -> Iterator[Start]:
        """The nearest objects: of a step, or those of ``base``, the base's entry. They stay while it is used."""
        wanted = states(fresh)
        start = of_base(base)
        found = [(start.lineage.weight(wanted), 0.0, "", start.lineage)]
        for entry in self._cache.entries(ROOM):
            lineage = self._lineage(entry)
            if lineage is not None:
                found.append((lineage.weight(wanted), -lineage.finished, entry.name, lineage))
        for _, _, key, lineage in sorted(found, key=lambda one: one[:3]):
            if not key:
                yield start
                return
            with self._cache.lock(f"{ROOM}-{key}"):
                entry_now = self._cache.root / ROOM / key
                if self._lineage(entry_now) is not None:
                    yield Start(entry_now / _OUT, lineage)
                    return

    def keep(self, key: str, out: Path, lineage: Lineage) -> None:
        """Keep the objects of a step that was built; the oldest of the base's make room."""

        def maker(folder: Path) -> None:
            link_tree(out, folder / _OUT)
            kept = {
                "base": self._base,
                "finished": time.time(),
                "states": dict(lineage.states),
                "times": dict(lineage.times),
            }
            (folder / _LINEAGE).write_text(json.dumps(kept), encoding="utf-8")

        self._cache.make(ROOM, key, maker)
        mine = [
            (found.finished, entry.name) for entry in self._cache.entries(ROOM) if (found := self._lineage(entry))
        ]
        for _, old in sorted(mine)[:-KEPT]:
            self._cache.remove(ROOM, old)

    def _lineage(self, entry: Path) -> Lineage | None:
        """Of an entry that stands on this base; None for others, and for one that is gone."""
        try:
            kept = json.loads((entry / _LINEAGE).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        if kept["base"] != self._base:
            return None
        known = {name: (state[0], state[1]) for name, state in kept["states"].items()}
        return Lineage(known, kept["times"], kept["finished"])
