# SPDX-License-Identifier: GPL-2.0-or-later
"""The other series of QEMU that our changes are for: they apply, it builds, and it does what these tests say."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.build.emulator_source import SERIES_VARIABLE, SOURCE_VARIABLE
from harness.jobs.workshop import Workshop

TESTS = Path(__file__).resolve().parent


@pytest.mark.long
@pytest.mark.parametrize("series", ["10.2"])
def test_emulator_of_another_series_behaves_alike(series: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SOURCE_VARIABLE, raising=False)
    monkeypatch.setenv(SERIES_VARIABLE, series)
    emulator = Workshop().emulator
    assert f"version {series}." in emulator.version
    done = subprocess.run(
        [sys.executable, "-P", "-m", "pytest", "-q", "-m", "not long", "-p", "no:cacheprovider", str(TESTS)],
        cwd=TESTS.parent.parent,
        env={**os.environ, "FAULTLOOP_QEMU": str(emulator.binary)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:]
