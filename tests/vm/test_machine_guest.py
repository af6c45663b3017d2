# SPDX-License-Identifier: GPL-2.0-or-later
"""A real guest under the harness's control: Linux 6.1 on the patched QEMU."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from harness.errors import GuestHung, GuestPanicked, GuestStopped
from harness.model import BuiltKernel, Emulator, GuestImage, Setup
from harness.oracle import splat
from harness.vm.machine import Deadlines, Guest, GuestSpec

SETUP = Setup(name="cortex-a57", cpu="cortex-a57")


@pytest.fixture
def spec(emulator: Emulator, base_kernel: BuiltKernel, guest_image: GuestImage) -> GuestSpec:
    return GuestSpec.of(emulator, base_kernel, guest_image, SETUP)


def events(logs: Path) -> list[dict[str, object]]:
    messages = [json.loads(line.split(maxsplit=2)[2]) for line in (logs / "qmp.log").read_text().splitlines()]
    return [message for message in messages if "event" in message]


def console(logs: Path) -> list[str]:
    return (logs / "console.log").read_text(encoding="utf-8", errors="replace").splitlines()


def test_guest_boots_obeys_and_powers_off(spec: GuestSpec, tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    with Guest(spec, logs) as guest:
        release = guest.run(["uname", "-r"])
        assert (release.status, release.stdout.startswith("6.1.")) == (0, True)
        lines: list[str] = []
        both = guest.run(["sh", "-c", "echo out; echo err >&2; exit 3"], on_line=lines.append)
        assert (both.status, both.stdout, both.stderr, lines) == (3, "out\n", "err\n", ["out"])
        assert guest.run(["sh", "-c", "kill -SEGV $$"]).status == 128 + 11
        flood = guest.run(["dd", "if=/dev/zero", "bs=64k", "count=40"])
        assert (flood.status, len(flood.stdout)) == (0, 40 << 16)
        source, target = tmp_path / "source", tmp_path / "target"
        source.write_bytes(bytes(range(256)) * 4096)
        guest.put(source, "/tmp/file")
        guest.fetch("/tmp/file", target)
        assert target.read_bytes() == source.read_bytes()
        guest.fetch("/proc/version", target)
        assert target.read_text().startswith("Linux version 6.1.")
        guest.power_off()
        assert guest.counters()["cmd-sync"] > 0
    assert guest.end == "POWEROFF"
    assert "Booting Linux on physical CPU" in console(logs)[0]
    ends = [event["data"] for event in events(logs) if event["event"] == "SHUTDOWN"]
    assert ends[0] == {"guest": True, "reason": "guest-shutdown"}
    assert splat.find(console(logs)) == []


def test_module_of_the_variant_is_loaded_and_the_device_there(spec: GuestSpec, tmp_path: Path) -> None:
    with Guest(spec, tmp_path) as guest:
        assert guest.run(["test", "-c", "/dev/sva_testdev"]).status == 0


def test_counters_follow_the_setup(spec: GuestSpec, tmp_path: Path) -> None:
    with Guest(replace(spec, setup=replace(SETUP, iotlb=0)), tmp_path) as guest:
        counters = guest.counters()
    assert counters["iotlb-size"] == 0
    assert (counters["iotlb-entries"], counters["iotlb-hits"]) == (0, 0)
    assert counters["iotlb-misses"] > 0


def test_panic_is_told_at_once_with_its_trace(spec: GuestSpec, tmp_path: Path) -> None:
    guest = Guest(spec, tmp_path)
    with pytest.raises(GuestPanicked, match="sysrq triggered crash") as caught, guest:
        guest.run(["sh", "-c", "echo c > /proc/sysrq-trigger"])
    assert guest.end == "PANIC"
    assert "Call trace:" in caught.value.detail
    assert "GUEST_PANICKED" in [event["event"] for event in events(tmp_path)]
    assert [found.kind for found in splat.find(console(tmp_path))] == ["panic"]


def test_kernel_that_cannot_boot_panics_in_boot(spec: GuestSpec, tmp_path: Path) -> None:
    guest = Guest(replace(spec, append=("rdinit=/none", "root=/dev/none")), tmp_path)
    with pytest.raises(GuestPanicked, match="during boot: Kernel panic - not syncing: VFS"), guest:
        pass
    assert guest.end == "PANIC"


def test_reset_is_told(spec: GuestSpec, tmp_path: Path) -> None:
    guest = Guest(spec, tmp_path)
    with pytest.raises(GuestStopped, match="the guest reset during"), guest:
        guest.run(["sh", "-c", "echo b > /proc/sysrq-trigger"])
    assert guest.end == "RESET"


def test_silent_idle_guest_is_hung_and_says_what_it_waits_for(spec: GuestSpec, tmp_path: Path) -> None:
    guest = Guest(replace(spec, deadlines=Deadlines(silence=20)), tmp_path)
    with pytest.raises(GuestHung, match=r"`sleep 1000`: nothing heard for .* every CPU is in WFI"), guest:
        guest.run(["sleep", "1000"])
    assert guest.end == "HANG"
    assert "PC ffff" in (tmp_path / "hang.txt").read_text()


def test_silent_busy_guest_is_slow(spec: GuestSpec, tmp_path: Path) -> None:
    with Guest(replace(spec, deadlines=Deadlines(silence=3)), tmp_path) as guest:
        loop = "i=0; while [ $i -lt 400000 ]; do i=$((i+1)); done"
        assert guest.run(["sh", "-c", loop]).status == 0
    assert any("is computing" in note for note in guest.notes)


def test_kernel_that_is_none_spins_and_is_hung(spec: GuestSpec, tmp_path: Path) -> None:
    kernel = tmp_path / "Image"
    kernel.write_bytes(b"\x00\x00\x00\x14" * 1024)  # b . : every instruction branches to itself
    guest = Guest(replace(spec, kernel=kernel, deadlines=Deadlines(silence=4)), tmp_path / "logs")
    with pytest.raises(GuestHung, match=r"during boot: nothing heard for .* spins in place"), guest:
        pass
    assert guest.end == "HANG"
