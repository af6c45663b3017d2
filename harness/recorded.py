# SPDX-License-Identifier: GPL-2.0-or-later
"""What is recorded of a guest before anything is judged: input of the oracle, kept as ``guest.json``."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WorkloadRun:
    """What one workload printed and what the SMMU counted around it; not judged yet."""

    path: str
    ktap: str
    status: int | None
    """Exit status; None when the guest did not live to give it."""
    before: dict[str, int]
    """All counters of the SMMU before it, over QMP."""
    after: dict[str, int]
    seconds: float
    stderr: str = ""
    failure: str = ""
    """Why there is no exit status: ``PANIC``, ``HANG``, ``STOPPED``, ``TIMEOUT``, ``CONTROL``; else empty."""
    message: str = ""
    """Of that failure, for the user."""


@dataclass(frozen=True, slots=True)
class RawGuest:
    """One guest as recorded: input of the oracle. Kept as ``guest.json`` beside its console log."""

    variant: str
    setup: str
    paths: tuple[str, ...]
    """Workloads that this guest was asked to run, in order."""
    runs: tuple[WorkloadRun, ...]
    end: str
    boot_seconds: float
    seconds: float
    message: str = ""
    """Why it ended, when not by POWEROFF."""
    recorded: str = ""
    """When, UTC, ISO 8601."""
