# SPDX-License-Identifier: GPL-2.0-or-later
"""QMP, over the library qemu.qmp: its asyncio loop runs in one thread; every message is logged with its time.

Events are kept with their time and can be waited for; nothing here polls.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import CancelledError
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from qemu.qmp import ExecuteError, Message, QMPClient, QMPError

from harness.errors import GuestError

_EVENTS_KEPT = 10_000
_CLOSE_SECONDS = 5.0
_LOGGED = 16384
"""Bytes of one message in the log."""


@dataclass(frozen=True, slots=True)
class Event:
    """One QMP event: ``seconds`` after the log began."""

    name: str
    data: Mapping[str, Any]
    seconds: float


class _Client(QMPClient):
    """Tells ``log`` of each message, and keeps the library from writing to the harness's own stderr."""

    def __init__(self, log: Callable[[str, str], None]) -> None:
        super().__init__("guest")
        self._tell = log
        self.logger = logging.Logger("qmp", logging.WARNING)
        self.logger.addHandler(_Handler(log))

    def _cb_outbound(self, msg: Message) -> Message:
        self._tell("->", _brief(msg))
        return super()._cb_outbound(msg)

    def _cb_inbound(self, msg: Message) -> Message:
        self._tell("<-", _brief(msg))
        return super()._cb_inbound(msg)


def _brief(message: Message) -> str:
    """A message as it went over the wire; the middle of a long one (a journal) is left out of the log."""
    raw = bytes(message)
    if len(raw) > _LOGGED:
        raw = raw[: _LOGGED // 2] + b" ... %d bytes ... " % len(raw) + raw[-_LOGGED // 2 :]
    return raw.decode(errors="replace").strip()


class _Handler(logging.Handler):
    def __init__(self, log: Callable[[str, str], None]) -> None:
        super().__init__()
        self._tell = log

    def emit(self, record: logging.LogRecord) -> None:
        self._tell("--", record.getMessage())


class Qmp:
    """A QMP session on ``sock`` (its owner until :meth:`close`). ``bell`` rings for each event."""

    def __init__(self, sock: socket.socket, log: Path, *, bell: threading.Condition | None = None) -> None:
        self._sock = sock
        self._log: TextIO = log.open("w", encoding="utf-8", buffering=1)
        self._bell = bell or threading.Condition()
        self._began = time.monotonic()
        self._events: deque[Event] = deque(maxlen=_EVENTS_KEPT)
        self._loop = asyncio.new_event_loop()
        self._client: _Client | None = None
        self._collector: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._loop.run_forever, name="qmp", daemon=True)

    def connect(self, deadline: float) -> None:
        """Greeting and capabilities. GuestError when QEMU hangs up or stays silent."""
        self._thread.start()
        try:
            self._await(self._session(), deadline)
        except TimeoutError:
            raise GuestError(f"QEMU gave no QMP greeting within {deadline:g} s") from None
        except QMPError as error:
            raise GuestError(f"QEMU hung up before its QMP greeting ({error})") from None

    def execute(self, command: str, arguments: Mapping[str, Any] | None = None, *, deadline: float) -> Any:
        """What QEMU returns. GuestError when it refuses, is gone, or does not answer within ``deadline`` s."""
        client = self._client
        if client is None:
            raise GuestError(f"QMP {command}: not connected")
        try:
            return self._await(client.execute(command, dict(arguments) if arguments else None), deadline)
        except ExecuteError as error:
            raise GuestError(f"QEMU refused QMP {command}: {error}") from None
        except TimeoutError:
            raise GuestError(f"QEMU did not answer QMP {command} within {deadline:g} s") from None
        except (QMPError, CancelledError) as error:
            raise GuestError(f"QMP {command}: QEMU is gone ({error})") from None

    def hmp(self, line: str, *, deadline: float) -> str:
        """A command of the human monitor, for what QMP has none."""
        return str(self.execute("human-monitor-command", {"command-line": line}, deadline=deadline))

    @property
    def events(self) -> tuple[Event, ...]:
        with self._bell:
            return tuple(self._events)

    def event(self, name: str) -> Event | None:
        """The first event of that name."""
        with self._bell:
            return next((e for e in self._events if e.name == name), None)

    def wait_event(self, match: Callable[[Event], bool], deadline: float) -> Event | None:
        """The first event that ``match`` accepts, past or to come; None after ``deadline`` seconds."""

        def look() -> Event | None:
            return next((e for e in self._events if match(e)), None)

        with self._bell:
            return self._bell.wait_for(look, deadline)

    def close(self) -> None:
        """End the session and its thread."""
        if self._thread.ident is not None:
            # A session that QEMU ended reports that as an error; it is no news here.
            with suppress(QMPError, TimeoutError, CancelledError, EOFError, OSError):
                self._await(self._end(), _CLOSE_SECONDS)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
        self._loop.close()
        self._sock.close()
        self._log.close()

    def _await(self, coroutine: Coroutine[Any, Any, Any], deadline: float) -> Any:
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return future.result(deadline)
        finally:
            future.cancel()

    async def _session(self) -> None:
        client = _Client(self._tell)
        self._collector = asyncio.create_task(self._collect(client))
        await client.connect(self._sock)
        self._client = client

    async def _collect(self, client: _Client) -> None:
        async for message in client.events:
            raw = dict[str, Any](message)
            event = Event(raw["event"], raw.get("data", {}), time.monotonic() - self._began)
            with self._bell:
                self._events.append(event)
                self._bell.notify_all()

    async def _end(self) -> None:
        if self._collector is not None:
            self._collector.cancel()
            with suppress(asyncio.CancelledError):
                await self._collector
        if self._client is not None:
            await self._client.disconnect()

    def _tell(self, direction: str, text: str) -> None:
        with suppress(OSError):  # a full disk is told when the log is closed
            self._log.write(f"{time.monotonic() - self._began:10.4f} {direction} {text}\n")


def flatten(stats: Mapping[str, Any], prefix: str = "") -> dict[str, int]:
    """Nested counters under joined names: ``{"cmd": {"sync": 1}}`` gives ``cmd-sync``."""
    flat: dict[str, int] = {}
    for name, value in stats.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{name}-")
        else:
            flat[prefix + name] = int(value)
    return flat
