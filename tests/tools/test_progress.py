# SPDX-License-Identifier: GPL-2.0-or-later
"""What the user is told while a run goes on."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from contextlib import suppress
from io import StringIO
from pathlib import Path

import pytest

from harness import progress
from harness.jobs import workshop
from harness.progress import Progress
from harness.shown import printable

ROOT = Path(__file__).resolve().parents[2]


def test_plain_lines_with_the_time_of_the_last_one(tmp_path: Path) -> None:
    memory, out = tmp_path / "t.json", StringIO()
    memory.write_text(json.dumps({"base kernel": 541.2}))
    with Progress(memory, stream=out).step("base kernel") as step:
        step.note = "1114 objects"
    first, last = out.getvalue().splitlines()
    assert first == "base kernel ... (last time 9 min 1 s)"
    assert last.startswith("base kernel: 0.") and last.endswith("1114 objects")
    assert json.loads(memory.read_text())["base kernel"] < 1


def test_what_came_from_the_cache_does_not_change_the_memory(tmp_path: Path) -> None:
    memory = tmp_path / "t.json"
    memory.write_text(json.dumps({"kernel": 100.0}))
    with Progress(memory, stream=StringIO()).step("kernel") as step:
        step.worked = False
    assert json.loads(memory.read_text()) == {"kernel": 100.0}


@pytest.mark.parametrize("content", ["", "{", "[]", '{"kernel": "x"}'])
def test_a_damaged_memory_is_ignored(tmp_path: Path, content: str) -> None:
    memory = tmp_path / "t.json"
    memory.write_text(content)
    with Progress(memory, stream=StringIO()).step("kernel"):
        pass
    assert "kernel" in json.loads(memory.read_text())


def test_terminal_control_never_reaches_the_terminal() -> None:
    assert printable("\x1b[2Jred\x07\n\ttext\x9b") == "\ufffd[2Jred\ufffd\n\ttext\ufffd"


def on_a_terminal(argv: list[str], environment: dict[str, str], columns: int = 100) -> bytes:
    """All that a terminal gets, byte by byte."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    clean = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "COLUMNS", "LINES")}
    env = {**clean, "TERM": "xterm-256color", **environment}
    with subprocess.Popen(argv, stdout=follower, stderr=follower, env=env, cwd=ROOT):
        os.close(follower)
        said = b""
        with suppress(OSError):
            while chunk := os.read(leader, 4096):
                said += chunk
    os.close(leader)
    return said


def lines_on_a_terminal(memory: Path, *, environment: dict[str, str] | None = None) -> list[str]:
    """What a terminal of 100 columns shows of a build of 8 objects, frame by frame, without control sequences."""
    code = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from harness.jobs.workshop import _counting\n"
        "from harness.progress import Progress\n"
        "with Progress(Path(sys.argv[1])).step('base kernel') as step:\n"
        "    tell = _counting(step)\n"
        "    for n in range(8):\n"
        "        tell(f'  CC      mm/{n}.o')\n"
        "        time.sleep(0.06)\n"
        "    step.note = 'done'\n"
    )
    said = on_a_terminal([sys.executable, "-c", code, str(memory)], environment or {})
    if environment:
        return said.decode().splitlines()
    assert b"\x1b[" in said  # it is a live line
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "\n", said.decode())
    return [line.strip() for line in text.replace("\r", "\n").splitlines() if line.strip()]


def test_a_terminal_shows_how_far_it_is(tmp_path: Path) -> None:
    memory = tmp_path / "t.json"
    lines_on_a_terminal(memory)
    assert json.loads(memory.read_text())["objects of base kernel"] == 8
    shown = " ".join(lines_on_a_terminal(memory))
    for told in ("base kernel", " s of about ", " of about 8 objects", "mm/7.o", "\u2501"):
        assert told in shown, told


@pytest.mark.parametrize("plain", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_a_terminal_that_wants_plain_lines_gets_them(plain: dict[str, str], tmp_path: Path) -> None:
    first, last = lines_on_a_terminal(tmp_path / "t.json", environment=plain)
    assert first == "base kernel ..." and re.fullmatch(r"base kernel: \d+\.\d s, done", last)


def test_plain_lines_once_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_SAY_EVERY", 0.0)
    out = StringIO()
    with Progress(stream=out).step("4 guests") as step:
        step.counter(4, "guests")("base/cortex-a57")
    assert re.search(r"^4 guests: 0\.0 s, 1 of 4 guests$", out.getvalue(), re.M)


def test_a_small_build_is_not_taken_for_a_whole_one(tmp_path: Path) -> None:
    memory = tmp_path / "t.json"
    memory.write_text(json.dumps({"kernel": 500.0, "objects of kernel": 960}))
    with Progress(memory, stream=StringIO()).step("kernel") as step:
        step.count(8)
    assert json.loads(memory.read_text()) == {"kernel": 500.0, "objects of kernel": 960}


def test_objects_of_make_and_steps_of_ninja_are_counted() -> None:
    with Progress(stream=StringIO()).step("x") as step:
        tell = workshop._counting(step)
        assert not step.worked
        tell("  CC      mm/memory.o")
        tell("  AR      built-in.a")
        assert step.told().endswith(", 1 objects")
        tell("[12/1234] Compiling C object a.o")
        assert step.told().endswith(", 12 of 1234 steps") and step.worked


@pytest.mark.parametrize("columns", [60, 100])
def test_a_table_fits_the_terminal(columns: int) -> None:
    said = on_a_terminal([sys.executable, "-m", "harness", "workloads"], {}, columns).decode()
    lines = re.sub(r"\x1b\[[0-9;]*m", "", said).splitlines()
    assert len(lines) > 100 and max(map(len, lines)) <= columns
    assert "\x1b[" in said


def test_a_terminal_without_colours() -> None:
    doctor = [sys.executable, "-m", "harness", "doctor"]
    assert b"\x1b[32m" in on_a_terminal(doctor, {})
    assert b"\x1b[3" not in on_a_terminal(doctor, {"NO_COLOR": "1"})
