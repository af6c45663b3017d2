# SPDX-License-Identifier: GPL-2.0-or-later
"""Where the project's data files, the user's cache and the results are."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from harness.errors import InfrastructureError

_IN_WHEEL = "_data"


@dataclass(frozen=True, slots=True)
class Layout:
    """The data files: of a checkout, or those that the wheel brought along (``setup.py``)."""

    root: Path
    installed: bool = False
    """Out of a wheel: there is no checkout, and what is in ``root`` belongs to the installation."""

    @property
    def kconfigs(self) -> Path:
        """Kernel configuration fragments."""
        return self.root / "kconfigs"

    @property
    def kernels(self) -> Path:
        """``kernels.yaml``: which kernels there are."""
        return self.root / "kernels.yaml"

    @property
    def setups(self) -> Path:
        """``setups.yaml``: which machines there are."""
        return self.root / "setups.yaml"

    @property
    def packages(self) -> Path:
        """The Debian packages that the host needs."""
        return self.root / "tools" / "packages.txt"

    @property
    def qemu(self) -> Path:
        """QEMU overlay, hooks and configure options."""
        return self.root / "patches" / "qemu"

    @property
    def linux(self) -> Path:
        """Our own kernel patches."""
        return self.root / "patches" / "linux"

    @property
    def expectations(self) -> Path:
        """What is expected of our own kernel patches."""
        return self.linux / "catalogue.yaml"

    @property
    def guest_tests(self) -> Path:
        """Driver, workloads and init of the guest."""
        return self.root / "guest-tests"

    @property
    def workloads(self) -> Path:
        """Which paths there are."""
        return self.guest_tests / "workloads" / "catalogue.yaml"

    @property
    def driver(self) -> Path:
        """Sources of the guest's kernel module."""
        return self.guest_tests / "driver"


def project() -> Layout:
    """The data files of this package; InfrastructureError when they are neither in it nor beside it."""
    package = Path(__file__).resolve().parent
    if (package / _IN_WHEEL).is_dir():
        return Layout(package / _IN_WHEEL, installed=True)
    root = package.parent
    if not (root / "kconfigs").is_dir():
        raise InfrastructureError(
            f"{root}: the data files of faultloop (kconfigs/ and others) are neither in the package nor beside "
            "it; install it anew: pipx install --force CHECKOUT"
        )
    return Layout(root)


def cache_root() -> Path:
    """``FAULTLOOP_CACHE``, or ``faultloop`` in the user's cache folder."""
    named = os.environ.get("FAULTLOOP_CACHE", "")
    return Path(named).expanduser().absolute() if named else Path(platformdirs.user_cache_dir("faultloop"))


def results_root() -> Path:
    """``FAULTLOOP_RESULTS``; or ``results`` of the checkout; or, when installed, of the user's state folder.

    Never the folder at hand as such: it may be a kernel tree, which is left as it is.
    """
    named = os.environ.get("FAULTLOOP_RESULTS", "")
    if named:
        return Path(named).expanduser()
    here = project()
    if here.installed:
        return Path(platformdirs.user_state_dir("faultloop")) / "results"
    return Path("results") if Path.cwd() == here.root else here.root / "results"
