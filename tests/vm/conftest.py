# SPDX-License-Identifier: GPL-2.0-or-later
"""Real parts for tests with guests: emulator, guest image, kernels; from the cache, or made when not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.jobs.workshop import Workshop
from harness.model import BuiltKernel, Emulator, GuestImage
from tests.vm import installed
from tests.vm.command import ROOT
from tests.vm.installed import Installed


@pytest.fixture(scope="session")
def shop() -> Workshop:
    """Cache, sandbox and sources."""
    return Workshop()


@pytest.fixture(scope="session")
def emulator(shop: Workshop) -> Emulator:
    """The patched QEMU."""
    return shop.emulator


@pytest.fixture(scope="session")
def guest_image(shop: Workshop) -> GuestImage:
    """Initramfs, disk and keys."""
    return shop.guest_image


@pytest.fixture(scope="session")
def base_kernel(shop: Workshop) -> BuiltKernel:
    """Linux 6.1, which has the bug."""
    return shop.variant(shop.kernel("6.1"))


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of this checkout."""
    return installed.build_wheel(ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def command(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The command, out of the wheel."""
    return installed.install(wheel, tmp_path_factory.mktemp("installed"))
