# SPDX-License-Identifier: GPL-2.0-or-later
"""``faultloop cache``: what the cache holds, and what of it nobody has asked for."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TextIO

from rich.box import SIMPLE
from rich.table import Table

from harness import layout
from harness.build.cache import Cache, drop, last_use
from harness.disk import disk_bytes
from harness.errors import UserError
from harness.report import text

_DAY = 24 * 3600
_MIB = 1 << 20
_ENVIRONMENTS = "venv"
"""The folder of Python's environments, which tools/setup.sh makes, and marks when it hands one out."""
_COMPLETE = ".complete"


@dataclass(frozen=True, slots=True)
class Room:
    """Things of one kind in the cache."""

    name: str
    entries: int
    bytes: int
    """On disk."""
    oldest_use: float
    """Days since the entry was asked for that waits longest."""


def cache(stream: TextIO, *, unused: int | None = None, as_json: bool = False) -> None:
    """Print each room of the cache; with ``unused``, first remove what was not asked for in so many days.

    UserError for less than a day: a run that is going on asks for a thing once.
    """
    if unused is not None and unused < 1:
        raise UserError(f"--remove-unused {unused}: at least 1 day: what runs now has asked for its parts today")
    store = Cache(layout.cache_root())
    removed = _remove(store, unused) if unused is not None else []
    rooms = [_look(kind, kind.entries) for kind in _kinds(store)]
    if as_json:
        told = {"schema": "faultloop/cache/1", "folder": str(store.root)}
        print(
            json.dumps({**told, "rooms": list(map(asdict, rooms)), "removed": list(map(asdict, removed))}),
            file=stream,
        )
        return
    table = Table(box=SIMPLE, pad_edge=False)
    table.add_column("room")
    for column in ("entries", "MiB", "oldest use, days"):
        table.add_column(column, justify="right")
    for room in rooms:
        table.add_row(room.name, str(room.entries), f"{room.bytes / _MIB:.0f}", f"{room.oldest_use:.0f}")
    console = text.console_for(stream, 116)
    console.print(table)
    console.print(f"{store.root}: {_sum(rooms)}", soft_wrap=True)
    if unused is not None:
        console.print(f"removed, not asked for in {unused} days: {_sum(removed)}")


def _sum(rooms: Sequence[Room]) -> str:
    return f"{sum(r.entries for r in rooms)} entries, {sum(r.bytes for r in rooms) / _MIB:.0f} MiB"


@dataclass(frozen=True, slots=True)
class _Kind:
    """Things of one kind: what there is, and how it is asked and removed."""

    name: str
    entries: Sequence[Path]
    use: Callable[[Path], float]
    """When one was last asked for, in seconds of the epoch."""
    remove: Callable[[Path, float], bool]
    """Remove one that nobody asked for since then; whether it is gone."""


def _kinds(store: Cache) -> list[_Kind]:
    """All that the cache holds: entries, and environments, which are none."""

    def remove(entry: Path, since: float) -> bool:
        return store.remove_unused(entry.parent.name, entry.name, since)

    kinds = [_Kind(name, store.entries(name), last_use, remove) for name in store.rooms()]
    environments = sorted(mark.parent for mark in (store.root / _ENVIRONMENTS).glob(f"*/{_COMPLETE}"))
    kinds.append(_Kind(_ENVIRONMENTS, environments, _environment_use, _remove_environment))
    return [kind for kind in kinds if kind.entries]


def _look(kind: _Kind, entries: Sequence[Path]) -> Room:
    now, uses, size, count = time.time(), [0.0], 0, 0
    for entry in entries:
        with contextlib.suppress(FileNotFoundError):  # gone meanwhile
            uses.append((now - kind.use(entry)) / _DAY)
            size += disk_bytes(entry)
            count += 1
    return Room(kind.name, count, size, max(uses))


def _remove(store: Cache, days: int) -> list[Room]:
    """What was removed."""
    since = time.time() - days * _DAY
    return [gone for kind in _kinds(store) if (gone := _remove_of(kind, since)).entries]


def _remove_of(kind: _Kind, since: float) -> Room:
    """What of a kind was removed, of that which nobody asked for after ``since``."""
    gone = []
    for entry in kind.entries:
        with contextlib.suppress(FileNotFoundError):
            if kind.use(entry) < since:
                what = _look(kind, [entry])
                if kind.remove(entry, since):
                    gone.append(what)
    return Room(kind.name, len(gone), sum(r.bytes for r in gone), max((r.oldest_use for r in gone), default=0.0))


def _environment_use(folder: Path) -> float:
    return last_use(folder / _COMPLETE)


def _remove_environment(folder: Path, _: float) -> bool:
    """What an interruption leaves is complete for nobody, and goes with the next removal."""
    if folder.samefile(sys.prefix):
        return False
    drop(folder)
    return True
