# SPDX-License-Identifier: GPL-2.0-or-later
"""What a guest died of: read from QMP events, the console and QEMU's own end."""

from __future__ import annotations

import re
import shlex
import threading
from collections.abc import Mapping
from pathlib import Path

from harness import disk
from harness.errors import FaultloopError, GuestError, GuestPanicked, GuestStopped
from harness.vm.console import Console
from harness.vm.process import Process
from harness.vm.qmp import Qmp
from harness.vm.spec import End

# The console's word counts too: a kernel without the pvpanic driver tells nobody else.
WATCH: Mapping[str, re.Pattern[str]] = {
    "panic": re.compile(r"Kernel panic - not syncing"),
    "panic-end": re.compile(r"---\[ end Kernel panic"),
    "blocked": re.compile(r"INFO: task .* blocked for more than"),
}
"""Patterns that the console must watch for."""

_COMPLAINT = re.compile(
    r"\[ cut here \]|Unable to handle kernel|Internal error:|kernel BUG at|Kernel panic - not syncing"
)
_STAMP = re.compile(r"^\[ *\d+\.\d+\]( *\[[TC] *\d+\])? ")
_ENDS = {"guest-shutdown": End.POWEROFF, "guest-reset": End.RESET, "guest-panic": End.PANIC}
"""``reason`` of QMP's SHUTDOWN event (qapi/run-state.json, ShutdownCause)."""

_TRACE_SECONDS = 3.0
_PANIC_LINES = 150
_TAIL_LINES = 60


class Autopsy:
    """Over the parts of one guest; asking it costs nothing while the guest lives."""

    def __init__(
        self, console: Console, qmp: Qmp, process: Process, bell: threading.Condition, logs: Path
    ) -> None:
        """``logs``: where the guest's files are written."""
        self._logs = logs
        self._console = console
        self._qmp = qmp
        self._process = process
        self._bell = bell

    def lost(self) -> bool:
        """The guest has ended, or QEMU has stopped it (a full disk, say)."""
        return self.end() is not None or self._qmp.event("STOP") is not None

    def end(self) -> End | None:
        """How it ended, if it did; a panic goes before the reset that may follow it."""
        if self._qmp.event("GUEST_PANICKED") is not None or self._console.seen("panic") is not None:
            return End.PANIC
        shutdown = self._qmp.event("SHUTDOWN")
        if shutdown is not None:
            return _ENDS.get(str(shutdown.data.get("reason")), End.QEMU_DIED)
        return End.QEMU_DIED if self._process.status is not None else None

    def error(self, what: str, deadline: float) -> FaultloopError:
        """What to raise for a guest that was lost during ``what``. ``deadline`` bounds a QMP command."""
        end = self.end()
        if end is End.PANIC:
            return self._panic(what)
        if end is End.QEMU_DIED:
            return GuestError(f"QEMU ended during {what} ({self._fate()})", detail=self.qemu_said())
        if end is None:
            trouble = self._qmp.event("BLOCK_IO_ERROR")  # qapi/block-core.json
            if trouble is not None and trouble.data.get("nospace"):
                return disk.full(self._logs, f"QEMU stopped the guest during {what}", variable=disk.RESULTS)
            status = self._qmp.execute("query-status", deadline=deadline)["status"]
            return GuestError(f"QEMU stopped the guest during {what}: {status}", detail=self.qemu_said())
        did = "powered off" if end is End.POWEROFF else "reset"
        return GuestStopped(f"the guest {did} during {what}, unasked", detail=self._console.tail(_TAIL_LINES))

    def qemu_said(self) -> str:
        """QEMU's stderr and command line, for the user."""
        said = self._process.stderr() or "(nothing)"
        return f"QEMU's stderr:\n{said}\n\nIts command line:\n{shlex.join(self._process.argv)}"

    def _panic(self, what: str) -> GuestPanicked:
        """pvpanic rings before the kernel has printed all that it will: let it finish."""
        with self._bell:
            self._bell.wait_for(lambda: self._console.seen("panic-end") is not None, _TRACE_SECONDS)
        said = _STAMP.sub("", self._console.seen("panic") or "it said so through pvpanic")
        detail = trace(self._console.tail(_PANIC_LINES))
        return GuestPanicked(f"the guest kernel panicked during {what}: {said}", detail=detail)

    def _fate(self) -> str:
        status = self._process.status
        if status is None:
            return "it was told to quit"
        return f"killed by signal {-status}" if status < 0 else f"exit status {status}"


def trace(text: str) -> str:
    """The end of a console from where its kernel first complained, or all of ``text``."""
    lines = text.splitlines()
    first = next((number for number, line in enumerate(lines) if _COMPLAINT.search(line)), 0)
    return "\n".join(lines[first:])
