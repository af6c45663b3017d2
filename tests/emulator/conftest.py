# SPDX-License-Identifier: GPL-2.0-or-later
"""The QEMU under test, and machines made with it.

``FAULTLOOP_QEMU`` names a binary; without it the emulator that users get is taken, and built if need be. There is
no skipping: without an emulator these tests have failed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from .binary import emulator
from .qtest import Machine, Options, command_line
from .world import SVA, World

MachineMaker = Callable[..., Machine]


@pytest.fixture(scope="session")
def qemu() -> Path:
    """The patched qemu-system-aarch64."""
    return emulator()


@pytest.fixture
def start(qemu: Path) -> Iterator[MachineMaker]:
    """``start(smmu=..., devices=[...])``: a machine, which ends with the test."""
    with ExitStack() as machines:

        def maker(
            smmu: Options | None = SVA,
            devices: Sequence[Options] = ({"addr": "2.0"},),
            machine: str = "virt",
            cpu: str = "cortex-a57",
            kernel: Path | None = None,
            incoming: bool = False,
        ) -> Machine:
            argv = command_line(
                qemu, machine=machine, smmu=smmu, devices=devices, cpu=cpu, kernel=kernel, incoming=incoming
            )
            return machines.enter_context(Machine(argv))

        yield maker


@pytest.fixture
def world(start: MachineMaker) -> World:
    """One device with two processes, behind an SMMU with substreams and stalls."""
    return World.build(start())
