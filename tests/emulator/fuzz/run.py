# SPDX-License-Identifier: GPL-2.0-or-later
"""Run lines on a machine of their own, and say what became of it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ..qtest import Machine, Options, QemuDied, command_line

BATCH = 300
_OPTIONS = {
    "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=1",
    "UBSAN_OPTIONS": "halt_on_error=1:abort_on_error=1:print_stacktrace=1",
}
_SAID = re.compile(r"(ERROR: AddressSanitizer: .*|.*runtime error: .*|.*[Aa]ssertion.*|no answer.*)")


@contextmanager
def sanitizers() -> Iterator[None]:
    """What a sanitizer finds ends QEMU."""
    before = {name: os.environ.get(name) for name in _OPTIONS}
    os.environ.update(_OPTIONS)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def run(qemu: Path, smmu: Options, devices: Sequence[Options], lines: Sequence[str]) -> str:
    """How QEMU died or hung; nothing if it did neither."""
    try:
        with sanitizers(), Machine(command_line(qemu, smmu=smmu, devices=devices)) as machine:
            for at in range(0, len(lines), BATCH):
                machine.qtest.exchange(lines[at : at + BATCH])
            machine.qtest.read32(0x0905_0000)
            machine.stats()
    except (QemuDied, OSError) as error:
        return str(error) or repr(error)
    return ""


def kind(end: str) -> str:
    """Its line that says most, without numbers: two ends that agree in it have one cause."""
    said = _SAID.search(end)
    return re.sub(r"0x[0-9a-f]+|\d+", "", said.group(1) if said else end[:60])
