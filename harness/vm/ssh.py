# SPDX-License-Identifier: GPL-2.0-or-later
"""SSH into a guest: one session, one shell for all commands (shell.py), keys pinned on both sides.

No agent, no configuration and no known hosts of the user's. What paramiko is known to do wrong, and what
stands here against it:

- ``recv_exit_status()`` has no deadline (paramiko #1815) and waits for ever when more was printed than the
  window holds (#448): it is not used, and both streams are drained to their end. No call here has a deadline of
  its own: whoever waits (machine.py) has one, and killing QEMU ends every call here.
- ``Transport.close()`` waits without bound for a thread that a channel's close can deadlock (#2534, Dropbear):
  the socket is shut down first and the thread waited for with a bound.
- File objects over channels take the channel's lock when they are collected (#2685): none are made, and
  channels are closed, not left to the collector.
"""

from __future__ import annotations

import logging
import select
import shlex
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import paramiko

from harness.errors import GuestError
from harness.vm import shell
from harness.vm.spec import CommandResult

FILE_LIMIT = 256 << 20
"""Bytes of the largest file taken out of a guest."""

_USER = "root"
_CHUNK = 1 << 16
_RETRY_SECONDS = 0.05
_LONGEST_RETRY_SECONDS = 2.0
"""Each try takes longer than the one before it: a guest that has to refuse them all can idle, and be seen to."""
_CLOSE_SECONDS = 5.0


_LOGGERS = logging.getLogger("faultloop.ssh")
"""Parent of the sessions' loggers. What one of them is told after its session, by a thread of paramiko's that has
not heard of the end yet, goes nowhere; without any handler it would go to the user's screen."""
_LOGGERS.propagate = False
_LOGGERS.addHandler(logging.NullHandler())


class _Log(logging.FileHandler):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging names it
        """A full disk is told by what else it keeps from being written, and not on the user's screen."""


class Ssh:
    """A session with the guest's SSH server behind a forwarded port of the loopback interface."""

    def __init__(self, *, client_key: Path, host_key: str, log: Path, on_progress: Callable[[], None]) -> None:
        self._client_key = client_key
        self._host_key = host_key
        self._progress = on_progress
        self._transport: paramiko.Transport | None = None
        self._sftp: paramiko.SFTPClient | None = None
        self._shell: paramiko.Channel | None = None
        self._mark = ""
        self.refused = False
        """A try to connect was ended by the other side: the guest answers, but no server of ours does."""
        self.served = False
        """The server has taken up what was asked of it last: what is late now is late in the guest."""
        self._handler = _Log(log, mode="w", encoding="utf-8", delay=True)
        self._handler.setFormatter(logging.Formatter("%(asctime)s.%(msecs)03d %(message)s", "%H:%M:%S"))
        # paramiko finds its logger by name; one of our own keeps guests apart and the user's screen clean.
        self._logger = _LOGGERS.getChild(f"{id(self):x}")
        self._logger.setLevel(logging.INFO)
        self._logger.addHandler(self._handler)

    @property
    def alive(self) -> bool:
        """The session is up, as far as is known."""
        return self._transport is not None and self._transport.is_active()

    def connect(self, port: int, deadline: float) -> None:
        """Handshake, check of the host key, authentication. GuestError, also on another host key."""
        end, pause = time.monotonic() + deadline, _RETRY_SECONDS
        while True:
            try:
                self._handshake(port, max(0.1, end - time.monotonic()))
                return
            except (paramiko.SSHException, OSError, EOFError) as error:
                # QEMU accepts before the guest does: a server that is not there yet shows as a reset.
                self._logger.info("no session: %s", _said(error))
                self.refused = time.monotonic() + pause < end
                if isinstance(error, paramiko.AuthenticationException) or not self.refused:
                    raise GuestError(f"no SSH session with the guest: {_said(error)}") from None
                time.sleep(pause)
                pause = min(1.5 * pause, _LONGEST_RETRY_SECONDS)

    def run(self, argv: Sequence[str], on_line: Callable[[str], None] | None = None) -> CommandResult:
        """Run a program to its end. ``on_line`` gets each line of its standard output, in this thread."""
        began = time.monotonic()
        command = shlex.join(argv)
        with self._speaking(command), self._commanding() as channel:
            channel.sendall(shell.line(argv).encode())
            out, err = shell.Stream(self._mark, on_line), shell.Stream(self._mark)
            status = self._drain(channel, out, err)
        seconds = time.monotonic() - began
        self._logger.info("%s: status %d, %.3f s, %d + %d bytes", command, status, seconds, out.size, err.size)
        return CommandResult(status, out.text(), err.text(), seconds, out.truncated or err.truncated)

    def put(self, source: Path, target: str) -> None:
        """Copy a file into the guest."""
        with self._speaking(f"put {target}"), source.open("rb") as data:
            self._files().putfo(data, target, callback=lambda _done, _all: self._progress())
        self._logger.info("put %s: %d bytes", target, source.stat().st_size)

    def fetch(self, source: str, target: Path) -> None:
        """Copy a file out of the guest, of a size that its ``stat`` need not tell (procfs)."""
        done = 0
        with (
            self._speaking(f"fetch {source}"),
            self._files().open(source, "rb") as data,
            target.open("wb") as to,
        ):
            size = data.stat().st_size or 0
            if 0 < size <= FILE_LIMIT:
                data.prefetch(size)
            while chunk := data.read(_CHUNK):
                done += len(chunk)
                if done > FILE_LIMIT:
                    raise GuestError(f"{source} in the guest is larger than {FILE_LIMIT >> 20} MiB")
                to.write(chunk)
                self._progress()
        self._logger.info("fetch %s: %d bytes", source, done)

    def close(self) -> None:
        """End the session; never waits long, whatever state its thread is in."""
        transport, self._transport = self._transport, None
        if transport is not None:
            self._end(transport)
        self._logger.removeHandler(self._handler)
        self._handler.close()
        # The library keeps each logger for ever: a process that runs thousands of guests would, too.
        logging.Logger.manager.loggerDict.pop(self._logger.name, None)

    def _handshake(self, port: int, deadline: float) -> None:
        sock = socket.create_connection(("127.0.0.1", port), timeout=deadline)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        transport = paramiko.Transport(sock)
        try:
            transport.set_log_channel(self._logger.name)
            # A busy host makes a slow guest; paramiko's own 15 s would begin the same wait anew.
            transport.banner_timeout = transport.handshake_timeout = transport.auth_timeout = deadline
            kind, pinned = self._host_key.split()[:2]
            options = transport.get_security_options()
            options.key_types = (kind,)
            # The cheapest exchange that OpenSSH and Dropbear share: the guest computes it in emulation.
            options.kex = tuple(sorted(options.kex, key=lambda name: not name.startswith("curve25519")))
            transport.start_client(timeout=deadline)
            key = transport.get_remote_server_key()
            if (key.get_name(), key.get_base64()) != (kind, pinned):
                raise GuestError(f"the guest's SSH host key is not the pinned one: {key.get_base64()}")
            transport.auth_publickey(_USER, paramiko.Ed25519Key(filename=str(self._client_key)))
        except BaseException:
            self._end(transport)
            raise
        self._transport = transport

    def _end(self, transport: paramiko.Transport) -> None:
        with suppress(OSError):
            transport.sock.shutdown(socket.SHUT_RDWR)
        if transport.ident is not None:
            transport.join(_CLOSE_SECONDS)
        if transport.is_alive():
            self._logger.info("paramiko's thread did not end within %g s; left behind", _CLOSE_SECONDS)
        else:
            transport.close()
        transport.sock.close()

    @contextmanager
    def _speaking(self, what: str) -> Iterator[None]:
        self.served = False
        try:
            yield
        except (paramiko.SSHException, OSError, EOFError) as error:
            raise GuestError(f"SSH, {what}: {_said(error)}") from None

    @contextmanager
    def _commanding(self) -> Iterator[paramiko.Channel]:
        """The shell's channel; one that was left in the middle of a command is not used again."""
        channel, self._shell = self._shell, None
        if channel is None:
            if self._transport is None:
                raise paramiko.SSHException("not connected")
            channel = self._transport.open_session()
            self._mark = shell.new_mark()
            channel.exec_command(shell.loop(self._mark))
        try:
            yield channel
        except BaseException:
            _leave(channel)
            raise
        self._shell = channel

    def _drain(self, channel: paramiko.Channel, out: shell.Stream, err: shell.Stream) -> int:
        """Read both streams until the command has ended; its status. SSHException when the session dies first."""
        poller = select.poll()
        poller.register(channel.fileno(), select.POLLIN)
        while out.status is None or err.status is None:
            # Asked before the streams: what came before the end is in them by then.
            ended = channel.eof_received or channel.closed
            idle = True
            if channel.recv_ready():
                out.take(channel.recv(_CHUNK))
                self.served = out.begun
                idle = False
            if channel.recv_stderr_ready():
                err.take(channel.recv_stderr(_CHUNK))
                idle = False
            if not idle:
                self._progress()
            elif ended:
                raise paramiko.SSHException("the connection was lost before the command ended")
            else:
                poller.poll()
        return out.status

    def _files(self) -> paramiko.SFTPClient:
        if self._sftp is None:
            if self._transport is None:
                raise paramiko.SSHException("not connected")
            self._sftp = paramiko.SFTPClient.from_transport(self._transport)
        if self._sftp is None:
            raise paramiko.SSHException("the server offers no SFTP")
        return self._sftp


def _leave(channel: paramiko.Channel) -> None:
    """Close a channel for which data may come at this moment.

    The library closes the pipe behind ``fileno()`` while its thread may be about to write to it: to a descriptor
    that is closed, which ends the session, or somebody else's by then (paramiko's issues 692, 1700, 2271). So that
    thread is given something else to set first.
    """
    for buffer in (channel.in_buffer, channel.in_stderr_buffer):
        buffer.set_event(threading.Event())
    channel.close()


def _said(error: Exception) -> str:
    if isinstance(error, EOFError):
        return "the connection was lost"
    return str(error) or type(error).__name__
