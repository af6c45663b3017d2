# SPDX-License-Identifier: GPL-2.0-or-later
"""Signals end every wait, and end it once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap

import pytest

EACH = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])

BEGIN = """
import ctypes, operator, os, signal, sys, threading, time
from functools import partial
from harness import interruption
from harness.jobs import pool
number = int(sys.argv[1])
send = partial(getattr(ctypes.CDLL(None), "raise"), number)
def just_before(wait):
    "The signal comes, then the wait begins; no Python code runs between them."
    list(map(operator.call, [send, wait]))
"""


def run(script: str, number: signal.Signals) -> subprocess.CompletedProcess[str]:
    """What a Python of its own does with this script after BEGIN."""
    return subprocess.run(
        [sys.executable, "-c", BEGIN + textwrap.dedent(script), str(int(number))],
        env={**os.environ, "PYTHONPATH": "."},
        capture_output=True,
        text=True,
        timeout=40,
        check=False,
    )


@EACH
def test_a_signal_that_comes_just_before_a_wait_ends_it(number: signal.Signals) -> None:
    done = run(
        """
        caught = []
        try:
            with interruption.unwinding(caught):
                just_before(partial(time.sleep, 60))
        except KeyboardInterrupt:
            print("unwound", caught)
        """,
        number,
    )
    assert (done.stdout, done.stderr) == (f"unwound [{int(number)}]\n", "")


@EACH
def test_in_a_task_as_well(number: signal.Signals) -> None:
    """Forked while the parent's own signals are watched: the parent must not take the task's for its own."""
    done = run(
        """
        def task():
            try:
                just_before(partial(time.sleep, 60))
            finally:
                print("cleaned up", flush=True)
        with interruption.unwinding(caught := []):
            (error,) = pool.run([task], at_once=1)
            time.sleep(0.3)
        print(error.message, caught)
        """,
        number,
    )
    assert done.stdout == "cleaned up\na guest's process ended without a word (status 130) []\n"
    assert done.stderr == ""


def test_what_is_held_waits_for_its_end() -> None:
    """No thread of ours takes a signal that the main thread holds back."""
    done = run(
        """
        try:
            with interruption.unwinding([]):
                with interruption.held():
                    os.kill(os.getpid(), number)
                    end = time.monotonic() + 0.3
                    while time.monotonic() < end:
                        pass
                    print("held to its end", flush=True)
                print("not reached")
        except KeyboardInterrupt:
            print("unwound")
        """,
        signal.SIGTERM,
    )
    assert (done.stdout, done.stderr) == ("held to its end\nunwound\n", "")


def test_only_the_first_unwinds() -> None:
    done = run(
        """
        caught = []
        try:
            with interruption.unwinding(caught):
                try:
                    just_before(partial(time.sleep, 60))
                finally:
                    os.kill(os.getpid(), signal.SIGINT)
                    os.kill(os.getpid(), signal.SIGTERM)
                    time.sleep(0.1)
                    print("cleaned up")
        except KeyboardInterrupt:
            print("unwound", caught == [number])
        """,
        signal.SIGHUP,
    )
    assert (done.stdout, done.stderr) == ("cleaned up\nunwound True\n", "")


def test_nothing_is_left_and_nothing_comes_later() -> None:
    """By the time that the former handlers are back no signal is under way: it would kill the process."""
    done = run(
        """
        files = os.listdir("/proc/self/fd")
        for _ in range(100):
            try:
                with interruption.unwinding([]):
                    os.kill(os.getpid(), number)
                    time.sleep(60)
            except KeyboardInterrupt:
                pass
        slow = signal.pthread_kill
        signal.pthread_kill = lambda *sent: (time.sleep(0.1), slow(*sent))
        try:
            with interruption.unwinding([]):
                just_before(partial(time.sleep, 0.05))  # handled after this, while the thread still sends
        except KeyboardInterrupt:
            pass
        time.sleep(0.1)
        print(threading.active_count(), signal.set_wakeup_fd(-1), os.listdir("/proc/self/fd") == files)
        print(signal.getsignal(number) == signal.SIG_DFL)
        """,
        signal.SIGTERM,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "1 -1 True\nTrue\n", "")
