# SPDX-License-Identifier: GPL-2.0-or-later
"""The console's reader, on a real socket pair."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.vm.console import LINE_BYTES, BoundedLog, Console

READY = re.compile(r"faultloop: ready")


class Line:
    """A console under test and QEMU's end of it."""

    def __init__(self, folder: Path, **sizes: int) -> None:
        ours, self.guest = socket.socketpair()
        self.path = folder / "console.log"
        self.console = Console(ours, BoundedLog(self.path, **sizes), watch={"ready": READY})
        self.console.start()

    def log(self) -> bytes:
        self.guest.close()
        self.console.close()
        return self.path.read_bytes()


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    made = Line(tmp_path)
    yield made
    made.guest.close()
    made.console.close(drain=0.1)


def test_log_holds_every_byte_as_it_came(line: Line) -> None:
    sent = b"\x1b[0mboot\r\n\xff\xfe\0half"
    line.guest.sendall(sent)
    assert line.log() == sent


def test_head_is_on_disk_before_the_console_closes(line: Line) -> None:
    line.guest.sendall(b"first words\n")
    assert line.console.wait_for(re.compile("first"), 5) == "first words"
    assert line.path.read_bytes() == b"first words\n"


def test_wait_for_wakes_on_the_line_itself(line: Line) -> None:
    threading.Timer(0.2, line.guest.sendall, [b"x\nfaultloop: ready\n"]).start()
    began = time.monotonic()
    assert line.console.wait_for(READY, 10) == "faultloop: ready"
    assert time.monotonic() - began < 5


def test_wait_for_sees_an_unfinished_line_and_strips_cr(line: Line) -> None:
    line.guest.sendall(b"login\r\n/ # ")
    assert line.console.wait_for(re.compile(r"^/ # $"), 5) == "/ # "
    assert line.console.wait_for(re.compile(r"^login$"), 5) == "login"


def test_wait_for_looks_from_its_mark_on(line: Line) -> None:
    line.guest.sendall(b"sysrq: one\n")
    assert line.console.wait_for(re.compile("sysrq"), 5)
    assert line.console.wait_for(re.compile("sysrq"), 0.1, line.console.lines) is None


def test_wait_for_ends_with_the_console(line: Line) -> None:
    threading.Timer(0.2, line.guest.close).start()
    assert line.console.wait_for(READY, 60) is None
    assert line.console.closed


def test_watched_pattern_outlives_a_flood(line: Line) -> None:
    line.guest.sendall(b"faultloop: ready now\n" + b"x\n" * 20_000 + b"end\n")
    assert line.console.wait_for(re.compile("^end$"), 10)
    assert line.console.seen("ready") == "faultloop: ready now"
    assert "ready" not in line.console.tail(10_000)


def test_silence_is_reset_by_output_and_by_touch(line: Line) -> None:
    time.sleep(0.3)
    assert line.console.silence >= 0.3
    line.guest.sendall(b"alive\n")
    assert line.console.wait_for(re.compile("alive"), 5)
    assert line.console.silence < 0.3
    time.sleep(0.3)
    line.console.touch()
    assert line.console.silence < 0.3


def test_send_types_and_the_reader_goes_on(line: Line) -> None:
    assert line.console.send(b"h")
    assert line.guest.recv(10) == b"h"
    line.guest.sendall(b"heard\n")
    assert line.console.wait_for(re.compile("heard"), 5)


def test_send_to_a_guest_that_does_not_read_is_bounded(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.vm.console._SEND_SECONDS", 0.2)
    while line.console.send(b"x" * 4096):
        pass
    assert not line.console.send(b"x" * 4096)


def test_line_without_end_is_bounded_in_memory(line: Line) -> None:
    line.guest.sendall(b"y" * (LINE_BYTES * 4))
    line.guest.sendall(b"\nend\n")
    assert line.console.wait_for(re.compile("^end$"), 5)
    assert max(len(text) for text in line.console.tail(100).splitlines()) <= LINE_BYTES


def test_flood_keeps_head_and_tail_and_says_what_it_left_out(tmp_path: Path) -> None:
    line = Line(tmp_path, head=1000, tail=500)
    total = 1_000_000
    sent = b"".join(b"%09d\n" % number for number in range(total // 10))
    line.guest.sendall(sent)
    log = line.log()
    head, note, tail = re.split(rb"(\n\[faultloop: \d+ bytes left out here\]\n)", log)
    assert head == sent[:1000]
    assert tail == sent[-500:]
    assert b"%d bytes" % (total - 1500) in note


def test_log_a_little_longer_than_its_head_loses_nothing(tmp_path: Path) -> None:
    line = Line(tmp_path, head=1000, tail=500)
    line.guest.sendall(b"z" * 1400)
    assert line.log() == b"z" * 1400


def test_flood_costs_no_memory(tmp_path: Path) -> None:
    log = BoundedLog(tmp_path / "log", head=1 << 20, tail=1 << 20)
    block = b"all work and no play\n" * 50_000
    for _ in range(100):
        log.write(block)
        assert len(log._tail) <= 3 << 20
    log.close()
    assert (tmp_path / "log").stat().st_size < (2 << 20) + 100


def test_a_console_that_cannot_be_written_is_read_to_its_end_and_told_of_then() -> None:
    """A full disk: nothing of the guest must look hung for it, and no log with a hole counts."""
    ours, theirs = socket.socketpair()
    console = Console(ours, BoundedLog(Path("/dev/full")))
    console.start()
    theirs.sendall(b"one\ntwo\n")
    assert console.wait_for(re.compile("two"), 10)
    theirs.close()
    with pytest.raises(OSError, match="No space left on device"):
        console.close()
    assert console.tail() == "one\ntwo"
