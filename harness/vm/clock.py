# SPDX-License-Identifier: GPL-2.0-or-later
"""Deadlines of a guest."""

from __future__ import annotations

import time

from harness.vm.process import Process

MOST_STARVED = 15
"""A deadline stretches to at most this many times itself more."""


class Clock:
    """Counts down a deadline, but not while the host gives QEMU no CPU: a crowded host is not a hung guest."""

    def __init__(self, process: Process, deadline: float) -> None:
        self._process = process
        self._deadline = deadline
        self._began = time.monotonic()
        self._starved = process.starved()

    def left(self) -> float:
        """Seconds; negative when it is over."""
        left = self._deadline - (time.monotonic() - self._began)
        if left > 0:
            return left
        starved = self._process.starved() - self._starved
        return left + min(starved, self._deadline * MOST_STARVED)
