# SPDX-License-Identifier: GPL-2.0-or-later
"""What the user is told while a run goes on."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import pytest

from harness.progress import Progress
from harness.shown import printable


def test_plain_lines_with_the_time_of_the_last_one(tmp_path: Path) -> None:
    memory, out = tmp_path / "t.json", StringIO()
    memory.write_text(json.dumps({"base kernel": 541.2}))
    with Progress(memory, stream=out).step("base kernel") as step:
        step.note = "1114 objects"
    first, last = out.getvalue().splitlines()
    assert first == "base kernel ... (last time 9 min 1 s)"
    assert last.startswith("base kernel: 0.") and last.endswith("1114 objects")
    assert json.loads(memory.read_text())["base kernel"] < 1


def test_what_came_from_the_cache_does_not_change_the_memory(tmp_path: Path) -> None:
    memory = tmp_path / "t.json"
    memory.write_text(json.dumps({"kernel": 100.0}))
    with Progress(memory, stream=StringIO()).step("kernel") as step:
        step.worked = False
    assert json.loads(memory.read_text()) == {"kernel": 100.0}


@pytest.mark.parametrize("content", ["", "{", "[]", '{"kernel": "x"}'])
def test_a_damaged_memory_is_ignored(tmp_path: Path, content: str) -> None:
    memory = tmp_path / "t.json"
    memory.write_text(content)
    with Progress(memory, stream=StringIO()).step("kernel"):
        pass
    assert "kernel" in json.loads(memory.read_text())


def test_terminal_control_never_reaches_the_terminal() -> None:
    assert printable("\x1b[2Jred\x07\n\ttext\x9b") == "\ufffd[2Jred\ufffd\n\ttext\ufffd"
