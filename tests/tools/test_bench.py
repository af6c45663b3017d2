# SPDX-License-Identifier: GPL-2.0-or-later
"""`make bench` itself, with the cheapest of its measures."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from tests.documents import ROOT


def bench(results: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", "-s", "bench", *words],
        cwd=ROOT,
        env={**os.environ, "FAULTLOOP_RESULTS": str(results)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_measure_is_made_told_and_remembered(tmp_path: Path) -> None:
    first, second = (bench(tmp_path, "NAMES=import cold", "ROUNDS=1") for _ in range(2))
    assert first.returncode == second.returncode == 0, first.stderr
    assert "not judged: 1 of 5 rounds" in first.stdout
    assert "left out cold:" in first.stdout and "COLD=n" in first.stdout
    assert "against the last time" not in first.stdout
    assert "against the last time on this machine" in second.stdout
    rows = [json.loads(line) for line in (tmp_path / "bench.jsonl").read_text().splitlines()]
    assert [row["measure"] for row in rows] == ["import", "import"]
    assert len(rows[0]["ours"]) == len(rows[0]["bare"]) == 1
    assert 0 < rows[0]["bare"][0] < rows[0]["ours"][0]


def test_an_unknown_measure_is_the_users_mistake(tmp_path: Path) -> None:
    done = bench(tmp_path, "NAMES=imports")
    assert done.returncode == 2
    assert "unknown measure 'imports': did you mean import" in done.stderr
