# SPDX-License-Identifier: GPL-2.0-or-later
"""Children that end with the harness, however that ends: by SIGKILL, too.

The kernel kills a child with PR_SET_PDEATHSIG when the *thread* that made it ends, not the process (prctl(2)): so
whoever starts one waits for it in the same thread. ``setpriv`` sets the signal after the fork, where Python code
could deadlock on a lock that another thread held.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence

from harness.errors import InfrastructureError

# $0 is the harness's pid: had the harness died before prctl(), nothing would send the signal any more.
GUARD = ("setpriv", "--pdeathsig", "KILL", "--", "sh", "-c", 'test "$PPID" -eq "$0" && exec "$@"')

MISSING = "setpriv is part of util-linux: install it"


def bound(argv: Sequence[str]) -> list[str]:
    """The command line of a program that is killed when the calling thread ends."""
    if shutil.which(GUARD[0]) is None:
        raise InfrastructureError(f"{GUARD[0]}: not found; install util-linux")
    return [*GUARD, str(os.getpid()), *argv]
