# SPDX-License-Identifier: GPL-2.0-or-later
"""A program on a terminal of its own, in the sandbox."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from harness.build import lab
from harness.errors import UserError

ROOT = Path(__file__).resolve().parent.parent.parent

CALL = """\
import sys
from harness.build.sandbox import Sandbox
sys.exit(Sandbox().interactive(["sh", "-c", sys.argv[1]]))
"""

INJECT = """\
python3 - <<'END'
import fcntl, os, termios
try:
    terminal = os.open("/dev/tty", os.O_RDWR)
    for c in b"stolen\\n":
        fcntl.ioctl(terminal, termios.TIOCSTI, bytes([c]))
    print("typed")
except OSError as error:
    print("refused", error.errno)
END
"""


def called(script: str, typed: bytes = b"") -> tuple[int, str]:
    """With a terminal of ours in the user's place; what it shows. It is typed when it says that it is ready."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", CALL, script],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        start_new_session=True,
    )
    os.close(theirs)
    said = b""
    try:
        while chunk := os.read(ours, 4096):
            said += chunk
            if b"ready" in said and typed:
                os.write(ours, typed)
                typed = b""
    except OSError:  # EIO: closed
        pass
    status = process.wait(60)
    os.close(ours)
    return status, said.decode().replace("\r\n", "\n")


def test_status_and_what_is_typed() -> None:
    status, said = called("stty -echo; echo ready; read line; echo got $line; exit 7", b"hello\n")
    assert status == 7 and "got hello" in said


def test_it_has_a_terminal_with_job_control() -> None:
    status, said = called("test -t 0 && echo terminal; python3 -c 'import os; print(os.tcgetpgrp(0) > 0)'")
    assert (status, "terminal" in said, "True" in said) == (0, True, True), said


def test_ctrl_c_is_for_the_program() -> None:
    status, said = called("trap 'echo caught; exit 5' INT; echo ready; while :; do sleep 0.1; done", b"\x03")
    assert status == 5 and "caught" in said


def test_what_it_types_is_not_typed_on_the_users_terminal() -> None:
    """TIOCSTI reaches its own terminal alone, which ends with it."""
    ours, theirs = pty.openpty()
    script = [sys.executable, "-P", "-c", CALL, INJECT]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        script, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=ROOT, env=environment
    )
    said, _ = process.communicate(timeout=60)
    os.set_blocking(theirs, False)
    with pytest.raises(BlockingIOError):
        os.read(theirs, 100)
    assert b"typed" in said or b"refused" in said
    os.close(ours)
    os.close(theirs)


def test_a_program_that_is_not_there() -> None:
    status, said = called("exec /nonexistent")
    assert status == 127, said


def test_a_missing_gdb_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(UserError, match="apt-get install gdb-multiarch"):
        lab.need_gdb()
