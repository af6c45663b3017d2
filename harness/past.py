# SPDX-License-Identifier: GPL-2.0-or-later
"""The nouns of the history: what is kept of a run, and what is read of it later."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from harness.model import GuestRecord, Kernel, Outcome


class Stage(StrEnum):
    """How far a kernel came."""

    RAN = ""
    """It booted, and was asked for its paths."""
    BUILD = "build"
    """The kernel does not build."""
    DRIVER = "driver"
    """The kernel builds, and the guest driver does not build for it: an interface of the kernel's has moved."""
    BOOT = "boot"
    """It builds, and does not come up."""
    HARNESS = "harness"
    """Trouble of the harness or the host: says nothing of the kernel."""


@dataclass(frozen=True, slots=True)
class KeptGuest:
    """One kernel in one setup, or why there is none."""

    kernel: Kernel
    variant: str
    setup: str
    image_sha256: str = ""
    """Of the kernel; empty when there is none."""
    record: GuestRecord | None = None
    stage: Stage = Stage.RAN
    error: str = ""
    """Why there is no record, or why it did not boot."""


@dataclass(frozen=True, slots=True)
class KeptRun:
    """One run of a job, as it goes into the history."""

    name: str
    """Of its results folder: no two are alike."""
    job: str
    started: str
    """UTC, ISO 8601."""
    seconds: float
    status: int
    """Exit status."""
    verdict: str
    """Empty for a run without a patch."""
    summary: str
    title: str
    """Of the series; empty without a patch."""
    patches: str
    """Digest of its patches, in order; empty without one."""
    emulator: str
    """Key of the emulator in the cache."""
    guest_image: str
    version: str
    """Of faultloop."""
    folder: str
    guests: tuple[KeptGuest, ...]


@dataclass(frozen=True, slots=True)
class Point:
    """What became of one path in one run: a point of its course."""

    started: str
    job: str
    kernel: str
    """As the user named it."""
    version: str
    variant: str
    setup: str
    path: str
    outcome: Outcome
    reason: str = ""
    title: str = ""
    """Of the series on top of the kernel."""
    stalls: int = 0
    tlbi: int = 0
    notifier_calls: int = 0
    counted: int | None = None
    """The counter that was asked for."""
    run: str = ""
    """Name of the results folder."""
    ref: str = ""
    """Tag or branch, for a run of a nightly job."""
