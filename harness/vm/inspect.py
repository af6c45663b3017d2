# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest to look into: stopped where a path goes wrong, and handed to a debugger or dumped."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.vm.machine import Guest
from harness.vm.spec import CommandResult, End

LOOP = "LOOP"
STALE = "STALE"
_HELD = {0x4C4F4F50: LOOP, 0x53544C45: STALE}
"""Numbers of the sync points at which ``workloads --hold`` stays (guest-tests/workloads/dma.h)."""
_DUMP_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Stop:
    """Where a guest was stopped."""

    what: str
    """`LOOP` or `STALE`."""
    address: int | None
    """That the device could not get past; None: not told."""


class InspectedGuest(Guest):
    """A guest that stops at the first loop or stale translation. Once stopped it can only be asked over QMP."""

    def run_to_stop(self, argv: Sequence[str]) -> Stop | CommandResult:
        """Run ``workloads --hold PATH``. The guest is stopped when it holds; else the command's result."""
        self._require_life()
        attempt = self._attempt(lambda: self._ssh.run(argv, None))
        self._watch(
            f"`{shlex.join(argv)}`", self.spec.deadlines.command, lambda: bool(self._held()) or attempt.done()
        )
        what = self._held()
        if not what:
            return attempt.result()
        self.stop()
        told = [e.data["address"] for e in self.device_events() if e.name == "SVA_TESTDEV_GAVE_UP"]
        return Stop(what, int(told[-1]) if told and what == LOOP else None)

    def stop(self) -> None:
        """Stop its CPUs. It goes on only if a debugger says so."""
        self._qmp.execute("stop", deadline=self.spec.deadlines.qmp)
        self._end = self._end or End.KILLED

    def gdb_server(self, path: Path) -> None:
        """Serve gdb on a Unix socket; ``path`` has to be short, as such names must (107 bytes)."""
        said = self._qmp.hmp(f"gdbserver unix:{path},server=on,wait=off", deadline=self.spec.deadlines.qmp)
        self.notes.append(said.strip())

    def dump_memory(self, path: Path) -> None:
        """All of its memory and registers, as an ELF core."""
        arguments = {"paging": False, "protocol": f"file:{path}"}
        self._qmp.execute("dump-guest-memory", arguments, deadline=_DUMP_SECONDS)

    def _held(self) -> str:
        numbers = [e.data["number"] for e in self.device_events() if e.name == "SVA_TESTDEV_SYNC"]
        return next((_HELD[number] for number in numbers if number in _HELD), "")
