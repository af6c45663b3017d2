# SPDX-License-Identifier: GPL-2.0-or-later
"""QEMU's own qtests, on the emulator with our changes: those of aarch64 that need nothing that we do not build.

They are built from the tree that the emulator is built from. qom-test, qos-test and test-hmp start boards with
network cards, whose ROMs are not in it. (Seen for qom-test, and with stock QEMU as well; not for the other two.)
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

QTESTS = ("device-introspect-test", "machine-none-test", "qmp-cmd-test", "qmp-test", "readconfig-test")
SECONDS = 300

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def build() -> Iterator[Path]:
    """A build folder with the emulator and its qtests."""
    from harness.jobs.workshop import Workshop

    with Workshop().emulator_bench() as bench:
        yield bench.build("qemu-system-aarch64", *(f"tests/qtest/{name}" for name in QTESTS))


@pytest.mark.parametrize("name", QTESTS)
def test_qtest_of_qemu_passes(build: Path, name: str) -> None:
    done = subprocess.run(
        [build / "tests/qtest" / name, "--tap", "-k"],
        cwd=build,
        env={**os.environ, "QTEST_QEMU_BINARY": "./qemu-system-aarch64", "QTEST_QEMU_IMG": "./qemu-img"},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    failed = re.findall(r"^not ok .*", done.stdout, re.MULTILINE)
    assert done.returncode == 0, f"{failed}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
