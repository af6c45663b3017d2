# SPDX-License-Identifier: GPL-2.0-or-later
"""A run that was kept: its ``run.json``, and what its folder holds beside it."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from harness.errors import InfrastructureError, UserError
from harness.report import schema
from harness.report.document import Ktaps
from harness.report.schema import GuestFile, RunFile

_MOST_BYTES = 64 << 20
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+=,-]*")


def read(run: Path) -> RunFile:
    """``run.json`` of a results folder. UserError when that holds none that can be read."""
    file = run / "run.json"
    try:
        with file.open("rb") as stream:
            text = stream.read(_MOST_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"{run}: no run there; name a folder of results/ (RUN=results/...)") from None
    except OSError as error:
        raise UserError(f"{file}: {error.strerror}") from error
    if len(text) > _MOST_BYTES:
        raise UserError(f"{file}: longer than {_MOST_BYTES >> 20} MiB: not a run.json")
    return schema.parse(text, str(file))


def ktaps(run: Path, file: RunFile) -> Ktaps:
    """What each workload printed, as far as the folder still has it."""
    found = {}
    for guest in file.guests:
        for boot in boots(run, guest):
            for path in guest.outcomes:
                printed = boot / f"{path}.ktap"
                if _NAME.fullmatch(path) and printed.is_file() and not printed.is_symlink():
                    found[guest.variant, guest.setup, path] = printed.read_text(encoding="utf-8", errors="replace")
    return found


def boots(run: Path, guest: GuestFile) -> list[Path]:
    """A guest's logs, a folder for each time it was booted. A run.json may be a stranger's: no way out."""
    if not all(map(_NAME.fullmatch, (guest.variant, guest.setup))):
        return []
    folders = (run / guest.variant / guest.setup).glob("boot-*")
    return sorted((f for f in folders if f.is_dir()), key=lambda f: (len(f.name), f.name))


def write(file: Path, text: str) -> None:
    """The whole text, or the file as it was."""
    with replaced(file) as new:
        new.write_text(text, encoding="utf-8")


@contextlib.contextmanager
def replaced(file: Path) -> Iterator[Path]:
    """A file to write to, which takes the place of ``file`` when that went well."""
    new = file.with_name(f".{file.name}-{os.getpid()}")
    try:
        yield new
        new.replace(file)
    except OSError as error:
        raise InfrastructureError(f"{file}: cannot be written: {error.strerror}") from error
    finally:
        new.unlink(missing_ok=True)
