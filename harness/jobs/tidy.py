# SPDX-License-Identifier: GPL-2.0-or-later
"""``faultloop cache``: what the cache holds, and what of it nobody has asked for."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TextIO

from rich.box import SIMPLE
from rich.table import Table

from harness import layout
from harness.build.cache import Cache, last_use
from harness.disk import disk_bytes
from harness.errors import UserError
from harness.report import text

_DAY = 24 * 3600
_MIB = 1 << 20


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
    rooms = [_look(name, store.entries(name)) for name in store.rooms()]
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


def _look(name: str, entries: Sequence[Path]) -> Room:
    now, uses, size, count = time.time(), [0.0], 0, 0
    for entry in entries:
        with contextlib.suppress(FileNotFoundError):  # gone meanwhile
            uses.append((now - last_use(entry)) / _DAY)
            size += disk_bytes(entry)
            count += 1
    return Room(name, count, size, max(uses))


def _remove(store: Cache, days: int) -> list[Room]:
    """What was removed: each entry by itself."""
    since, gone = time.time() - days * _DAY, []
    for name in store.rooms():
        for entry in store.entries(name):
            with contextlib.suppress(FileNotFoundError):
                if last_use(entry) >= since:
                    continue
            what = _look(name, [entry])
            if store.remove_unused(name, entry.name, since):
                gone.append(what)
    return gone
