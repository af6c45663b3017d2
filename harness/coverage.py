# SPDX-License-Identifier: GPL-2.0-or-later
"""The nouns of coverage: functions that raise a page-table entry, where their code is, and whether it ran."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from harness.model import BuiltKernel, Kernel, Outcome, Setup


class Kind(StrEnum):
    """How a function raises an entry."""

    FLAGS = "set_access_flags"
    """Calls ``*_set_access_flags()`` with ``dirty`` set, or not known to be 0."""
    ACCESS = "access flag only"
    """Calls it with ``dirty`` = 0 alone."""
    RAISE = "raises"
    """Makes a value writable or dirty that it does not return: it, or what it calls, commits it."""
    BIT = "clears the bit"
    """Clears ``PTE_RDONLY`` itself."""


@dataclass(frozen=True, slots=True)
class Call:
    """A call that makes a function one of those that raise."""

    callee: str
    line: int


@dataclass(frozen=True, slots=True)
class Upgrader:
    """A function that raises an entry."""

    file: str
    """Relative to the tree."""
    name: str
    line: int
    end: int
    """Lines of its definition, from 1."""
    kind: Kind
    calls: tuple[Call, ...] = ()


@dataclass(frozen=True, slots=True)
class Scan:
    """What was found in a tree."""

    upgraders: tuple[Upgrader, ...]
    """By file and line."""
    raisers: tuple[str, ...]
    """Names of functions and macros that return a raised entry."""
    unseen: tuple[str, ...] = ()
    """``file:line: name``: calls that stand in no function that the parser could make out."""


class How(StrEnum):
    """What is probed at a site."""

    CALL = "call"
    """The call of a function that writes the entry; its second argument is the address."""
    STORE = "store"
    """The instruction that writes the entry."""
    ENTRY = "entry"
    """The first instruction of the function, or of what was inlined of it."""


@dataclass(frozen=True, slots=True)
class Site:
    """A place in the kernel's code where a function that was found writes an entry."""

    function: str
    file: str
    """Of the function."""
    offset: int
    """From ``_text``, bytes."""
    how: How
    within: str
    """Function of the kernel image that holds the code, where that is another."""
    callee: str = ""
    """What is called, or was inlined."""
    register: int = -1
    """Of a store: the general register that holds the new entry."""
    address: int = 0
    """The same place as an address of the kernel, which is not moved when it starts."""


@dataclass(frozen=True, slots=True)
class Sites:
    """Where the code is of all that was found."""

    sites: tuple[Site, ...]
    not_built: tuple[str, ...] = ()
    """Files with functions that were found, and that this kernel has no object of."""


class State(StrEnum):
    """What became of a function."""

    COVERED = "covered"
    """It raised the entry of the page under test while the SMMU held that read-only."""
    EXCUSED = "not run"
    """It did not, and there is a reason."""
    MISSING = "NOT COVERED"
    """It did not, and nobody knows why it should not."""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why functions need not, or cannot, be covered."""

    functions: tuple[str, ...]
    why: str
    series: tuple[str, ...] = ()
    """Kernel series that it was read in."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A workload in whose window the code of a function ran."""

    path: str
    setup: str
    outcome: Outcome
    same_frame: bool
    """The entry led to the same page before and after: raised in place."""


@dataclass(frozen=True, slots=True)
class Row:
    """A function, and what became of it."""

    upgrader: Upgrader
    part: str
    """Which of its ways to write an entry, where it has two; else empty."""
    state: State
    hits: tuple[Hit, ...] = ()
    why: str = ""
    ran: tuple[str, ...] = ()
    """Workloads in which its code ran, but not with the page cached read-only."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """The result of a run."""

    kernel: Kernel
    built: BuiltKernel
    setups: tuple[Setup, ...]
    rows: tuple[Row, ...]
    faults: tuple[str, ...]
    """What makes the table itself doubtful: reasons that do not hold any more, calls not understood."""
    folder: Path | None = None

    @property
    def missing(self) -> tuple[Row, ...]:
        return tuple(row for row in self.rows if row.state is State.MISSING)
