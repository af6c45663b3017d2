# SPDX-License-Identifier: GPL-2.0-or-later
"""``faultloop reply``: text for the thread, of a run that was kept."""

from __future__ import annotations

from pathlib import Path

from harness.jobs import kept
from harness.report import mail


def reply(run: Path) -> str:
    """The mail for the run in folder ``run``. UserError when that holds none that can be read."""
    return mail.reply(kept.read(run))
