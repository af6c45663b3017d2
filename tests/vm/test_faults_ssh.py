# SPDX-License-Identifier: GPL-2.0-or-later
"""The way into a guest breaks: refused, cut, stalled, not its own. Only a dead network is its kernel's fault."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from harness.build.guest import dropbear_key
from harness.jobs.workshop import Workshop
from tests.vm.faults import (
    BEGIN,
    FAULTY,
    HERE,
    PAUSE,
    Fault,
    broken,
    check_failed,
    check_one,
    hang_up,
    sessions,
)

pytestmark = [pytest.mark.long, pytest.mark.usefixtures("base_kernel")]

STUCK = "the SSH session with an idle guest is stuck"


def server(then: str) -> str:
    """Shell of the guest's init: when the SSH server has been started, something is done to it."""
    return f"""\
mv /usr/sbin/dropbear /fault/sshd
cat >/usr/sbin/dropbear <<'END'
#!/bin/sh
/fault/sshd "$@"
{then}
END
chmod 755 /usr/sbin/dropbear
"""


def test_refused(shop: Workshop, tmp_path: Path) -> None:
    with broken(tmp_path, shop, Fault(init="rm /usr/sbin/dropbear")) as broke:
        check_failed(broke.run(), broke, f"{STUCK} (in SSH connect: ")


def test_stalled_before_it_speaks(shop: Workshop, tmp_path: Path) -> None:
    with broken(tmp_path, shop, Fault(init=server("kill -STOP $(pidof sshd)"))) as broke:
        check_failed(broke.run(), broke, f"{STUCK} (in SSH connect: ")


def test_a_guest_without_a_network_is_hung(shop: Workshop, tmp_path: Path) -> None:
    """The counterpart: nothing in the guest's kernel takes the connection, and that may be its fault."""
    with broken(tmp_path, shop, Fault(init=server("ifconfig eth0 down"))) as broke:
        called = broke.run()
        assert called.status == 2
        assert "does not boot on cortex-a57: the guest hung during SSH connect" in called.stderr


def test_another_host_key(shop: Workshop, tmp_path: Path) -> None:
    key = {"key": dropbear_key(Ed25519PrivateKey.generate())}
    init = "cp /fault/key /etc/dropbear/dropbear_ed25519_host_key"
    with broken(tmp_path, shop, Fault(init=init, files=key)) as broke:
        check_failed(broke.run(), broke, "the guest's SSH host key is not the pinned one: AAAA")


def test_login_refused(shop: Workshop, tmp_path: Path) -> None:
    with broken(tmp_path, shop, Fault(init="rm /root/.ssh/authorized_keys")) as broke:
        check_failed(broke.run(), broke, "no SSH session with the guest: Authentication failed")


def test_cut_by_the_guest(shop: Workshop, tmp_path: Path) -> None:
    with broken(tmp_path, shop, Fault("kill -9 $(pidof dropbear)")) as broke:
        check_one(broke.run(), broke, "ERROR", 3, f"SSH, /faultloop/workloads {FAULTY}: ", "connection was lost")


def test_cut_by_the_host(shop: Workshop, tmp_path: Path) -> None:
    with broken(tmp_path, shop, Fault(PAUSE)) as broke:
        command = broke.start()
        qemu = broke.wait_for(HERE)
        (session,) = sessions(qemu)
        hang_up(qemu, session)
        check_one(command.end(), broke, "ERROR", 3, f"SSH, /faultloop/workloads {FAULTY}: ", "connection was lost")


def test_cut_in_power_off(shop: Workshop, tmp_path: Path) -> None:
    """The guest is off before it can say so over SSH: QMP tells."""
    with broken(tmp_path, shop, Fault("kill -9 $(pidof dropbear); sleep 1", "poweroff")) as broke:
        called = broke.run()
        assert called.status == 0
        assert called.run["guests"][0]["end"] == "POWEROFF"
        assert broke.records() == 1


def test_stalled_in_a_workload(shop: Workshop, tmp_path: Path) -> None:
    """The server is stopped: the workload comes to its end, and nobody hears of it."""
    with broken(tmp_path, shop, Fault("kill -STOP $(pidof dropbear)")) as broke:
        check_one(broke.run(), broke, "ERROR", 3, STUCK)


def test_a_workload_that_never_ends_is_hung(shop: Workshop, tmp_path: Path) -> None:
    """The counterpart: the way in works, and the guest has nothing to say."""
    with broken(tmp_path, shop, Fault(f"{BEGIN}; sleep 1000")) as broke:
        check_one(broke.run(), broke, "HANG", 1, "the guest hung during", "every CPU is in WFI")
