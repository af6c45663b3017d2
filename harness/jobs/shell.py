# SPDX-License-Identifier: GPL-2.0-or-later
"""``faultloop shell``: log in to a booted guest with the device and the workloads."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from harness import layout
from harness.errors import InfrastructureError
from harness.jobs import share
from harness.jobs.base import base_of
from harness.jobs.workshop import Workshop
from harness.model import Series
from harness.sources import catalogue
from harness.sources.patch_input import Given
from harness.temporary import temporary
from harness.vm.machine import Guest, GuestSpec

_HELLO = """\
Guest is up: kernel {release}, {setup}. The device is /dev/sva_testdev; `/faultloop/workloads --list` shows the
paths, `/faultloop/workloads PATH` runs one. Leave with `exit`: the guest is powered off."""


_SHARED = """\
{count} files of {folder} are in /share; what is in /share/from-guest when you leave is copied back there."""


def shell(
    shop: Workshop, *, kernel: str, patches: tuple[str, ...], setup: str, accel: str, shared: Path | None = None
) -> int:
    """Boot, run the user's ``ssh`` on the terminal, power off. The status of the shell.

    ``shared``: a folder that is copied in before, and to which the guest's files are copied afterwards.
    """
    if shared is not None:
        share.check(shared)
    ssh = shutil.which("ssh")
    if ssh is None:
        raise InfrastructureError("`ssh` is not installed (Debian package openssh-client)")
    chosen = catalogue.setups(layout.project().setups, setup, accel=accel)[0]
    given = shop.patches(patches, version=None, tree="") if patches else Given(Series())
    series = given.series
    base = base_of(given, shop, asked=kernel, tree="").kernel
    emulator, image = shop.emulator, shop.guest_image
    built = shop.variant(base, series, setup=chosen)
    with (
        temporary("shell") as logs,
        Guest(GuestSpec.of(emulator, built, image, chosen), Path(logs)) as guest,
    ):
        known = Path(logs, "known_hosts")
        known.write_text(f"faultloop-guest {image.host_key}\n", encoding="utf-8")
        print(_HELLO.format(release=built.release, setup=chosen.name), file=sys.stderr)
        if shared is not None:
            count = share.put(guest, shared)
            print(_SHARED.format(count=count, folder=shared), file=sys.stderr)
        status = subprocess.run(_command(ssh, guest.port, image.client_key, known), check=False).returncode
        if shared is not None and (left := share.fetch(guest, shared)) is not None:
            print(f"files of the guest: {left}", file=sys.stderr)
        guest.power_off()
    return status


def _command(ssh: str, port: int, key: Path, known: Path) -> list[str]:
    """Nothing of the user's own SSH configuration, keys or agent takes part."""
    options = {
        "Port": port,
        "IdentityFile": key,
        "IdentitiesOnly": "yes",
        "IdentityAgent": "none",
        "UserKnownHostsFile": known,
        "GlobalKnownHostsFile": "/dev/null",
        "HostKeyAlias": "faultloop-guest",
        "StrictHostKeyChecking": "yes",
        "LogLevel": "ERROR",
    }
    words = [ssh, "-F", "/dev/null"]
    for name, value in options.items():
        words += ["-o", f"{name}={value}"]
    return [*words, "root@127.0.0.1"]
