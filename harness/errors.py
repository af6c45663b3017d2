# SPDX-License-Identifier: GPL-2.0-or-later
"""What can go wrong, and by whose fault.

Each error carries one message for the user: what is wrong, where (file and line when there is one), and the
way out. The command line prints it without a traceback and exits with the error's status (design.md, "Words").
"""

from __future__ import annotations

import traceback
from enum import IntEnum


class ExitStatus(IntEnum):
    """Exit statuses of the command ``faultloop``."""

    FIXES = 0
    NOT_FIXED = 1
    USER = 2
    UNDECIDED = 3
    INFRASTRUCTURE = 4
    INTERRUPTED = 130
    STOP_BISECT = 255


class FaultloopError(Exception):
    """Base of every error that faultloop reports. ``detail`` is shown below the message, verbatim."""

    status = ExitStatus.INFRASTRUCTURE

    def __init__(self, message: str, *, detail: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.detail = detail


class UserError(FaultloopError):
    """The user's input is at fault: a patch, a kernel, an option. Exit status 2."""

    status = ExitStatus.USER


class InfrastructureError(FaultloopError):
    """The harness or its host is at fault: a tool, the disk, the network, QEMU. Exit status 4."""

    status = ExitStatus.INFRASTRUCTURE


def defect(error: Exception) -> InfrastructureError:
    """What no part of ours foresaw, as an error for the user; its traceback is the detail."""
    told = "".join(traceback.format_exception(error))
    return InfrastructureError(f"defect in the harness: {error!r}", detail=told)


class PatchError(UserError):
    """A patch cannot be read or does not apply."""


class BuildError(UserError):
    """A variant does not build. ``detail`` holds the compiler's own lines."""


class PatchedDriverError(BuildError):
    """The guest driver does not build for a variant that does, though it may for its base."""


class KernelConfigError(UserError):
    """Options that were asked for are missing from the resulting ``.config``."""


class DriverError(InfrastructureError):
    """The guest driver does not build for a kernel that does: an interface of the kernel's has moved."""


class GuestError(InfrastructureError):
    """A guest could not be started or controlled; not the guest kernel's fault."""


class GuestPanicked(FaultloopError):
    """The guest kernel panicked (pvpanic, or its console text). ``detail`` holds the trace."""


class GuestHung(FaultloopError):
    """The guest made no progress for longer than its silence bound. ``detail`` holds the console's tail."""


class GuestStopped(FaultloopError):
    """The guest powered off or reset before it was told to. ``detail`` holds the console's tail."""
