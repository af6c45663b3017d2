# SPDX-License-Identifier: GPL-2.0-or-later
"""The guest side of ``harness/vm/shell.py``: reads commands from a channel, marks where output begins and ends."""

from __future__ import annotations

import re
from collections.abc import Callable

import paramiko


def serve(
    channel: paramiko.Channel, command: bytes, answer: Callable[[paramiko.Channel, str], int | None]
) -> None:
    """Have ``answer`` print what each command prints, and say its status; None: the command never ends.

    The command ``ignored`` is not even begun.
    """
    found = re.search(r"[0-9a-f]{32}", command.decode())
    assert found
    mark, lines = found.group(), channel.makefile("rb")
    for data in lines:
        line = data.decode().rstrip("\n") if isinstance(data, bytes) else data.rstrip("\n")
        if line == "ignored":
            return
        channel.sendall(f"{mark} begin\n".encode())
        status = answer(channel, line)
        if status is None:
            return
        channel.sendall(f"\n{mark} end {status}\n".encode())
        channel.sendall_stderr(f"\n{mark} end {status}\n".encode())
