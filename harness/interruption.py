# SPDX-License-Identifier: GPL-2.0-or-later
"""Interruptions: SIGINT, SIGTERM and SIGHUP raise KeyboardInterrupt, once, so that every context manager unwinds.

In whatever wait the process is, also when the signal comes just before the system call that waits: it does not
end that call, as the interpreter's own handler only takes a note (trip_signal() in Modules/signalmodule.c) and
nobody reads it before the call is over. So a thread sends the signal again until the note was read.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator

SIGNALS = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
_AGAIN_SECONDS = 0.02


@contextlib.contextmanager
def unwinding(caught: list[int]) -> Iterator[None]:
    """Signals unwind what is done here; ``caught`` gets the number of the first. Later ones change nothing."""
    watch = _Watch(caught)
    try:
        yield
    finally:
        watch.stop()


def unwind() -> None:
    """As :func:`unwinding`, for the rest of this process; also for one that was started with signals held."""
    _Watch([])
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


@contextlib.contextmanager
def held() -> Iterator[None]:
    """Signals wait: what a handler raises in a hook around a fork is lost, and the interruption with it."""
    old = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, old)


class _Watch:
    """Handles the signals, and sends the first one to the main thread again until ``caught`` has it."""

    def __init__(self, caught: list[int]) -> None:
        self._caught = caught
        self._former = {number: signal.signal(number, self._handle) for number in SIGNALS}
        self._main = threading.get_ident()
        self._told, self._tell = os.pipe()
        os.set_blocking(self._tell, False)
        self._thread = threading.Thread(target=self._send, name="signals", daemon=True)
        with held():  # the thread takes none itself: what the main thread holds back must wait
            self._thread.start()
        self._before = signal.set_wakeup_fd(self._tell, warn_on_full_buffer=False)

    def _handle(self, number: int, _frame: object) -> None:
        """Once: Ctrl-C reaches the whole process group, and SIGTERM follows from the parent.

        It stays in place: Python complains of a signal that comes while its handler is taken away.
        """
        if not self._caught:
            self._caught.append(number)
            raise KeyboardInterrupt

    def _send(self) -> None:
        while came := os.read(self._told, 1):
            while came[0] in SIGNALS and not self._caught:
                signal.pthread_kill(self._main, came[0])
                time.sleep(_AGAIN_SECONDS)

    def stop(self) -> None:
        """The former handlers are back, and no signal is under way that would meet them."""
        signal.set_wakeup_fd(self._before)
        os.close(self._tell)
        self._thread.join()
        os.close(self._told)
        for number, former in self._former.items():
            signal.signal(number, former)
