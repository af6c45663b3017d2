# SPDX-License-Identifier: GPL-2.0-or-later
"""What happened to one page, in order: the SMMU's journal and the guest's ftrace on one clock (docs/timeline.md).

Kept as ``timeline.json`` beside ``guest.json``. The clock is the emulator's virtual one, in nanoseconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from pydantic import TypeAdapter

SCHEMA = 1
FILE = "timeline.json"


class Source(StrEnum):
    """Who saw it."""

    SMMU = "smmu"
    DEVICE = "device"
    GUEST = "guest"


class Kind(StrEnum):
    """What it was. The SMMU's have the journal's names (docs/emulator.md), or better ones."""

    STALL = "stall"
    """An access of the device waits."""
    RETRY = "retry"
    """CMD_RESUME: the access is tried again."""
    REISSUE = "reissue"
    """The same for a stall that had no record."""
    ABORT = "abort"
    TERMINATE = "terminate"
    NO_MATCH = "resume-nomatch"
    CANCELLED = "cancelled"
    """A stall ended otherwise: CMD_STALL_TERM, SMMUEN = 0, a reset, the device."""
    FAULT = "fault"
    """An access was refused."""
    INVALIDATION = "invalidation"
    """A TLBI command that the SMMU received, or a CPU's that it obeyed."""
    CONFIGURATION = "configuration"
    """CMD_CFGI_*."""
    EVICTION = "eviction"
    """The IOTLB lost an entry, or all, to make room."""
    GAVE_UP = "gave-up"
    """The device: as many stalls of one access as are a loop."""
    NOTIFIER = "notifier"
    """The SMMU driver's MMU notifier callback."""
    HANDLER = "fault-handler"
    """The kernel begins to serve a fault of the device."""
    FUNCTION = "function"
    """Another function of the kernel."""
    GAP = "gap"
    """Events that were not kept."""


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened."""

    t_ns: int
    """From the path's own beginning (`PathTimeline.start_ns`); before it: negative."""
    kind: Kind
    source: Source
    text: str
    """In a few words."""
    address: int | None = None
    size: int = 0
    """Bytes, of what has an extent."""
    detail: str = ""
    """Who and with what: ``substream=1 stag=7``, ``kworker/0:1``."""


@dataclass(frozen=True, slots=True)
class View:
    """The page's entry at one moment, as the workload saw it."""

    when: str
    """``before``, ``upgraded`` (after the operation, before the device goes on), ``after``."""
    pte: str
    """Raw descriptor, hex."""
    means: str
    """The descriptor in words."""
    iotlb: str
    """What the SMMU holds: ``rw,level=3,granule=4096``, ``none``."""


@dataclass(frozen=True, slots=True)
class PathTimeline:
    """One path on one guest."""

    start_ns: int
    """Virtual time of 0: the measured window opens, or the path begins where it has none."""
    window_ns: int | None = None
    """How long the window was open; None: there is none, and ``events`` are those of the whole path."""
    page: int | None = None
    """Address of the memory in question; None: not known, so events of all addresses are here."""
    page_size: int = 0
    events: tuple[Event, ...] = ()
    lost: int = 0
    """Events that are not here: beyond the bound, or overwritten in the journal."""
    elsewhere: int = 0
    """Events of the SMMU in the window that are of other addresses."""
    views: tuple[View, ...] = ()


@dataclass(frozen=True, slots=True)
class Clock:
    """Virtual time = the guest's trace clock + ``offset_ns``, give or take ``uncertainty_ns``."""

    offset_ns: int | None = None
    """None: it was not measured, so that there are no events of the guest."""
    uncertainty_ns: int = 0
    samples: int = 0
    how: str = ""


@dataclass(frozen=True, slots=True)
class Timeline:
    """All paths of one boot of a guest."""

    schema: int = SCHEMA
    clock: Clock = Clock()
    paths: Mapping[str, PathTimeline] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Traced:
    """One path that was traced on its own."""

    path: str
    kernel: str
    variant: str
    setup: str
    outcome: str
    reason: str
    timeline: Timeline
    exported: Path
    """For Perfetto."""


_TIMELINE = TypeAdapter(Timeline)


def dump(timeline: Timeline) -> bytes:
    """The file's content; what is as ever is left out of it."""
    return _TIMELINE.dump_json(timeline, exclude_defaults=True)


def parse(content: bytes) -> Timeline:
    return _TIMELINE.validate_json(content)


def load(logs: Path) -> Timeline:
    """Of a guest's folder (``boot-N``), or of all boots below it; empty when nothing was recorded."""
    found = [logs / FILE, *sorted(logs.glob(f"boot-*/{FILE}"))]
    timelines = [parse(path.read_bytes()) for path in found if path.is_file()]
    paths = {name: path for one in timelines for name, path in one.paths.items()}
    return Timeline(clock=timelines[0].clock if timelines else Clock(), paths=paths)
