# SPDX-License-Identifier: GPL-2.0-or-later
"""Run a program on a terminal of its own, and pass what is typed and printed on: the user's is not handed over."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import subprocess
import sys
import termios
import tty
from collections.abc import Iterator, Mapping, Sequence

_CHUNK = 1 << 14


TAKE = ("setsid", "--ctty", "--wait")
"""Before a program's argv: standard input becomes the terminal of a session of its own, which Ctrl-C reaches."""


def run(argv: Sequence[str], env: Mapping[str, str], *, keep: int) -> int:
    """``argv`` to its end; its status, negative for a signal. ``keep`` is a descriptor that it inherits."""
    ours, theirs = os.openpty()
    try:
        _copy_size(ours)
        process = subprocess.Popen(
            argv,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            pass_fds=(keep,),
            start_new_session=True,
            env=dict(env),
        )
    except BaseException:
        os.close(ours)
        raise
    finally:
        os.close(theirs)
    try:
        with _raw():
            _relay(process, ours)
        return process.wait()
    finally:
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        os.close(ours)


def _relay(process: subprocess.Popen[bytes], ours: int) -> None:
    """Until the program's side is closed."""
    sources = [ours, 0]
    while ours in sources:
        ready, _, _ = select.select(sources, [], [], 0.5)
        if not ready and process.poll() is not None:
            return
        if ours in ready:
            try:
                said = os.read(ours, _CHUNK)
            except OSError:  # EIO: the last one has closed it
                return
            _write(1, said)
        if 0 in ready:
            typed = os.read(0, _CHUNK)
            if typed:
                _write(ours, typed)
            else:  # end of what is typed, for a program that reads a terminal
                _write(ours, b"\x04")
                sources.remove(0)


def _write(to: int, data: bytes) -> None:
    while data:
        data = data[os.write(to, data) :]


@contextlib.contextmanager
def _raw() -> Iterator[None]:
    """The user's terminal hands each key on, Ctrl-C too; nothing to do where there is none."""
    if not sys.stdin.isatty():
        yield
        return
    before = termios.tcgetattr(0)
    tty.setraw(0, termios.TCSADRAIN)
    try:
        yield
    finally:
        termios.tcsetattr(0, termios.TCSAFLUSH, before)


def _copy_size(to: int) -> None:
    with contextlib.suppress(OSError):
        size = fcntl.ioctl(1, termios.TIOCGWINSZ, b"\0" * 8)
        fcntl.ioctl(to, termios.TIOCSWINSZ, size)
