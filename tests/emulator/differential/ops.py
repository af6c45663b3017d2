# SPDX-License-Identifier: GPL-2.0-or-later
"""What a case consists of: the machine's properties, and operations in order.

Any subset of a case's operations, in their order, is a case as well: that is what lets a disagreement shrink.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

Properties = Mapping[str, int | bool | str]


class Kind(IntEnum):
    """What an access does."""

    READ = 1
    WRITE = 2
    FETCH_ADD = 3


@dataclass(frozen=True, slots=True)
class Poke:
    """The CPU writes 64 bits."""

    pa: int
    value: int


@dataclass(frozen=True, slots=True)
class Fill:
    """The CPU fills memory with one byte."""

    pa: int
    size: int
    byte: int


@dataclass(frozen=True, slots=True)
class Access:
    """An engine of a device runs a command; ``ssid`` None: without PASID. Dropped if the engine is stalled."""

    device: int
    engine: int
    kind: Kind
    va: int
    length: int
    ssid: int | None
    data: int


@dataclass(frozen=True, slots=True)
class Command:
    """A command of the SMMU, as its two words."""

    low: int
    high: int = 0


@dataclass(frozen=True, slots=True)
class Resume:
    """Answer a stall: the ``nth`` of those outstanding, modulo their number. Dropped if there is none.

    ``wrong``: with another StreamID (``"sid"``) or a STAG that is not in use (``"stag"``).
    """

    nth: int
    retry: bool
    abort: bool
    wrong: str = ""


@dataclass(frozen=True, slots=True)
class StallTerm:
    """CMD_STALL_TERM."""

    sid: int


@dataclass(frozen=True, slots=True)
class GiveUp:
    """An engine is told to drop its command."""

    device: int
    engine: int


@dataclass(frozen=True, slots=True)
class Probe:
    """Ask what the IOTLB holds."""

    device: int
    va: int
    ssid: int | None


@dataclass(frozen=True, slots=True)
class Switch:
    """CR0.SMMUEN, CR0.EVENTQEN, and GBPA.ABORT."""

    smmuen: bool
    eventqen: bool
    gbpa_abort: bool


@dataclass(frozen=True, slots=True)
class StreamTable:
    """STRTAB_BASE, STRTAB_BASE_CFG; with translation off."""

    base: int
    log2size: int
    split: int
    """0: linear."""


Op = Poke | Fill | Access | Command | Resume | StallTerm | GiveUp | Probe | Switch | StreamTable


@dataclass(frozen=True, slots=True)
class Case:
    """A machine and what happens to it."""

    seed: int
    smmu: Properties
    slots: tuple[int, ...]
    """PCI slots of the devices; the StreamID is eight times that."""
    engines: int
    ops: tuple[Op, ...]
