# SPDX-License-Identifier: GPL-2.0-or-later
"""What guests left: read, judged, and kept for later runs.

A record is cached by content (image, modules, emulator, guest image, setup, workloads): the same guest is not
run twice. Only a guest that ended by itself, or by the kernel's fault, is kept; trouble of the host never is.
An INVALID may have come by chance: it answers for later runs once the path was INVALID in two.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from harness import disk
from harness.build.cache import ALL, Cache
from harness.errors import InfrastructureError
from harness.model import Emulator, GuestImage, GuestRecord, Outcome
from harness.oracle import guest as oracle
from harness.recorded import RawGuest

if TYPE_CHECKING:
    from harness.jobs.guests import GuestJob

RECORD_ROOM = "records"
RECORD_RECIPE = "4"
"""Raised when what a record holds, or how a guest is driven, changes."""

_UNSURE = "unsure"
"""In a record's entry: the paths that were INVALID, one a line, and some of them for the first time."""

_RAW = TypeAdapter(RawGuest)


class Records:
    """Records of guests of one emulator and image; ``fresh`` ignores those of earlier runs."""

    def __init__(self, cache: Cache, emulator: Emulator, image: GuestImage, *, fresh: bool) -> None:
        self._cache = cache
        self._emulator = emulator
        self._image = image
        self._fresh = fresh

    def find(self, job: GuestJob, read: Sequence[str] = ()) -> Path | None:
        """The entry that may answer for the job, its ``read`` files looked through."""
        entry = None if self._fresh else self._cache.get(RECORD_ROOM, self._key(job), read=read)
        return None if entry is None or _unsure(entry) is not None else entry

    def recall(self, job: GuestJob, where: Path) -> bool:
        """Copy the job's record of an earlier run to ``where``; whether there is one."""
        entry = self.find(job, ALL)
        if entry is None:
            return False
        try:
            with disk.told(where.parent, disk.RESULTS):
                _copy(entry / "record", where)
        except OSError:  # shutil.Error is one
            if entry.is_dir():
                raise
            shutil.rmtree(where, ignore_errors=True)  # another run, with --fresh, has just replaced it
            return False
        return True

    def remember(self, job: GuestJob, where: Path) -> None:
        """Keep the record, unless something of ours went wrong in it. A cache that cannot is no end of the run.

        A fresh one takes the place of what was kept: what came by chance must not stay for ever.
        """
        boots, consoles = _boots(where)
        if not keepable(boots):
            return
        key = self._key(job)
        results = oracle.assemble(boots, consoles).results
        invalid = {result.path for result in results if result.outcome is Outcome.INVALID}
        try:
            before = self._cache.get(RECORD_ROOM, key, read=(_UNSURE,))
            waiting = _unsure(before) if before is not None else None
            if self._fresh or waiting is not None:
                self._cache.remove(RECORD_ROOM, key)

            def make(new: Path) -> None:
                _copy(where, new / "record")
                if invalid - (waiting or set()):
                    (new / _UNSURE).write_text("\n".join(sorted(invalid)), encoding="utf-8")

            self._cache.make(RECORD_ROOM, key, make)
        except InfrastructureError as error:
            self._cache.notice(f"note: {job.name} will be run again next time: {error.message}")

    def _key(self, job: GuestJob) -> str:
        what = {
            "recipe": RECORD_RECIPE,
            "image": job.built.image_sha256,
            "kernel": job.built.key,
            "emulator": self._emulator.key,
            "guest": self._image.key,
            "setup": asdict(job.setup),
            "workloads": [w.path for w in job.workloads],
            **({"sites": job.sites} if job.sites else {}),
            **({"also": job.also, "events": job.most_events} if job.also else {}),
        }
        return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()


def keepable(guests: Sequence[RawGuest]) -> bool:
    """Whether a record may answer for later runs: not when trouble of ours, or a time bound, ended any of it.

    A hang is found by a clock, and a starved host looks like one: it is reported once, and run again next time.
    """
    kept_ends = ("POWEROFF", "PANIC", "RESET")
    kept_failures = ("", "PANIC", "STOPPED")
    return all(raw.end in kept_ends and all(run.failure in kept_failures for run in raw.runs) for raw in guests)


def save(raw: RawGuest, logs: Path) -> None:
    """Of one boot: ``guest.json``, and each workload's output."""
    (logs / "guest.json").write_bytes(_RAW.dump_json(raw, indent=1))
    for run in raw.runs:
        (logs / f"{run.path}.ktap").write_text(run.ktap, encoding="utf-8")


def load(where: Path) -> GuestRecord:
    """What the oracle says of a recorded job."""
    return oracle.assemble(*_boots(where))


def console(logs: Path) -> list[str]:
    """The lines of a boot's console."""
    return (logs / "console.log").read_text(encoding="utf-8", errors="replace").splitlines()


def _boots(where: Path) -> tuple[list[RawGuest], list[list[str]]]:
    """What each boot of a job left, and its console."""
    boots = sorted(where.glob("boot-*"))
    return [_RAW.validate_json((logs / "guest.json").read_bytes()) for logs in boots], list(map(console, boots))


def _unsure(entry: Path) -> set[str] | None:
    """The paths that were INVALID in a record that waits for a second one."""
    try:
        return set((entry / _UNSURE).read_text(encoding="utf-8").splitlines())
    except FileNotFoundError:
        return None


def _copy(source: Path, target: Path) -> None:
    shutil.copytree(source, target)
