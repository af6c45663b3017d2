# SPDX-License-Identifier: GPL-2.0-or-later
"""``faultloop report``: the reports of a run, from its ``run.json`` and the logs beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.jobs import kept
from harness.report import document, html, junit, ktap, text
from harness.report.evidence import Boot, Evidence
from harness.report.schema import GuestFile, RunFile
from harness.timeline import load

_MOST_CONSOLE = 16 << 20
"""Bytes of a console that are looked at."""


def remake(run: Path) -> list[Path]:
    """Write the reports of the run in folder ``run`` anew; UserError when there is none that can be read."""
    return write(run, kept.read(run))


def write(run: Path, file: RunFile) -> list[Path]:
    """Write all reports of ``file`` into its folder."""
    found = evidence(run, file)
    again = document.restore(file, found.ktaps)
    kept.write(run / "report.txt", text.plain(again))
    kept.write(run / "results.ktap", ktap.write(again))
    with kept.replaced(run / "junit.xml") as new:
        junit.write(again, new)
    kept.write(run / "report.html", html.page(file, found))
    return [run / name for name in ("report.html", "report.txt", "results.ktap", "junit.xml")]


def evidence(run: Path, file: RunFile) -> Evidence:
    """What the run's folder holds beside ``run.json``."""
    guests = {(guest.variant, guest.setup): guest for guest in file.guests if kept.boots(run, guest)}
    return Evidence(
        ktaps=kept.ktaps(run, file),
        timelines={name: load(run / guest.variant / guest.setup) for name, guest in guests.items()},
        boots={name: _boots(run, guest) for name, guest in guests.items()},
    )


def _boots(run: Path, guest: GuestFile) -> Sequence[Boot]:
    found = []
    for logs in kept.boots(run, guest):
        log = logs / "console.log"
        if log.is_file() and not log.is_symlink():
            with log.open("rb") as stream:
                said = stream.read(_MOST_CONSOLE).decode("utf-8", errors="replace")
            found.append(Boot(str(log.relative_to(run)), said.splitlines()))
    return found
