# SPDX-License-Identifier: GPL-2.0-or-later
"""Where the project's data files and the user's cache are."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from harness.errors import InfrastructureError


@dataclass(frozen=True, slots=True)
class Layout:
    """The folders of a checkout (the package runs from its own checkout: the sources it builds lie beside it)."""

    root: Path

    @property
    def kconfigs(self) -> Path:
        """Kernel configuration fragments."""
        return self.root / "kconfigs"

    @property
    def kernels(self) -> Path:
        """``kernels.yaml``: which kernels there are."""
        return self.root / "kernels.yaml"

    @property
    def qemu(self) -> Path:
        """QEMU overlay, hooks and configure options."""
        return self.root / "patches" / "qemu"

    @property
    def linux(self) -> Path:
        """Our own kernel patches and what is expected of them."""
        return self.root / "patches" / "linux"

    @property
    def guest_tests(self) -> Path:
        """Driver, workloads and init of the guest."""
        return self.root / "guest-tests"

    @property
    def driver(self) -> Path:
        """Sources of the guest's kernel module."""
        return self.guest_tests / "driver"


def project() -> Layout:
    """The checkout that this package lies in; InfrastructureError when its data files are not beside it."""
    root = Path(__file__).resolve().parent.parent
    if not (root / "kconfigs").is_dir():
        raise InfrastructureError(
            f"{root}: no kconfigs/ beside the package: faultloop runs from its checkout (install it with pip -e)"
        )
    return Layout(root)


def cache_root() -> Path:
    """``FAULTLOOP_CACHE``, or ``faultloop`` in the user's cache folder."""
    named = os.environ.get("FAULTLOOP_CACHE", "")
    return Path(named).expanduser().absolute() if named else Path(platformdirs.user_cache_dir("faultloop"))
