# SPDX-License-Identifier: GPL-2.0-or-later
"""The guest's kernel breaks under a run: charged to the path that ran, all others have their outcome."""

from __future__ import annotations

import time
from pathlib import Path

import psutil
import pytest

from harness.build import kernel as build
from harness.jobs.workshop import Workshop
from harness.layout import Layout, project
from harness.model import Series
from harness.vm import console
from tests.leftovers import alive, below
from tests.vm.faults import BEGIN, FAULTY, HERE, OTHERS, PATHS, Fault, broken, check_one, outcomes, reason

pytestmark = [pytest.mark.long, pytest.mark.usefixtures("base_kernel")]

SYSRQ = "mkdir -p /proc; mount -t proc proc /proc; echo {key} >/proc/sysrq-trigger"
MIB = 1 << 20
FLOOD_MIB = 1024

SPIN = """\
// SPDX-License-Identifier: GPL-2.0-only
#include <linux/module.h>
#include <linux/smp.h>

static void spin(void *unused)
{
	local_irq_disable();
	for (;;)
		cpu_relax();
}

static int __init spin_init(void)
{
	on_each_cpu(spin, NULL, 0);
	return 0;
}
module_init(spin_init);
MODULE_DESCRIPTION("Every CPU spins with interrupts off");
MODULE_LICENSE("GPL");
"""

# Stops QEMU, so that the path that runs is not over before the flood is; QEMU is the parent of this child.
FLOOD = """\
console = int(next(word for word in argv if word.startswith("socket,id=console")).rpartition("=")[2])
if os.fork() == 0:
    import select, time
    qemu = os.getppid()
    while not os.path.exists({go!r}):
        time.sleep(0.05)
        if os.getppid() != qemu:
            os._exit(0)
    os.kill(qemu, signal.SIGSTOP)
    line = b"[  100.000000] " + b"flood " * 8 + b"\\n"
    for _ in range({mib}):
        part = memoryview(line * ((1 << 20) // len(line) + 1))[: 1 << 20]
        while part:
            select.select([], [console], [])  # QEMU has made it non-blocking
            part = part[os.write(console, part):]
    os.kill(qemu, signal.SIGCONT)
    os._exit(0)
"""


def module(shop: Workshop, folder: Path) -> bytes:
    """The module, for Linux 6.1."""
    sources = folder / "project" / "guest-tests" / "driver"
    sources.mkdir(parents=True)
    (sources / "spin.c").write_text(SPIN)
    (sources / "Kbuild").write_text("obj-m := spin.o\n")
    (folder / "project" / "kconfigs").symlink_to(project().kconfigs)
    built = build.build(
        shop.kernel("6.1"), Series(), cache=shop.cache, sandbox=shop.sandbox, layout=Layout(folder / "project")
    )
    (found,) = (path for path in built.modules if path.name == "spin.ko")
    return found.read_bytes()


def test_panic(shop: Workshop, tmp_path: Path) -> None:
    with broken(tmp_path, shop, Fault(f"{BEGIN}; echo c >/proc/sysrq-trigger")) as broke:
        called = broke.run()
        check_one(called, broke, "SPLAT", 1, "panicked during", "sysrq triggered crash", records=1)
        assert "Call trace:" in broke.log("console.log")


def test_hang_with_interrupts_off(shop: Workshop, tmp_path: Path) -> None:
    files = {"spin.ko": module(shop, tmp_path / "module")}
    with broken(tmp_path, shop, Fault(f"{BEGIN}; insmod /fault/spin.ko", files=files)) as broke:
        check_one(broke.run(), broke, "HANG", 1, "spins in place; its kernel answers no SysRq")
        assert "no answer" in broke.log("hang.txt")


def test_reboot_in_each_workload(shop: Workshop, tmp_path: Path) -> None:
    """A guest that reboots is booted anew, but not for ever."""
    more = ("access-flag", "mprotect-upgrade", "mremap-upgrade")
    with broken(tmp_path, shop, Fault("echo b >/proc/sysrq-trigger", "*workloads*")) as broke:
        called = broke.run(paths=(*PATHS, *more))
        assert called.status == 1
        assert outcomes(called) == dict.fromkeys((*PATHS, *more), "SPLAT")
        reasons = sorted(reason(called, path) for path in (*PATHS, *more))
        assert all("the guest reset during" in found for found in reasons), reasons
        assert len(list(broke.logs().parent.glob("boot-*"))) == 4


def test_reboot_loop_in_boot(shop: Workshop, tmp_path: Path) -> None:
    with broken(tmp_path, shop, Fault(init=SYSRQ.format(key="b"))) as broke:
        called = broke.run()
        assert called.status == 2
        assert "does not boot on cortex-a57: the guest reset during boot, unasked" in called.stderr


def test_panic_in_boot(shop: Workshop, tmp_path: Path) -> None:
    with broken(tmp_path, shop, Fault(init=SYSRQ.format(key="c"))) as broke:
        called = broke.run()
        assert called.status == 2
        assert "does not boot on cortex-a57: the guest kernel panicked during boot" in called.stderr
        assert "Call trace:" in called.stderr


def test_power_off_in_a_workload(shop: Workshop, tmp_path: Path) -> None:
    with broken(tmp_path, shop, Fault(f"{BEGIN}; poweroff -f; sleep 100")) as broke:
        check_one(broke.run(), broke, "SPLAT", 1, "the guest powered off during", records=1)


def test_power_off_in_boot(shop: Workshop, tmp_path: Path) -> None:
    with broken(tmp_path, shop, Fault(init="poweroff -f; sleep 100")) as broke:
        called = broke.run()
        assert called.status == 2
        assert "does not boot on cortex-a57: the guest powered off during boot, unasked" in called.stderr


def test_console_flood(shop: Workshop, tmp_path: Path) -> None:
    """A gigabyte: the path did not pass, for nobody knows what the kernel said; disk and memory are bounded."""
    go = tmp_path / "go"
    fault = Fault(f'{BEGIN}; say "{HERE}"; sleep 2', qemu=FLOOD.format(go=str(go), mib=FLOOD_MIB))
    with broken(tmp_path, shop, fault) as broke:
        command = broke.start()
        qemu = broke.wait_for(HERE)
        go.touch()
        most = 0
        while command.process.poll() is None:
            most = max([most, *(memory(p) for p in [psutil.Process(command.process.pid), *below()] if p != qemu)])
            time.sleep(0.1)
        called = command.end()
        assert called.status == 3
        assert outcomes(called) == {**OTHERS, FAULTY: "ERROR"}
        assert "bytes of the console's log were left out" in reason(called)
        log = broke.logs() / "console.log"
        bound = console.HEAD_BYTES + console.TAIL_BYTES + MIB
        assert console.HEAD_BYTES < log.stat().st_size < bound
        assert " bytes left out here]\n" in log.read_text(errors="replace")
        assert sum(file.stat().st_size for file in broke.place.results.rglob("*")) < bound + 32 * MIB
        assert most < 400 * MIB


def memory(process: psutil.Process) -> int:
    return int(process.memory_info().rss) if alive(process) else 0
