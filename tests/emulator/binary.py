# SPDX-License-Identifier: GPL-2.0-or-later
"""The QEMU under test."""

from __future__ import annotations

import os
from pathlib import Path


def emulator() -> Path:
    """What ``FAULTLOOP_QEMU`` names, or the emulator that users get, which is built if need be."""
    named = os.environ.get("FAULTLOOP_QEMU")
    if named:
        binary = Path(named).resolve()
        assert os.access(binary, os.X_OK), f"FAULTLOOP_QEMU={named}: no program"
        return binary
    from harness.jobs.workshop import Workshop  # not before it is needed: it wants the whole harness

    return Workshop().emulator.binary
