# SPDX-License-Identifier: GPL-2.0-or-later
"""QEMU's own qtests, on the emulator with our changes: all of aarch64 that the minimal build has the devices for.

They are built from the tree that the emulator is built from. qom-test, qos-test and test-hmp start "virt" with its
default network card, which wants efi-virtio.rom: neither Debian's source nor the build has it, so stock QEMU ends
at once as well. Nothing runs the ROM: any content does.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

QTESTS = (
    "device-introspect-test",
    "machine-none-test",
    "qmp-cmd-test",
    "qmp-test",
    "qom-test",
    "qos-test",
    "readconfig-test",
    "test-hmp",
)
SECONDS = 300

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def build() -> Iterator[Path]:
    """A build folder with the emulator and its qtests."""
    from harness.jobs.workshop import Workshop

    with Workshop().emulator_bench() as bench:
        yield bench.build("qemu-system-aarch64", *(f"tests/qtest/{name}" for name in QTESTS))


@pytest.mark.parametrize("name", QTESTS)
def test_qtest_of_qemu_passes(build: Path, name: str, tmp_path: Path) -> None:
    (tmp_path / "efi-virtio.rom").write_bytes(bytes(512))
    qemu = tmp_path / "qemu-system-aarch64"
    qemu.write_text(f'#!/bin/sh\nexec {build}/qemu-system-aarch64 -L {tmp_path} "$@"\n')
    qemu.chmod(0o755)
    done = subprocess.run(
        [build / "tests/qtest" / name, "--tap", "-k"],
        cwd=build,
        env={**os.environ, "QTEST_QEMU_BINARY": str(qemu), "QTEST_QEMU_IMG": "./qemu-img"},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    failed = re.findall(r"^not ok .*", done.stdout, re.MULTILINE)
    assert done.returncode == 0, f"{failed}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
