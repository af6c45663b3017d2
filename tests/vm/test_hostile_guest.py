# SPDX-License-Identifier: GPL-2.0-or-later
"""What a hostile kernel can reach from inside its guest: neither the host's network, nor its files."""

from __future__ import annotations

import hashlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.model import BuiltKernel, Emulator, GuestImage, Setup
from harness.vm import command
from harness.vm.machine import Guest, GuestSpec

HOST = "10.0.2.2"
"""What QEMU's user network shows the host's loopback interface as."""


class Ears:
    """A port of the host's loopback interface; ``heard`` is what reached it."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.tcp = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.tcp.getsockname()[1]
        threading.Thread(target=self._stream, daemon=True).start()

    def _stream(self) -> None:
        while True:
            try:
                self.tcp.accept()[0].close()
            except OSError:
                return
            self.heard.append("tcp")


@pytest.fixture
def ears() -> Iterator[Ears]:
    made = Ears()
    yield made
    made.tcp.close()


@pytest.fixture
def spec(emulator: Emulator, base_kernel: BuiltKernel, guest_image: GuestImage) -> GuestSpec:
    return GuestSpec.of(emulator, base_kernel, guest_image, Setup(name="cortex-a57", cpu="cortex-a57"))


def attack(guest: Guest, ears: Ears) -> str:
    """Try to reach the host by each way there is; what the guest saw of it."""
    tries = (
        f"echo x | nc -w 2 {HOST} {ears.port}",
        "ping -c 1 -W 2 10.0.2.2",
        "timeout 3 nslookup localhost 10.0.2.3",
    )
    return guest.run(["sh", "-c", "; ".join(f"{{ {one}; }} 2>&1" for one in tries)]).stdout


def test_the_hosts_network_and_files_are_out_of_reach(spec: GuestSpec, ears: Ears, tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    before = hashlib.sha256(spec.disk.read_bytes()).hexdigest()
    with Guest(spec, logs) as guest:
        said = attack(guest, ears)
        guest.run(
            ["sh", "-c", "dd if=/dev/urandom of=/dev/vda bs=1M count=8; sync; echo 3 >/proc/sys/vm/drop_caches"]
        )
        wrote = guest.run(["sh", "-c", "dd if=/dev/vda bs=1M count=8 | sha256sum"]).stdout.split()[0]
        slots = guest.run(["sh", "-c", "cat /sys/bus/pci/devices/*/class"]).stdout.split()
        status = Path(f"/proc/{guest._process.pid}/status").read_text()
        guest.power_off()
    assert ears.heard == [], said
    # The guest did write: what it wrote went with it.
    assert wrote not in (hashlib.sha256(spec.disk.read_bytes()[: 8 << 20]).hexdigest(), "")
    assert hashlib.sha256(spec.disk.read_bytes()).hexdigest() == before
    # Host bridge, network, test device, disk, panic device, random numbers: no folder of the host's is shared.
    assert len(slots) == 6, slots
    assert "Seccomp:\t2" in status and "NoNewPrivs:\t1" in status
    known = {"console.log", "qmp.log", "qemu.cmd", "qemu.stderr", "ssh.log"}
    assert {path.name for path in logs.iterdir()} <= known
    assert {path.name for path in tmp_path.iterdir()} == {"logs"}


def test_without_the_restriction_it_would_get_through(
    spec: GuestSpec, ears: Ears, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control of the test above: what it looks for is seen when it is there."""
    argv = command.qemu
    monkeypatch.setattr(
        command, "qemu", lambda *a: [word.replace("restrict=on", "restrict=off") for word in argv(*a)]
    )
    with Guest(spec, tmp_path) as guest:
        said = attack(guest, ears)
        guest.power_off()
    assert "tcp" in ears.heard, said
