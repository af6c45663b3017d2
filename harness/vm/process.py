# SPDX-License-Identifier: GPL-2.0-or-later
"""QEMU as a child that cannot outlive the harness (see mortal.py).

One thread makes QEMU and then does nothing but wait for it: that thread ends after QEMU, or with the harness,
however that ends (SIGKILL too).
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from harness import mortal
from harness.errors import GuestError

_TAIL_BYTES = 8192


class Process:
    """One QEMU: started by :meth:`start`, killed and reaped by :meth:`close`. ``bell`` rings when it ends."""

    def __init__(
        self, argv: Sequence[str], *, pass_fds: Sequence[int], stderr: Path, bell: threading.Condition
    ) -> None:
        self.argv = tuple(argv)
        self._pass_fds = tuple(pass_fds)
        self._stderr = stderr
        self._bell = bell
        self._thread = threading.Thread(target=self._live, name="qemu", daemon=True)
        self._pid = 0
        self._pidfd = -1
        self._failure: OSError | None = None
        self._doomed = False
        self._status: int | None = None

    @property
    def pid(self) -> int:
        """Of QEMU itself: the guard replaces itself by it."""
        return self._pid

    @property
    def status(self) -> int | None:
        """Exit status, negative for a signal; None while it lives."""
        return self._status

    def start(self) -> None:
        """Return when the child exists; GuestError when it cannot be made."""
        self._thread.start()
        with self._bell:
            self._bell.wait_for(lambda: bool(self._pid) or self._failure is not None)
        if self._failure is not None:
            missing = isinstance(self._failure, FileNotFoundError)
            way_out = f"; {mortal.MISSING}" if missing else ""
            raise GuestError(f"cannot start QEMU: {self._failure}{way_out}")

    def starved(self) -> float:
        """Seconds since its start that its most neglected thread has waited for a host CPU; 0 if unknown."""
        waited = [0]
        with suppress(OSError, ValueError, IndexError):
            for stat in Path(f"/proc/{self._pid}/task").glob("*/schedstat"):
                waited.append(int(stat.read_text().split()[1]))
        return max(waited) / 1e9

    def stderr(self) -> str:
        """The last that QEMU printed."""
        with suppress(FileNotFoundError):
            return self._stderr.read_bytes()[-_TAIL_BYTES:].decode(errors="replace").strip()
        return ""

    def wait(self, seconds: float) -> bool:
        """Whether it has ended, after at most ``seconds``."""
        with self._bell:
            return self._bell.wait_for(lambda: self._status is not None, seconds)

    def close(self) -> None:
        """Kill it if it lives, and reap it. May be called twice, and before or during :meth:`start`."""
        with self._bell:
            self._doomed = True
            self._kill()
        if self._thread.ident is not None:
            self._thread.join()

    def _kill(self) -> None:
        if self._pidfd >= 0:
            # A pidfd never names another process that got the same pid after QEMU was reaped.
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def _live(self) -> None:
        try:
            with self._stderr.open("wb") as stderr:
                child = subprocess.Popen(
                    [*mortal.GUARD, str(os.getpid()), *self.argv],
                    stdin=subprocess.DEVNULL,
                    stdout=stderr,
                    stderr=stderr,
                    env={**os.environ, "TMPDIR": str(self._stderr.parent)},
                    pass_fds=self._pass_fds,
                    start_new_session=True,
                )
        except OSError as error:
            with self._bell:
                self._failure = error
                self._bell.notify_all()
            return
        with self._bell:
            self._pid = child.pid
            self._pidfd = os.pidfd_open(child.pid)
            if self._doomed:
                self._kill()
            self._bell.notify_all()
        status = child.wait()
        # The overlay of snapshot=on has a name for the moment between QEMU's mkstemp() and its unlink().
        for left in self._stderr.parent.glob("vl.*"):
            left.unlink(missing_ok=True)
        with self._bell:
            os.close(self._pidfd)
            self._pidfd = -1
            self._status = status
            self._bell.notify_all()
