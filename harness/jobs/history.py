# SPDX-License-Identifier: GPL-2.0-or-later
"""Every run goes into the history as its results are kept; ``faultloop history`` reads it.

A run is worth more than its row: whatever is wrong with the history is told, and the run stands.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import os
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from harness import __version__
from harness.errors import InfrastructureError, UserError
from harness.model import BuiltKernel, Run
from harness.past import KeptGuest, KeptRun, Point, Stage
from harness.report import kcidb
from harness.shown import one_line
from harness.sources import datafile
from harness.swept import Cell, Sweep

VARIABLE = "FAULTLOOP_HISTORY"
FILE = "history.sqlite"
KCIDB_ORIGIN = "FAULTLOOP_KCIDB_ORIGIN"
"""Names the system that submits, as KCIDB knows it."""


def where(results: Path) -> Path:
    """The file of the history: `VARIABLE`, or beside the runs' folders."""
    named = os.environ.get(VARIABLE, "")
    return Path(named).expanduser().absolute() if named else results.absolute() / FILE


def import_ahead() -> None:
    """Import what keeping a run needs: a second, for who waits for something else meanwhile."""
    for name in ("harness.jobs.results", "harness.store.history", "kcidb_io.schema"):
        importlib.import_module(name)


def remember(run: Run, folder: Path) -> None:
    """Put ``run``, whose results lie in ``folder``, into the history; a note when that cannot be done."""
    remember_kept(of_run(run, folder))


def remember_kept(kept: KeptRun) -> None:
    """The same for what is put together already."""
    from harness.store import history  # SQLAlchemy: a fifth of a second, for a message about a misspelt name
    from harness.store.database import Store

    with told():
        history.add(Store(where(Path(kept.folder).parent)), kept)


def write_kcidb(kept: KeptRun, folder: Path, tree: kcidb.Tree | None = None) -> None:
    """Put ``kcidb.json`` into the run's folder; a note when it is not valid."""
    origin = os.environ.get(KCIDB_ORIGIN, "") or kcidb.ORIGIN
    try:
        text = kcidb.dump(kept, tree, origin=origin)
    except InfrastructureError as error:
        print(f"faultloop: note: {error.message}", file=sys.stderr)
    else:
        (folder / "kcidb.json").write_text(text, encoding="utf-8")


def course(results: Path, path: str, *, named: str = "", setup: str = "", count: str = "") -> list[Point]:
    """The course of a path; UserError when there is none."""
    from harness.store import history
    from harness.store.database import Store

    file = where(results)
    if not file.is_file():
        raise UserError(f"{file}: no history yet; every run makes it, or {VARIABLE} names another file")
    store = Store(file)
    found = history.points(store, path, named=named, setup=setup, count=count)
    if not found:
        known = history.paths(store)
        more = "of that kernel and setup " if path in known else ""
        hint = "" if path in known else f"; {datafile.nearest(path, known)}"
        raise UserError(f"{file}: the history has nothing {more}about '{path}'{hint}")
    return found


@contextlib.contextmanager
def told() -> Iterator[None]:
    """What is wrong with the history is a note."""
    try:
        yield
    except InfrastructureError as error:
        print(f"faultloop: note: this run is not in the history: {one_line(error.message)}", file=sys.stderr)


def of_run(run: Run, folder: Path) -> KeptRun:
    """The run as the history keeps it."""
    built: dict[str, BuiltKernel | None] = {"patched": run.patched}
    shas = [hashlib.sha256(p.diff.encode()).hexdigest() for p in run.series.patches]
    guests = []
    for record in run.records:
        kernel = built.get(record.variant) or run.base
        guests.append(
            KeptGuest(
                kernel=run.kernel,
                variant=record.variant,
                setup=record.setup,
                image_sha256=kernel.image_sha256,
                record=record,
                stage=Stage.RAN if record.booted else Stage.BOOT,
            )
        )
    return KeptRun(
        name=folder.name,
        job=run.job,
        started=run.started,
        seconds=run.seconds,
        status=run.status,
        verdict=str(run.judgement.verdict) if run.judgement else "",
        summary=run.summary,
        title=run.series.title if run.series.patches else "",
        patches=_patchset(shas) if shas else "",
        emulator=run.emulator.key,
        guest_image=run.guest.key,
        version=__version__,
        folder=str(folder.absolute()),
        guests=tuple(guests),
    )


def _patchset(shas: Sequence[str]) -> str:
    """As KCIDB names a series: the hash of its patches' hashes."""
    return hashlib.sha256("".join(f"{sha}\n" for sha in shas).encode()).hexdigest()


def of_sweep(done: Sweep, status: int, *, emulator: str, image: str) -> KeptRun:
    """A sweep as the history keeps it."""
    assert done.folder is not None
    started = datetime.now(UTC) - timedelta(seconds=done.seconds)
    return KeptRun(
        name=done.folder.name,
        job="sweep",
        started=started.isoformat(timespec="seconds"),
        seconds=done.seconds,
        status=status,
        verdict="",
        summary=", ".join(kernel.version for kernel in done.kernels),
        title="",
        patches="",
        emulator=emulator,
        guest_image=image,
        version=__version__,
        folder=str(done.folder.absolute()),
        guests=tuple(of_cell(cell) for cell in done.cells),
    )


def of_cell(cell: Cell) -> KeptGuest:
    """A cell of a matrix as the history keeps it."""
    return KeptGuest(
        kernel=cell.kernel,
        variant="base",
        setup=cell.setup.name,
        image_sha256=cell.built.image_sha256 if cell.built else "",
        record=cell.record,
        stage=cell.stage,
        error=cell.error,
    )
