# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest's serial console: every byte from the first one, on disk as it comes, and a clock of its silence.

Console text is evidence and hostile: it is bounded on disk and in memory, and never used as a result.
"""

from __future__ import annotations

import re
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from itertools import islice
from pathlib import Path

HEAD_BYTES = 16 << 20
"""Of a log, kept from its beginning."""
TAIL_BYTES = 4 << 20
"""Of a log, kept from its end when it is longer than ``HEAD_BYTES``."""
LINE_BYTES = 8192
"""A longer line is taken for several, and cut in memory (not on disk)."""
RECENT_LINES = 4096
"""Kept in memory to search and to show."""

_CHUNK = 1 << 16
_SEND_SECONDS = 5.0


class BoundedLog:
    """A file that keeps head and tail of what is written to it, and says how much it left out.

    The head is on disk at once, so that it is there whatever becomes of the harness; the tail is written
    by :meth:`close`, which raises the OSError that kept any of it from being written.
    """

    def __init__(self, path: Path, *, head: int = HEAD_BYTES, tail: int = TAIL_BYTES) -> None:
        self._file = path.open("wb", buffering=0)
        self._head = head
        self._tail_size = tail
        self._tail = bytearray()
        self._cut = 0
        self._fault: OSError | None = None

    def write(self, data: bytes) -> None:
        fits = data[: self._head]
        if fits:
            self._put(fits)
            self._head -= len(fits)
        self._tail += data[len(fits) :]
        surplus = len(self._tail) - self._tail_size
        if surplus > self._tail_size or (surplus > 0 and self._tail_size == 0):
            self._drop(surplus)

    def close(self) -> None:
        if self._file.closed:
            return
        self._drop(max(0, len(self._tail) - self._tail_size))
        if self._cut:
            self._put(b"\n[faultloop: %d bytes left out here]\n" % self._cut)
        self._put(self._tail)
        self._file.close()
        if self._fault is not None:
            raise self._fault

    def _put(self, data: bytes | bytearray) -> None:
        """A console that is not read any more would look like a hung guest: what is wrong comes at the end."""
        try:
            while data:
                data = data[self._file.write(data) :]
        except OSError as error:
            self._fault = self._fault or error

    def _drop(self, count: int) -> None:
        del self._tail[:count]
        self._cut += count


class Console:
    """Reads the console's socket into ``log`` in a thread of its own; ``bell`` rings for whatever comes.

    ``watch`` names patterns to look for in every line from the first: see :meth:`seen`. ``sock`` is closed by
    :meth:`close`; the other end is QEMU's.
    """

    def __init__(
        self,
        sock: socket.socket,
        log: BoundedLog,
        *,
        watch: Mapping[str, re.Pattern[str]] | None = None,
        bell: threading.Condition | None = None,
    ) -> None:
        self._sock = sock
        self._sock.setblocking(True)
        self._log = log
        self._watch = dict(watch or {})
        self._bell = bell or threading.Condition()
        self._recent: deque[str] = deque(maxlen=RECENT_LINES)
        self._seen: dict[str, str] = {}
        self._partial = b""
        self._count = 0
        self._heard = time.monotonic()
        self._eof = False
        self._thread = threading.Thread(target=self._read, name="console", daemon=True)

    def start(self) -> None:
        self._heard = time.monotonic()
        self._thread.start()

    @property
    def lines(self) -> int:
        """Complete lines so far; a mark for :meth:`wait_for`."""
        return self._count

    @property
    def silence(self) -> float:
        """Seconds since the console, or whoever called :meth:`touch`, last gave a sign of life."""
        return time.monotonic() - self._heard

    @property
    def closed(self) -> bool:
        """QEMU closed its end."""
        return self._eof

    def touch(self) -> None:
        """Progress was seen elsewhere: the clock of silence starts anew."""
        self._heard = time.monotonic()

    def seen(self, name: str) -> str | None:
        """The first line that held the watched pattern of that name."""
        return self._seen.get(name)

    def tail(self, count: int = 40) -> str:
        """The last ``count`` lines, the unfinished one included."""
        with self._bell:
            lines = [*self._recent, *([_text(self._partial)] if self._partial else [])]
        return "\n".join(lines[-count:])

    def wait_for(self, pattern: re.Pattern[str], deadline: float, since: int = 0) -> str | None:
        """First line from mark ``since`` on that holds ``pattern``, as soon as it comes.

        None after ``deadline`` seconds or when the console is closed. An unfinished line (a prompt) counts.
        """
        found: list[str] = []
        mark = since

        def look() -> bool:
            nonlocal mark
            fresh = list(islice(reversed(self._recent), max(0, self._count - mark)))
            mark = self._count
            lines = [*reversed(fresh), _text(self._partial)]
            found.extend(line for line in lines if pattern.search(line))
            return bool(found) or self._eof

        with self._bell:
            self._bell.wait_for(look, deadline)
        return found[0] if found else None

    def send(self, data: bytes) -> bool:
        """Type ``data``. False when it is not taken: the guest does not read, or the console is gone."""
        try:
            _, writable, _ = select.select([], [self._sock], [], _SEND_SECONDS)
            return bool(writable) and self._sock.send(data, socket.MSG_DONTWAIT) == len(data)
        except OSError:
            return False

    def close(self, drain: float = 2.0) -> None:
        """End the reader. What QEMU wrote before it ended is in the log; a QEMU that lives is cut off."""
        if self._thread.ident is not None:
            self._thread.join(drain)
            with suppress(OSError):
                self._sock.shutdown(socket.SHUT_RDWR)
            self._thread.join()
        self._sock.close()
        self._log.close()

    def _read(self) -> None:
        while True:
            try:
                data = self._sock.recv(_CHUNK)
            except OSError:
                data = b""
            self._log.write(data)
            with self._bell:
                self._take(data)
                self._bell.notify_all()
            if not data:
                return

    def _take(self, data: bytes) -> None:
        if not data:
            self._eof = True
            return
        self._heard = time.monotonic()
        *whole, self._partial = (self._partial + data).split(b"\n")
        if len(self._partial) > LINE_BYTES:
            whole.append(self._partial)
            self._partial = b""
        self._count += len(whole)
        lines = [_text(raw[:LINE_BYTES]) for raw in whole]
        self._recent.extend(lines)
        # All at once first: of a flood, no line is looked at by itself.
        text = "\n".join(lines)
        for name, pattern in self._watch.items():
            if name not in self._seen and pattern.search(text):
                found = next((line for line in lines if pattern.search(line)), None)
                if found is not None:
                    self._seen[name] = found


def _text(line: bytes) -> str:
    return line.decode("utf-8", errors="replace").rstrip("\r")
