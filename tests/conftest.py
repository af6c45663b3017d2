# SPDX-License-Identifier: GPL-2.0-or-later
"""Of two workers (pytest-xdist) one has all that boots guests or builds in a sandbox; the other all else."""

from __future__ import annotations

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

_ALONE = ("tests/vm/", "tests/lifecycle/")
"""These use both cores by themselves, or look at what the host is left with."""


_BROWSER = "tests/browser/"
"""One Chromium for all of them, and no other test in between."""


class _GuestsTogether(LoadScopeScheduling):
    """Tests of one scope go to one worker, the largest scope first."""

    def _split_scope(self, nodeid: str) -> str:
        if nodeid.startswith(_ALONE):
            return "guests"
        return _BROWSER if nodeid.startswith(_BROWSER) else nodeid


@pytest.hookimpl
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling | None:
    """For ``--dist loadscope``; the others stay as they are."""
    return _GuestsTogether(config, log) if config.getvalue("dist") == "loadscope" else None
