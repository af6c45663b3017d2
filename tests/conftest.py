# SPDX-License-Identifier: GPL-2.0-or-later
"""Of two workers (pytest-xdist) one has all tests that boot guests; the other begins with all else."""

from __future__ import annotations

import signal

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

# Whoever is started in a shell's background has SIGINT ignored, and so has what it starts: tests interrupt that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

_TOGETHER = ("tests/vm/", "tests/lifecycle/", "tests/browser/")
"""Rooms whose tests run one after the other on one worker: guests use both cores by themselves; tests of a room
that breaks sandboxes would find each other's; one Chromium serves all pages, with no other test in between."""


class _RoomsTogether(LoadScopeScheduling):
    """Tests of one scope go to one worker."""

    def _split_scope(self, nodeid: str) -> str:
        return next((room for room in _TOGETHER if nodeid.startswith(room)), nodeid)


@pytest.hookimpl
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling | None:
    """For ``--dist loadscope``; the others stay as they are."""
    return _RoomsTogether(config, log) if config.getvalue("dist") == "loadscope" else None
