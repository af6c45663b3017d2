# SPDX-License-Identifier: GPL-2.0-or-later
"""``faultloop WORDS``, with a fault at one place: ``python at.py PLACE FAULT python -m harness WORDS``.

PLACE is ``module:function`` or ``module:Class.method``, with ``~text`` behind it for a call whose arguments hold
that text. When it is called, and before it does anything, FAULT happens, once: a signal's number for this process,
or a command for the shell. All else is the real command.
"""

from __future__ import annotations

import functools
import importlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any


def behind(place: str, fault: int | str) -> list[str]:
    """What comes before the command line (``Place.start``)."""
    return [sys.executable, "-P", __file__, place, str(int(fault) if isinstance(fault, int) else fault)]


def find(where: str) -> tuple[Any, str, Callable[..., Any]]:
    """Of ``module:function`` or ``module:Class.method``: what has it, its name there, and it."""
    module, _, name = where.partition(":")
    owner: Any = importlib.import_module(module)
    *above, last = name.split(".")
    for part in above:
        owner = getattr(owner, part)
    return owner, last, getattr(owner, last)


def arm(place: str, fault: Callable[[], None]) -> None:
    """Have ``fault`` happen when ``place`` is reached for the first time."""
    where, _, text = place.partition("~")
    owner, last, real = find(where)
    once = threading.Lock()

    @functools.wraps(real)
    def reached(*args: Any, **named: Any) -> Any:
        told = " ".join(str(getattr(one, "args", one)) for one in (*args, *named.values()))
        if text in told and once.acquire(blocking=False):
            fault()
        return real(*args, **named)

    setattr(owner, last, reached)


def main(place: str, fault: str, *command: str) -> None:
    harness = os.getpid()  # each guest has a process of its own, in which the place may be

    def happen() -> None:
        if fault.isdigit():
            os.kill(harness, int(fault))
        else:
            subprocess.run(["sh", "-ec", fault], check=True, stdout=sys.stderr)

    arm(place, happen)
    sys.argv[1:] = command[command.index("harness") + 1 :]
    from harness.cli import main as faultloop

    faultloop()


if __name__ == "__main__":
    main(*sys.argv[1:])
