# SPDX-License-Identifier: GPL-2.0-or-later
"""SSH sessions against a server in this process, on a real TCP connection of the loopback interface."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import paramiko
import pytest
from paramiko.common import AUTH_FAILED, AUTH_SUCCESSFUL, OPEN_SUCCEEDED
from paramiko.sftp import SFTP_NO_SUCH_FILE, SFTP_OK

from harness.errors import GuestError
from harness.vm import shell
from harness.vm import ssh as module
from harness.vm.ssh import Ssh
from tests.unit.fake_guest import Keys
from tests.unit.fake_shell import serve

if TYPE_CHECKING:
    from typing_extensions import Buffer

ROOT = Path(__file__).parents[2]


class Server(paramiko.ServerInterface):
    """Answers each command by ``answer``, in a thread of its own."""

    def __init__(self, keys: Keys) -> None:
        self.keys = keys
        self.commands: list[str] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self.listener.getsockname()[1])
        self.transport: paramiko.Transport | None = None
        self.resets = 0
        self.shells = 0
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self) -> None:
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            if self.resets:
                self.resets -= 1
                sock.close()
                continue
            self.transport = paramiko.Transport(sock)
            self.transport.add_server_key(paramiko.Ed25519Key(filename=str(self.keys.host)))
            self.transport.set_subsystem_handler("sftp", paramiko.SFTPServer, Files)
            with suppress(EOFError):  # a client that leaves
                self.transport.start_server(server=self)

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return OPEN_SUCCEEDED

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        wanted = paramiko.Ed25519Key(filename=str(self.keys.client))
        return AUTH_SUCCESSFUL if (username, key) == ("root", wanted) else AUTH_FAILED

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        self.shells += 1
        threading.Thread(target=serve, args=[channel, command, self.answer], daemon=True).start()
        return True

    def answer(self, channel: paramiko.Channel, line: str) -> int | None:
        self.commands.append(line)
        words = line.split()
        if words[0] == "both":
            # More than a window on each stream: a client that reads one of them only waits for ever.
            for _ in range(int(words[1])):
                channel.sendall(b"o" * 1023 + b"\n")
                channel.sendall_stderr(b"e" * 1023 + b"\n")
        elif words[0] == "lines":
            for part in (b"one\ntw", b"o\n", b"\xff\n", b"last"):
                channel.sendall(part)
                time.sleep(0.05)
        elif words[0] == "lose":
            assert self.transport is not None
            self.transport.close()
            return None
        elif words[0] == "hang":
            return None
        return 3 if words[0] == "fail" else 0


class Files(paramiko.SFTPServerInterface):
    """One file in memory, of a size that ``stat`` does not tell."""

    content = b""

    def open(self, path: str, flags: int, attr: paramiko.SFTPAttributes) -> Handle | int:
        return Handle(flags) if path == "/tmp/file" else SFTP_NO_SUCH_FILE

    def stat(self, path: str) -> paramiko.SFTPAttributes:
        attributes = paramiko.SFTPAttributes()
        attributes.st_size = len(Files.content)
        return attributes


class Handle(paramiko.SFTPHandle):
    def read(self, offset: int, length: int) -> bytes:
        return Files.content[offset : offset + length]

    def write(self, offset: int, data: Buffer) -> int:
        Files.content = Files.content[:offset] + bytes(data)
        return SFTP_OK

    def stat(self) -> paramiko.SFTPAttributes:
        return paramiko.SFTPAttributes()


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return Keys.make(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def server(keys: Keys) -> Iterator[Server]:
    made = Server(keys)
    yield made
    made.listener.close()
    if made.transport is not None:
        made.transport.close()


@pytest.fixture
def ssh(keys: Keys, tmp_path: Path) -> Iterator[Ssh]:
    made = Ssh(client_key=keys.client, host_key=keys.host_key, log=tmp_path / "ssh.log", on_progress=lambda: None)
    yield made
    made.close()


def test_arguments_are_quoted_for_the_guests_shell(server: Server, ssh: Ssh) -> None:
    ssh.connect(server.port, 10)
    ssh.run(["echo", "a b", "$HOME; rm"])
    assert server.commands == ["echo 'a b' '$HOME; rm'"]


def test_one_shell_runs_all_commands(server: Server, ssh: Ssh) -> None:
    ssh.connect(server.port, 10)
    results = [ssh.run(["lines"]), ssh.run(["fail"]), ssh.run(["both", "1"])]
    assert [r.status for r in results] == [0, 3, 0]
    assert [r.stdout for r in results] == ["one\ntwo\n\N{REPLACEMENT CHARACTER}\nlast", "", "o" * 1023 + "\n"]
    assert [r.stderr for r in results] == ["", "", "e" * 1023 + "\n"]
    assert server.shells == 1


def test_a_session_that_was_closed_leaves_no_logger(server: Server, ssh: Ssh) -> None:
    """logging keeps each of its loggers for ever."""

    def names() -> set[str]:
        return {name for name in logging.root.manager.loggerDict if name.startswith("faultloop.ssh.")}

    ssh.connect(server.port, 10)
    assert names()
    ssh.close()
    assert names() == set()


_LATE = """
import logging, sys
from pathlib import Path
from harness.vm.ssh import Ssh
session = Ssh(client_key=Path(), host_key="", log=Path(sys.argv[1]), on_progress=print)
(name,) = (name for name in logging.root.manager.loggerDict if name.startswith("faultloop.ssh."))
before = logging.getLogger(name)
session.close()
before.error("late")
logging.getLogger(name).error("late")
"""


def test_what_a_session_is_told_after_its_end_does_not_reach_the_screen(tmp_path: Path) -> None:
    """By a thread of paramiko's, which may be in a handshake when the user interrupts. (pytest has handlers.)"""
    argv = [sys.executable, "-c", _LATE, str(tmp_path / "ssh.log")]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_shell_that_was_left_in_a_command_is_not_used_again(server: Server, ssh: Ssh) -> None:
    ssh.connect(server.port, 10)
    ssh.run(["true"])

    def give_up(line: str) -> None:
        raise RuntimeError(line)

    with pytest.raises(RuntimeError):
        ssh.run(["both", "4"], give_up)
    assert ssh.run(["fail"]).stdout == ""
    assert server.shells == 2


def test_output_that_comes_while_its_channel_is_closed_does_not_end_the_session(
    server: Server, ssh: Ssh, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library's own way to close the pipe of a channel, with more time in the middle of it."""

    def slowly(pipe: paramiko.pipe.PosixPipe) -> None:
        os.close(pipe._rfd)
        os.close(pipe._wfd)
        time.sleep(0.2)
        pipe._closed = True

    ssh.connect(server.port, 10)
    monkeypatch.setattr("paramiko.pipe.PosixPipe.close", slowly)

    def give_up(line: str) -> None:
        raise RuntimeError(line)

    with pytest.raises(RuntimeError, match="one"):
        ssh.run(["lines"], give_up)
    assert ssh.run(["fail"]).status == 3


def test_status_is_the_commands(server: Server, ssh: Ssh) -> None:
    ssh.connect(server.port, 10)
    assert ssh.run(["fail"]).status == 3


def test_both_streams_are_drained(server: Server, ssh: Ssh) -> None:
    ssh.connect(server.port, 10)
    result = ssh.run(["both", "4096"])
    assert result.stdout == ("o" * 1023 + "\n") * 4096
    assert result.stderr == ("e" * 1023 + "\n") * 4096
    assert not result.truncated


def test_lines_come_whole_and_the_last_needs_no_end(server: Server, ssh: Ssh) -> None:
    ssh.connect(server.port, 10)
    lines: list[str] = []
    ssh.run(["lines"], lines.append)
    assert lines == ["one", "two", "\N{REPLACEMENT CHARACTER}", "last"]


def test_output_is_bounded_and_says_so(server: Server, ssh: Ssh, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shell, "OUTPUT_LIMIT", 5000)
    ssh.connect(server.port, 10)
    result = ssh.run(["both", "64"])
    assert (len(result.stdout), len(result.stderr), result.truncated) == (5000, 5000, True)


def test_other_host_key_is_refused(server: Server, keys: Keys, tmp_path: Path) -> None:
    other = Keys.make(tmp_path)
    ssh = Ssh(client_key=keys.client, host_key=other.host_key, log=tmp_path / "log", on_progress=lambda: None)
    with pytest.raises(GuestError, match="not the pinned one"):
        ssh.connect(server.port, 10)
    ssh.close()
    assert server.commands == []


def test_refused_client_key_is_told_at_once(server: Server, keys: Keys, tmp_path: Path) -> None:
    other = Keys.make(tmp_path)
    ssh = Ssh(client_key=other.client, host_key=keys.host_key, log=tmp_path / "log", on_progress=lambda: None)
    began = time.monotonic()
    with pytest.raises(GuestError, match=r"[Aa]uthentication"):
        ssh.connect(server.port, 60)
    ssh.close()
    assert time.monotonic() - began < 30


def test_server_that_is_not_up_yet_is_tried_again(server: Server, ssh: Ssh) -> None:
    server.resets = 3
    ssh.connect(server.port, 20)
    assert ssh.run(["true"]).status == 0


def test_server_that_never_comes_up_ends_at_the_deadline(server: Server, ssh: Ssh) -> None:
    server.resets = 1_000_000
    with pytest.raises(GuestError, match="no SSH session"):
        ssh.connect(server.port, 1)


def test_lost_connection_is_no_exit_status(server: Server, ssh: Ssh) -> None:
    ssh.connect(server.port, 10)
    with pytest.raises(GuestError, match="connection was lost"):
        ssh.run(["lose"])


def test_close_ends_a_command_that_hangs(server: Server, ssh: Ssh) -> None:
    ssh.connect(server.port, 10)
    failures: list[GuestError] = []

    def hang() -> None:
        try:
            ssh.run(["hang"])
        except GuestError as error:
            failures.append(error)

    waiting = threading.Thread(target=hang)
    waiting.start()
    while not server.commands:
        time.sleep(0.01)
    ssh.close()
    waiting.join(10)
    assert not waiting.is_alive()
    assert failures


def test_files_travel_both_ways(server: Server, ssh: Ssh, tmp_path: Path) -> None:
    ssh.connect(server.port, 10)
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(bytes(range(256)) * 1000)
    ssh.put(source, "/tmp/file")
    assert Files.content == source.read_bytes()
    ssh.fetch("/tmp/file", target)
    assert target.read_bytes() == source.read_bytes()


def test_missing_file_is_an_error_that_names_it(server: Server, ssh: Ssh, tmp_path: Path) -> None:
    ssh.connect(server.port, 10)
    with pytest.raises(GuestError, match="fetch /tmp/other"):
        ssh.fetch("/tmp/other", tmp_path / "target")


def test_endless_file_is_bounded(
    server: Server, ssh: Ssh, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FILE_LIMIT", 1 << 20)
    monkeypatch.setattr(Handle, "read", lambda self, offset, length: b"x" * length)
    ssh.connect(server.port, 10)
    with pytest.raises(GuestError, match="larger than 1 MiB"):
        ssh.fetch("/tmp/file", tmp_path / "target")


def test_log_tells_what_ran(server: Server, ssh: Ssh, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    ssh.connect(server.port, 10)
    ssh.run(["fail"])
    ssh.close()
    log = (tmp_path / "ssh.log").read_text()
    assert "Authentication (publickey) successful" in log
    assert "fail: status 3" in log
    assert capfd.readouterr() == ("", "")
