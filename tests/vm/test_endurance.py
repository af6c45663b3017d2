# SPDX-License-Identifier: GPL-2.0-or-later
"""Full load changes no outcome; guests in a row leak nothing. ``make endurance SOAK=200 ROUNDS=20``."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.model import BuiltKernel
from tests.leftovers import Place, nothing_left
from tests.vm.command import ROOT

pytestmark = pytest.mark.long

SOAK = int(os.environ.get("SOAK", "10"))
ROUNDS = int(os.environ.get("ROUNDS", "2"))
WARM = 4
"""Guests until all is loaded that will be."""
GROWTH_KIB = 16 << 10


@contextlib.contextmanager
def full_load(folder: Path) -> Iterator[None]:
    """Every CPU, memory, the scheduler and the disk are kept busy."""
    program = shutil.which("stress-ng")
    if program is None:
        pytest.fail("stress-ng is not installed: tools/setup.sh --test installs it")
    argv = [program, "--quiet", "--temp-path", str(folder), "--cpu", "0", "--switch", "1"]
    argv += ["--hdd", "1", "--hdd-bytes", "64M", "--vm", "1", "--vm-bytes", "256M"]
    # A session of its own: it signals its process group.
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, start_new_session=True) as process:
        try:
            yield
            assert process.poll() is None, "stress-ng ended before the guests"
        finally:
            process.send_signal(signal.SIGTERM)


def family_a(place: Place) -> dict[str, str]:
    """Outcome by path and setup, of guests that are run anew."""
    words = ("--kernels", "6.1", "--setups", "cortex-a57", "--workloads", "family:A", "--fresh", "--json")
    called = place.run("sweep", *words)
    assert called.status == 1, called.stderr  # 6.1 loops
    found = outcomes(json.loads(called.stdout))
    assert len(found) > 20
    return found


def outcomes(swept: dict[str, Any]) -> dict[str, str]:
    return {
        f"{path} on {cell['setup']['name']}": result["outcome"]
        for cell in swept["cells"]
        for path, result in cell["paths"].items()
    }


def test_no_outcome_flips_under_full_load(base_kernel: BuiltKernel, tmp_path: Path) -> None:
    with nothing_left(tmp_path) as place:
        quiet = family_a(place)
        flips = []
        for number in range(ROUNDS):
            with full_load(place.temporary):
                loaded = family_a(place)
            other = [key for key in quiet if loaded.get(key) != quiet[key]]
            flips += [f"round {number}: {key}: {quiet[key]}, then {loaded.get(key)}" for key in other]
            shutil.rmtree(place.results)
            print(f"round {number + 1} of {ROUNDS}: {len(flips)} flips in all", flush=True)
        assert flips == []


def test_guests_in_a_row_leak_nothing(base_kernel: BuiltKernel, tmp_path: Path) -> None:
    with nothing_left(tmp_path) as place:
        told = tmp_path / "soak.jsonl"
        with told.open("w") as out:
            subprocess.run(
                [sys.executable, "-m", "tests.vm.soak", str(SOAK), str(place.temporary / "logs")],
                cwd=ROOT,
                env={**os.environ, **place.environment},
                stdout=out,
                check=True,
            )
        lines = [json.loads(line) for line in told.read_text().splitlines()]
        (place.temporary / "logs").rmdir()
    assert [line["guest"] for line in lines] == list(range(SOAK))
    assert {line["end"] for line in lines} == {"POWEROFF"}
    assert set(lines[0]["outcomes"].values()) == {"LOOP", "PASS"}
    found = [{kind: line[kind] for kind in ("outcomes", "tests")} for line in lines]
    assert [number for number, other in enumerate(found) if other != found[0]] == []
    warm, last = lines[min(WARM, SOAK - 1)]["held"], lines[-1]["held"]
    print(f"{SOAK} guests: after {WARM} {warm}, at the end {last}")
    assert {**last, "rss_kib": 0} == {**warm, "rss_kib": 0}
    assert (last["children"], last["ports"], last["files"]) == (0, 0, 0)
    assert last["rss_kib"] < warm["rss_kib"] + GROWTH_KIB
