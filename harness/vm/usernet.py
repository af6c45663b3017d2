# SPDX-License-Identifier: GPL-2.0-or-later
"""What QEMU's ``info usernet`` says of the port that is forwarded to the guest's SSH server. Pure."""

from __future__ import annotations

import re

from harness.errors import GuestError

_FORWARD = re.compile(r"TCP\[HOST_FORWARD\]\s+\d+\s+127\.0\.0\.1\s+(\d+)\s")


def forwarded_port(usernet: str) -> int:
    """The port of the host that QEMU picked, out of its ``info usernet``."""
    match = _FORWARD.search(usernet)
    if match is None:
        raise GuestError("QEMU forwards no port to the guest's SSH server", detail=usernet)
    return int(match.group(1))


def established(usernet: str, port: int) -> bool:
    """Whether the guest's kernel has taken a connection to that forwarded port, by QEMU's ``info usernet``."""
    return re.search(rf"TCP\[ESTABLISHED\]\s+\d+\s+127\.0\.0\.1\s+{port}\s", usernet) is not None
