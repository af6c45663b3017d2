# SPDX-License-Identifier: GPL-2.0-or-later
"""The pure parts of a guest: command line, initramfs, counters, judgement of a silent one."""

from __future__ import annotations

import gzip
import os
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest

from harness.errors import GuestError
from harness.model import Setup
from harness.vm import command, initramfs
from harness.vm.autopsy import trace
from harness.vm.clock import Clock
from harness.vm.probe import CpuSample, judge, program_counters
from harness.vm.qmp import flatten
from harness.vm.spec import Deadlines, GuestSpec
from harness.vm.usernet import established, forwarded_port
from tests.unit.guest_fixtures import needs_cpio

SPEC = GuestSpec(
    emulator=Path("/q/qemu-system-aarch64"),
    kernel=Path("/k/Image"),
    initramfs=Path("/g/initramfs"),
    disk=Path("/g/a,b/disk"),
    setup=Setup(name="a57", cpu="cortex-a57", memory_mib=768, cpus=3, oas=48, ssidsize=12),
    client_key=Path("/g/key"),
    host_key="ssh-ed25519 AAAA",
    append=("one", "two=2"),
)


def argv(spec: GuestSpec) -> list[str]:
    return command.qemu(spec, command.Wiring(qmp=5, console=6, initramfs=Path("/proc/self/fd/7")))


def values(words: list[str], option: str) -> list[str]:
    return [words[i + 1] for i, word in enumerate(words) if word == option]


def test_setup_becomes_the_machine() -> None:
    words = argv(SPEC)
    assert words[0] == "/q/qemu-system-aarch64"
    assert values(words, "-machine") == ["virt,iommu=smmuv3,gic-version=3"]
    assert values(words, "-cpu") == ["cortex-a57"]
    assert (values(words, "-smp"), values(words, "-m")) == (["3"], ["768M"])
    assert set(values(words, "-global")) == {
        "arm-smmuv3.ssidsize=12",
        "arm-smmuv3.stall=on",
        "arm-smmuv3.oas=48",
        "arm-smmuv3.iotlb-size=65536",
        "arm-smmuv3.httu=none",
        "arm-smmuv3.btm=off",
        "arm-smmuv3.journal-size=160",
    }


def test_nodes_share_memory_and_cpus() -> None:
    spec = replace(SPEC, setup=replace(SPEC.setup, cpus=3, memory_mib=513), nodes=2)
    words = command.machine(spec, Path("/i"))
    assert values(words, "-numa") == [
        "node,nodeid=0,memdev=node0,cpus=0,cpus=2",
        "node,nodeid=1,memdev=node1,cpus=1",
    ]
    backends = [word for word in values(words, "-object") if word.startswith("memory")]
    assert backends == [f"memory-backend-ram,id=node{n},size={size}M" for n, size in ((0, 257), (1, 256))]
    assert values(command.machine(SPEC, Path("/i")), "-numa") == []


def test_control_without_iotlb_caches_nothing() -> None:
    words = argv(replace(SPEC, setup=replace(SPEC.setup, iotlb=0, stall="off", btm="force", httu="dirty")))
    assert "arm-smmuv3.iotlb-size=0" in values(words, "-global")
    assert "arm-smmuv3.stall=off" in values(words, "-global")
    assert "arm-smmuv3.btm=force" in values(words, "-global")
    assert "arm-smmuv3.httu=dirty" in values(words, "-global")


def test_guest_is_locked_in() -> None:
    words = argv(SPEC)
    assert "-nodefaults" in words
    assert "-no-user-config" in words
    assert values(words, "-sandbox")[0].startswith("on,")
    assert all(f"{name}=deny" in values(words, "-sandbox")[0] for name in ("spawn", "elevateprivileges"))
    assert values(words, "-netdev") == ["user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:0-:22"]


def test_disk_is_thrown_away_and_a_comma_in_its_path_is_doubled() -> None:
    assert values(argv(SPEC), "-drive") == ["if=none,id=disk,format=raw,snapshot=on,file=/g/a,,b/disk"]


def test_console_comes_from_byte_zero_and_the_callers_words_come_last() -> None:
    (line,) = values(argv(SPEC), "-append")
    assert line.split()[:2] == ["console=ttyAMA0", "earlycon"]
    assert line.endswith(" one two=2")
    assert "quiet" not in line
    assert "loglevel" not in line


def test_kvm_takes_the_hosts_cpu() -> None:
    words = argv(replace(SPEC, setup=replace(SPEC.setup, accel="kvm")))
    assert (values(words, "-accel"), values(words, "-cpu")) == (["kvm"], ["host"])
    assert values(words, "-machine") == ["virt,iommu=smmuv3,gic-version=host"]


def test_machine_alone_is_not_tied_to_the_harness() -> None:
    assert not [word for word in command.machine(SPEC, SPEC.initramfs) if "fd=" in word or "chardev" in word]


def test_deadlines_scale_together() -> None:
    scaled = Deadlines(boot=10, silence=3).scaled(2)
    assert (scaled.boot, scaled.silence, scaled.qmp) == (20, 6, Deadlines().qmp * 2)


@needs_cpio
@pytest.mark.parametrize("base", [b"x" * 5, b""])
def test_modules_follow_the_base_archive_where_the_kernel_looks_for_them(tmp_path: Path, base: bytes) -> None:
    archive = tmp_path / "base"
    archive.write_bytes(gzip.compress(base))
    module = tmp_path / "sva_testdev.ko"
    module.write_bytes(b"\x7fELF odd length")
    descriptor = initramfs.assemble(archive, [module])
    try:
        whole = Path(f"/proc/self/fd/{descriptor}").read_bytes()
    finally:
        os.close(descriptor)
    assert whole.startswith(archive.read_bytes())
    start = whole.index(b"070701")
    assert start % 4 == 0
    assert whole[archive.stat().st_size : start].strip(b"\0") == b""
    subprocess.run(["cpio", "-id", "--quiet"], input=whole[start:], cwd=tmp_path, check=True)
    assert (tmp_path / "faultloop/modules/sva_testdev.ko").read_bytes() == b"\x7fELF odd length"


def test_base_archive_stays_alone_without_modules(tmp_path: Path) -> None:
    archive = tmp_path / "base"
    archive.write_bytes(b"as it is")
    descriptor = initramfs.assemble(archive, [])
    try:
        assert Path(f"/proc/self/fd/{descriptor}").read_bytes() == b"as it is"
    finally:
        os.close(descriptor)


def test_nested_counters_get_joined_names() -> None:
    assert flatten({"stalls": 2, "cmd": {"sync": 1, "tlbi": {"nh-va": 3}}}) == {
        "stalls": 2,
        "cmd-sync": 1,
        "cmd-tlbi-nh-va": 3,
    }


def test_forwarded_port_is_read_from_qemus_own_table() -> None:
    table = (
        "Hub -1 (net):\r\n  Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ\r\n"
        "  TCP[HOST_FORWARD]  14       127.0.0.1 39497       10.0.2.15    22     0     0\r\n"
    )
    assert forwarded_port(table) == 39497
    with pytest.raises(GuestError, match="forwards no port"):
        forwarded_port("Hub -1 (net):\r\n")


def test_program_counters_of_every_cpu() -> None:
    registers = (
        "\r\nCPU#0\r\n PC=ffff80000856b458 X00=00000000000000e0\r\n\r\nCPU#1\r\n PC=0000000000000200 X00=0\r\n"
    )
    assert program_counters(registers) == [(0, 0xFFFF80000856B458), (1, 0x200)]


WFI = CpuSample(0, 0.01, (0x1000, 0x1000))
SPIN = CpuSample(1, 1.0, (0x2000, 0x2004, 0x2000))
STARVED = CpuSample(1, 1.0, (0x2000, 0x2000, 0x2000), ran=0.01)
WORK = CpuSample(1, 0.9, (0x2000, 0x903000, 0x400100))


@pytest.mark.parametrize(
    ("cpus", "answers", "hung", "why"),
    [
        ([WFI, WFI], True, True, "in WFI"),
        ([WFI, WFI], False, True, "in WFI"),
        ([WFI, SPIN], False, True, "CPU 1 spins in place"),
        ([WFI, STARVED], False, False, "CPU 1 is computing"),
        ([WFI, SPIN], True, False, "is computing; its kernel answers SysRq"),
        ([WFI, WORK], False, False, "is computing; its kernel answers no SysRq"),
        ([WFI, WORK], True, False, "CPU 1 is computing"),
    ],
)
def test_silent_guest_is_hung_or_slow(cpus: list[CpuSample], answers: bool, hung: bool, why: str) -> None:
    found = judge(cpus, answers)
    assert found[0] is hung
    assert why in found[1]


class Starving:
    """A QEMU that the host gives no CPU for all but ``share`` of the time."""

    def __init__(self, share: float) -> None:
        self.share = share
        self.began = time.monotonic()

    def starved(self) -> float:
        return (time.monotonic() - self.began) * (1 - self.share)


def test_deadline_does_not_run_while_the_host_is_crowded() -> None:
    plain = Clock(Starving(1.0), 0.2)  # type: ignore[arg-type]
    crowded = Clock(Starving(0.1), 0.2)  # type: ignore[arg-type]
    forever = Clock(Starving(0.0), 0.01)  # type: ignore[arg-type]
    time.sleep(0.4)
    assert plain.left() <= 0
    assert crowded.left() > 0
    assert forever.left() <= 0


def test_trace_of_a_panic_begins_where_the_kernel_first_complained() -> None:
    text = "harmless\nUnable to handle kernel NULL\nInternal error: Oops\nKernel panic - not syncing: x"
    assert trace(text).splitlines()[0] == "Unable to handle kernel NULL"
    assert trace("nothing here") == "nothing here"


def test_connection_that_the_guest_has_taken_is_told_from_one_that_it_has_not() -> None:
    row = "  TCP[{state}]  19       127.0.0.1 39497       10.0.2.15    22     0     0\r\n"
    assert established(row.format(state="ESTABLISHED"), 39497)
    assert not established(row.format(state="ESTABLISHED"), 3949)
    assert not established(row.format(state="SYN_SENT") + row.format(state="HOST_FORWARD"), 39497)
