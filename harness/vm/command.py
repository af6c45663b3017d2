# SPDX-License-Identifier: GPL-2.0-or-later
"""The command line of QEMU for a guest. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.model import Setup
from harness.vm.spec import GuestSpec

# Panics and power-offs leave QEMU there to be asked; panic=none lets the guest finish printing its trace.
_ACTIONS = "reboot=shutdown,shutdown=pause,panic=none"

_SANDBOX = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"

# earlycon: the console from byte 0. A task that is blocked for 20 s is hung, long before the silence bound.
_APPEND = (
    "console=ttyAMA0",
    "earlycon",
    "printk.devkmsg=on",
    "sysctl.kernel.hung_task_timeout_secs=20",
    "sysctl.kernel.hung_task_check_interval_secs=5",
)

# By page size in KiB: hugetlb pages that only boot can put aside (a contiguous range of blocks).
_GIGANTIC = {4: ("hugepagesz=32M", "hugepages=1")}


@dataclass(frozen=True, slots=True)
class Wiring:
    """What connects QEMU to the harness: descriptors that it inherits."""

    qmp: int
    console: int
    initramfs: Path
    """Of the guest with its variant's modules."""


def qemu(spec: GuestSpec, wiring: Wiring) -> list[str]:
    """argv of the guest. ACCEL=kvm (setup.accel) is for arm64 hosts and untested: it takes the host's CPU."""
    return [
        str(spec.emulator),
        *("-name", "faultloop,debug-threads=on"),
        *("-nodefaults", "-no-user-config", "-display", "none"),
        *("-sandbox", _SANDBOX),
        *("-action", _ACTIONS),
        # Nothing runs, and so nothing is missed, until QMP listens and says `cont`.
        "-S",
        *("-chardev", f"socket,id=qmp,fd={wiring.qmp}", "-mon", "chardev=qmp,mode=control"),
        *("-chardev", f"socket,id=console,fd={wiring.console}", "-serial", "chardev:console"),
        *machine(spec, wiring.initramfs),
    ]


def machine(spec: GuestSpec, initramfs: Path) -> list[str]:
    """The part of argv that is the machine itself, without what ties it to the harness."""
    setup = spec.setup
    kvm = setup.accel == "kvm"
    return [
        *("-machine", f"virt,iommu=smmuv3,gic-version={'host' if kvm else '3'}"),
        *("-accel", "kvm" if kvm else "tcg,thread=multi"),
        *("-cpu", "host" if kvm else setup.cpu),
        *("-smp", str(setup.cpus), "-m", f"{setup.memory_mib}M"),
        *_numa(spec),
        *(word for name, value in smmu(setup).items() for word in _global("arm-smmuv3", name, value)),
        *_global("arm-smmuv3", "journal-size", spec.journal),
        *("-netdev", "user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:0-:22"),
        *("-device", "virtio-net-pci,netdev=net,addr=1.0,romfile="),
        *("-device", "sva-testdev,addr=2.0"),
        *("-drive", f"if=none,id=disk,format=raw,snapshot=on,file={_value(spec.disk)}"),
        *("-device", "virtio-blk-pci,drive=disk,addr=3.0"),
        *("-device", "pvpanic-pci,addr=4.0"),
        # Without it sshd in a 6.1 guest waits a second or more for the kernel to gather entropy.
        *("-object", "rng-builtin,id=rng", "-device", "virtio-rng-pci,rng=rng,addr=5.0"),
        *("-kernel", str(spec.kernel), "-initrd", str(initramfs)),
        *("-append", " ".join([*_APPEND, *_GIGANTIC.get(setup.page_kib, ()), *_thp(setup), *spec.append])),
    ]


def _numa(spec: GuestSpec) -> list[str]:
    """Nodes of the same size; CPUs go round."""
    if spec.nodes == 1:
        return []
    memory, cpus = spec.setup.memory_mib, spec.setup.cpus
    words: list[str] = []
    for node in range(spec.nodes):
        size = memory // spec.nodes + (memory % spec.nodes if node == 0 else 0)
        mine = "".join(f",cpus={cpu}" for cpu in range(node, cpus, spec.nodes))
        words += ["-object", f"memory-backend-ram,id=node{node},size={size}M"]
        words += ["-numa", f"node,nodeid={node},memdev=node{node}{mine}"]
    return words


def smmu(setup: Setup) -> dict[str, int | str]:
    """Properties of the SMMU by name, as they are asked for and as QOM must show them."""
    return {
        "ssidsize": setup.ssidsize,
        "stall": setup.stall,
        "oas": setup.oas,
        "iotlb-size": setup.iotlb,
        "httu": setup.httu,
        "btm": setup.btm,
    }


def _thp(setup: Setup) -> list[str]:
    """What the guest's init is told; it takes madvise for granted."""
    return [] if setup.thp == "madvise" else [f"faultloop.thp={setup.thp}"]


def _global(driver: str, name: str, value: object) -> tuple[str, str]:
    return "-global", f"{driver}.{name}={value}"


def _value(path: Path) -> str:
    """A path inside a QEMU option: a comma is doubled."""
    return str(path).replace(",", ",,")
