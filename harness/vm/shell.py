# SPDX-License-Identifier: GPL-2.0-or-later
"""What is said over SSH to the one process that runs a guest's commands, one after another.

A channel and a shell for each command cost an emulated guest a tenth of a second: more than many a command
takes. So there is one process (guest-tests/workloads/serve.c), which reads a command a line, and marks on both
streams where its output begins and ends. The mark is random: no output can be taken for it. A path is a fork of
that process; any other command is run by a shell.
"""

from __future__ import annotations

import secrets
import shlex
from collections.abc import Callable, Sequence

OUTPUT_LIMIT = 16 << 20
"""Bytes kept of each stream of one command."""

_LONGEST_LINE = 1 << 16
_BEGIN, _END = b" begin", b" end "


def new_mark() -> str:
    """A word that no command prints."""
    return secrets.token_hex(16)


def loop(mark: str) -> str:
    """The command for SSH to execute: the process that reads commands from its standard input."""
    return f"exec /faultloop/workloads --serve {mark}"


def line(argv: Sequence[str]) -> str:
    """A command as one line for the loop, ended."""
    return shlex.join(argv).replace("\n", "'\"$n\"'") + "\n"


class Stream:
    """What one command prints on one stream, as far as it is kept; lines go to ``on_line`` as they end."""

    def __init__(self, mark: str, on_line: Callable[[str], None] | None = None) -> None:
        self._mark = mark.encode()
        self._on_line = on_line
        self._kept = bytearray()
        self._rest = b""
        self._lines = 0
        self._within = False
        """The line being read is longer than the longest, and its beginning is kept already."""
        self._blank = False
        """An empty line is held back: its end may be the one that comes before the mark."""
        self.size = 0
        self.begun = False
        self.status: int | None = None
        """Exit status of the command; None until all its output is here."""

    @property
    def truncated(self) -> bool:
        return self.size > OUTPUT_LIMIT

    def take(self, data: bytes) -> None:
        """The next bytes of the channel."""
        *whole, self._rest = (self._rest + data).split(b"\n")
        for words in whole:
            if words.startswith(self._mark) and not self._within:
                self._marked(words[len(self._mark) :])
            else:
                self._keep(words)
                self._within = False
        if len(self._rest) > _LONGEST_LINE:
            self._keep(self._rest)
            self._rest, self._within = b"", True

    def text(self) -> str:
        return self._kept.decode(errors="replace")

    def _marked(self, words: bytes) -> None:
        if words.startswith(_END):
            self.status = int(words[len(_END) :])
        elif words == _BEGIN:
            self.begun = True

    def _keep(self, words: bytes) -> None:
        if self._lines and not self._within:
            words = b"\n" + words
        self._lines += 1
        self._kept += words[: max(0, OUTPUT_LIMIT - self.size)]
        self.size += len(words)
        if self._on_line is not None and not self.truncated:
            self._deliver(words.removeprefix(b"\n"))

    def _deliver(self, words: bytes) -> None:
        assert self._on_line is not None
        if self._blank:
            self._on_line("")
        self._blank = not words
        if words:
            self._on_line(words.decode(errors="replace"))
