# SPDX-License-Identifier: GPL-2.0-or-later
"""The history file: one line of JSON for each row of each bench, ``bench.jsonl`` in the folder of results."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from bench.frame import Found

Lines = Mapping[str, Mapping[str, object]]
"""By measure."""
FILE = "bench.jsonl"
_SCHEMA = 1
_MEMORY = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@dataclass(frozen=True, slots=True)
class Machine:
    """Figures compare only on one machine."""

    name: str
    cpu: str
    cores: int
    memory_gib: int


def machine() -> Machine:
    """This one."""
    cpu = platform.processor() or platform.machine()
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    names = [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")]
    return Machine(platform.node(), names[0] if names else cpu, os.cpu_count() or 1, round(_MEMORY / (1 << 30)))


def commit(root: Path) -> str:
    """Of the checkout, with ``+`` for changes that are not committed; empty where there is none."""
    head = _git(root, "rev-parse", "HEAD")
    return head + ("+" if head and _git(root, "status", "--porcelain", "--untracked-files=no") else "")


def _git(root: Path, *argv: str) -> str:
    try:
        done = subprocess.run(["git", "-C", str(root), *argv], capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def line(one: Found, here: Machine, revision: str) -> str:
    """One row as a line."""
    return json.dumps(
        {
            "schema": _SCHEMA,
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": asdict(here),
            "commit": revision,
            "measure": one.name,
            "what": one.row.what,
            "unit": one.row.unit,
            "rounds": one.rounds,
            "ours": list(one.ours),
            "bare": list(one.bare),
            "ours_median": one.median,
            "bare_median": one.bare_median,
            "ratio": one.ratio,
            "spread": one.spread,
            "reach": one.row.reach,
            "reach_of": one.row.kind.value,
            "met": one.met,
            "load": one.load,
            "notes": list(one.notes),
        }
    )


def append(path: Path, text: str) -> None:
    """Add a line by one write: two benches at once do not mix theirs, and a kill leaves a whole one or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        os.write(descriptor, (text + "\n").encode("utf-8"))
    finally:
        os.close(descriptor)


def newest(path: Path, here: Machine) -> Lines:
    """The newest line of each measure on this machine. A line that cannot be read is passed over."""
    found: dict[str, Mapping[str, object]] = {}
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return {}
    for one in text.splitlines():
        try:
            row = json.loads(one)
        except ValueError:
            continue
        if isinstance(row, dict) and row.get("machine") == asdict(here) and isinstance(row.get("measure"), str):
            found[row["measure"]] = row
    return found
