# SPDX-License-Identifier: GPL-2.0-or-later
"""The folder of a run's results: whole or not there.

A run writes into ``results/.partial-<id>``; at its end the folder is renamed to ``results/<id>`` and
``results/latest`` points to it. A run that fails keeps its logs as ``results/failed-<id>``; one that is
interrupted leaves nothing.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from harness.errors import FaultloopError, InfrastructureError
from harness.jobs import history, report
from harness.model import BuiltKernel, Run
from harness.report import document, reproduce, schema
from harness.shown import printable
from harness.sources.patch_render import mailbox


class RunFolder:
    """Where the records of a run are written until it is kept."""

    def __init__(self, root: Path, title: str) -> None:
        self._root = root
        slug = re.sub(r"[^A-Za-z0-9.]+", "-", title).strip("-")[:48].strip("-.") or "run"
        stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
        self._name = base = f"{stamp}-{os.getpid()}-{slug}"
        number = 1
        while self.final.exists():  # of this second
            number += 1
            self._name = f"{base}-{number}"
        self.path = root / f".partial-{self._name}"

    @property
    def final(self) -> Path:
        """Where it will be once it is kept."""
        return self._root / self._name

    @contextlib.contextmanager
    def open(self) -> Iterator[Path]:
        """The folder while the run goes on."""
        try:
            self._sweep()
            self.path.mkdir(parents=True)
        except OSError as error:
            raise InfrastructureError(
                f"{self._root}: results cannot be written there: {error.strerror}; "
                "name another folder in FAULTLOOP_RESULTS"
            ) from error
        try:
            yield self.path
        except FaultloopError as error:
            self._fail(error)
            raise
        except BaseException:
            shutil.rmtree(self.path, ignore_errors=True)
            raise

    def keep(self, run: Run) -> Path:
        """Write the reports, put the folder in its place, and the run into the history."""
        try:
            final = self.final
            _write(run, self.path)
            history.write_kcidb(history.of_run(run, final), self.path)
            self.path.rename(final)
            link = self._root / f".latest-{os.getpid()}"
            link.unlink(missing_ok=True)
            link.symlink_to(self._name)
            link.replace(self._root / "latest")
        except OSError as error:
            raise InfrastructureError(f"{self._root}: results cannot be written: {error}") from error
        history.remember(run, final)
        return final

    def keep_files(self, write: Callable[[Path], None]) -> Path:
        """The same for a job that is no `Run`: ``write`` writes its reports. ``latest`` is left as it is."""
        final = self.final
        try:
            write(self.path)
            self.path.rename(final)
        except OSError as error:
            raise InfrastructureError(f"{self._root}: results cannot be written: {error}") from error
        return final

    def _fail(self, error: FaultloopError) -> None:
        if not any(p.is_file() for p in self.path.rglob("*")):
            shutil.rmtree(self.path, ignore_errors=True)
            return
        with contextlib.suppress(OSError):  # a full disk, say: the logs are kept all the same
            said = printable(f"{error.message}\n\n{error.detail}\n")
            (self.path / "error.txt").write_text(said, encoding="utf-8")
        try:
            kept = self._root / f"failed-{self._name}"
            self.path.rename(kept)
            error.detail += f"\nlogs: {kept}"
        except OSError:
            shutil.rmtree(self.path, ignore_errors=True)

    def _sweep(self) -> None:
        """Partial folders of runs that were killed."""
        for left in self._root.glob(".partial-*"):
            owner = left.name.split("-")[3:4]
            if owner and owner[0].isdigit() and not Path("/proc", owner[0]).exists():
                shutil.rmtree(left, ignore_errors=True)


def _write(run: Run, folder: Path) -> None:
    _build(run.base, folder / "base")
    if run.patched is not None:
        _build(run.patched, folder / "patched")
        if run.series.patches:
            (folder / "series.patch").write_bytes(mailbox(run.series))
    script = folder / "reproduce.sh"
    script.write_text(reproduce.script(run), encoding="utf-8")
    script.chmod(0o755)
    file = document.of(run)
    (folder / "run.json").write_text(schema.dump(file), encoding="utf-8")
    report.write(folder, file)


def _build(built: BuiltKernel, folder: Path) -> None:
    """Configuration and build log of a variant, beside its guests' logs."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(built.config, folder / "config")
    shutil.copyfile(built.log, folder / "build.log")
