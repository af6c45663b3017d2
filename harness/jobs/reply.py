# SPDX-License-Identifier: GPL-2.0-or-later
"""``faultloop reply``: text for the thread, of a run that was kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from harness.errors import UserError
from harness.report import document, mail


def reply(run: Path) -> str:
    """The mail for the run in folder ``run``. UserError when that holds none that can be read."""
    return mail.reply(read(run))


def read(run: Path) -> dict[str, Any]:
    """``run.json`` of a results folder, as data."""
    file = run / "run.json"
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{run}: no run there; name a folder of results/ (RUN=results/...)") from None
    except OSError as error:
        raise UserError(f"{file}: {error.strerror}") from error
    except ValueError as error:
        raise UserError(f"{file}: not a whole run.json: {error}") from None
    schema = found.get("schema") if isinstance(found, dict) else None
    if schema != document.SCHEMA:
        raise UserError(f"{file}: has schema {schema!r}, this version reads {document.SCHEMA!r}")
    return dict(found)
