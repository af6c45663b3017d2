# SPDX-License-Identifier: GPL-2.0-or-later
"""What a guest's timeline is made of, gathered while its workloads run, and kept beside ``guest.json``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import timeline
from harness.errors import FaultloopError
from harness.oracle import ktap
from harness.oracle import timeline as oracle
from harness.oracle.timeline import RawPath
from harness.timeline import Timeline

if TYPE_CHECKING:
    from harness.vm.machine import Guest


class Recorder:
    """Of one boot."""

    def __init__(self, guest: Guest, most: int = oracle.MOST_EVENTS) -> None:
        self._guest = guest
        self._most = most
        self._raws: list[RawPath] = []
        self._next = 0
        """Sequence number of the first record of the journal that no path has had yet."""

    def take(self, path: str, lines: Sequence[str]) -> list[str]:
        """What ``path`` left: its share of the journal, its own lines. Those of its KTAP are given back.

        A guest that is no more may have left nothing: that is for others to say.
        """
        journal: Mapping[str, Any] = {"lost": 0, "records": []}
        with suppress(FaultloopError):
            journal = self._guest.journal()
        records = tuple(r for r in journal["records"] if int(r["sequence"]) >= self._next)
        lost = max(0, int(journal["lost"]) - self._next)
        if records:
            self._next = int(records[-1]["sequence"]) + 1
        said = [line for line in lines if not line.startswith(oracle.MARK)]
        self._raws.append(
            RawPath(
                path=path,
                lines=tuple(line for line in lines if line.startswith(oracle.MARK)),
                journal=records,
                overwritten=lost,
                facts=ktap.judge(ktap.parse(said)).facts,
            )
        )
        return said

    def timeline(self) -> Timeline:
        """Of all paths so far. The device's own events are looked up now, when all have come."""
        events = [event.data for event in self._guest.device_events()]
        syncs = {int(data["number"]): int(data["time"]) for data in events if "number" in data}
        gave_up = tuple(data for data in events if "stalls" in data)
        raws = [replace(raw, syncs=syncs, gave_up=_during(raw, gave_up)) for raw in self._raws]
        return oracle.merge(raws, most=self._most)

    def write(self, logs: Path) -> None:
        (logs / timeline.FILE).write_bytes(timeline.dump(self.timeline()))


def _during(raw: RawPath, gave_up: Sequence[Mapping[str, Any]]) -> tuple[Mapping[str, Any], ...]:
    """Those that belong to a path: the device gives up after stalls of it, which are in the journal."""
    if not raw.journal:
        return ()
    begin, end = int(raw.journal[0]["time"]), int(raw.journal[-1]["time"])
    return tuple(data for data in gave_up if begin <= int(data["time"]) <= end)
