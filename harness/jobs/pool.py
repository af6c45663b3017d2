# SPDX-License-Identifier: GPL-2.0-or-later
"""Where guests and builds run: in processes of this host, or on other machines (``POOL=``).

A process for each task, not a thread: a signal ends a process in the middle of any wait, so that Ctrl-C and
SIGTERM unwind every guest's context manager at once. Tasks hand over their results as files; only errors
travel back.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from harness.errors import ExitStatus, FaultloopError, InfrastructureError, defect
from harness.interruption import held, unwind

if TYPE_CHECKING:
    from harness.build.cache import Cache
    from harness.build.sandbox import Sandbox
    from harness.model import Emulator, GuestImage, Kernel, Series

VARIABLE = "FAULTLOOP_POOL"
"""Names the scheduler of a pool of machines."""

Task = Callable[[], None]
OnEnd = Callable[[int, FaultloopError | None], None]

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_STOP_SECONDS = 20.0
"""How long a task may take to clean up after SIGTERM before it is killed."""


class Elsewhere(Protocol):
    """Other machines: `harness.jobs.cluster`."""

    def guests(
        self, todo: Sequence[tuple[Any, Path]], emulator: Emulator, image: GuestImage, on_end: OnEnd
    ) -> list[FaultloopError | None]:
        """Run guests (`GuestJob`, and where its logs go), as many at once as fit; the error of each."""
        ...

    def kernel(
        self, source: Kernel, series: Series, fragments: Sequence[str], *, on_output: Callable[[str], None]
    ) -> None:
        """See to it that the cache has all that a build of this kernel would make."""
        ...


def elsewhere(
    url: str, *, cache: Cache, sandbox: Callable[[], Sandbox], say: Callable[[str], None]
) -> Elsewhere | None:
    """The pool of machines whose scheduler is at ``url``, or in FAULTLOOP_POOL; None: this host alone.

    UserError when such a scheduler must not be used. Connects when it is first needed.
    """
    url = url or os.environ.get(VARIABLE, "")
    if not url:
        return None
    from harness.jobs.cluster import Cluster  # Dask takes a second to import

    return Cluster(url, cache=cache, sandbox=sandbox, say=say)


def run(tasks: Sequence[Task], *, at_once: int, on_end: OnEnd | None = None) -> list[FaultloopError | None]:
    """Run the tasks, at most ``at_once`` together; the error of each, or None.

    ``on_end`` is called as each ends, with its number and its error.
    An interruption ends all of them, waits for their clean-up and is raised again.
    """
    context = multiprocessing.get_context("fork")
    errors: list[FaultloopError | None] = [None] * len(tasks)
    waiting = list(enumerate(tasks))
    running: dict[Connection, tuple[int, BaseProcess]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < max(1, at_once):
                index, task = waiting.pop(0)
                ours, theirs = context.Pipe(duplex=False)
                process: BaseProcess = context.Process(target=_child, args=(task, theirs, os.getpid()))
                with held():
                    process.start()
                    running[ours] = (index, process)
                theirs.close()
            for ready in wait(list(running)):
                assert isinstance(ready, Connection)
                done, ended = running.pop(ready)
                errors[done] = _harvest(ready, ended)
                if on_end is not None:
                    on_end(done, errors[done])
    finally:
        _stop([process for _, process in running.values()])
    return errors


def _harvest(ours: Connection, process: BaseProcess) -> FaultloopError | None:
    try:
        error: FaultloopError | None = ours.recv()
    except EOFError:
        process.join()
        error = InfrastructureError(f"a guest's process ended without a word (status {process.exitcode})")
    ours.close()
    process.join()
    return error


def _stop(processes: Sequence[BaseProcess]) -> None:
    for process in processes:
        process.terminate()
    for process in processes:
        process.join(_STOP_SECONDS)
        if process.is_alive():
            process.kill()
            process.join()


def _child(task: Task, theirs: Connection, parent: int) -> None:
    """Body of a task's process: no traceback for the user, whatever happens."""
    try:
        unwind()
        end_with(parent)
        task()
    except FaultloopError as error:
        theirs.send(error)
    except KeyboardInterrupt:
        os._exit(ExitStatus.INTERRUPTED)
    except Exception as error:  # noqa: BLE001 - a defect of ours must reach the parent as an error, not a silence
        theirs.send(defect(error))
    else:
        theirs.send(None)
    theirs.close()
    sys.stdout.flush()
    sys.stderr.flush()


def end_with(parent: int) -> None:
    """SIGTERM when the parent dies, of whatever: nobody would take the results.

    The signal comes when the thread ends that forked (prctl(2)): the parent's stays to the end of :func:`run`.
    """
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:
        raise KeyboardInterrupt
