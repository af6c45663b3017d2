# SPDX-License-Identifier: GPL-2.0-or-later
"""Is a silent guest slow, or hung? Asked of QEMU, of the host's scheduler and of the guest's own kernel.

A guest is *hung* when QEMU does not run it; when every CPU sits in WFI (nothing is being computed, so nothing
more will come); or when a CPU spins in place and the kernel answers no SysRq. It is *slow* otherwise. SysRq
comes over the serial console (BREAK, then a letter: Documentation/admin-guide/sysrq.rst) and needs
CONFIG_MAGIC_SYSRQ_SERIAL; its backtraces are evidence in the console's log.
"""

from __future__ import annotations

import re
import sys
import threading
import time
import traceback
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from harness.errors import GuestError
from harness.vm.console import Console
from harness.vm.process import Process
from harness.vm.qmp import Qmp

SAMPLES = 5
SAMPLE_SECONDS = 0.2
IDLE_SHARE = 0.1
"""A virtual CPU that wants less of a host CPU than this is in WFI (its timer tick stays below)."""
SPIN_BYTES = 256
"""Program counters of all samples within this: a loop that leads nowhere."""

SPIN_SECONDS = 0.5
MOST_SAMPLES = 50
"""On a crowded host, until each CPU that is not idle has run for ``SPIN_SECONDS``."""

_ANSWER_SECONDS = 3.0
_ANSWER_ROUNDS = 10
_DUMP_SECONDS = 15.0
_ANSWER = re.compile(r"sysrq: |SysRq : ")
_PC = re.compile(r"^CPU#(\d+)|\bPC=([0-9a-f]{16})", re.MULTILINE)
_DUMPS = (("9", "all messages"), ("l", "backtrace of all CPUs"), ("w", "blocked tasks"), ("t", "all tasks"))


@dataclass(slots=True)
class Finding:
    """What was found out about a silent guest."""

    hung: bool = False
    why: str = ""
    idle: bool = False
    """Every CPU is in WFI, and the kernel answers: it has nothing to do."""
    tried: list[str] = field(default_factory=list)

    def text(self) -> str:
        return "\n".join([f"{'hung' if self.hung else 'slow'}: {self.why}", *self.tried])


@dataclass(frozen=True, slots=True)
class CpuSample:
    """One virtual CPU over the time of sampling."""

    index: int
    share: float
    """Of a host CPU that its thread used or waited for."""
    counters: tuple[int, ...]
    """Program counters."""
    ran: float = SPIN_SECONDS
    """Seconds of a host CPU that its thread had; one that had none stands still without spinning."""

    @property
    def idle(self) -> bool:
        return self.share < IDLE_SHARE

    @property
    def spins(self) -> bool:
        if self.idle or self.ran < SPIN_SECONDS or not self.counters:
            return False
        return max(self.counters) - min(self.counters) < SPIN_BYTES

    def text(self) -> str:
        places = " ".join(dict.fromkeys(f"{pc:016x}" for pc in self.counters))
        return f"CPU {self.index}: {'in WFI' if self.idle else f'busy ({self.share:.0%})'}, PC {places}"


def examine(qmp: Qmp, console: Console, process: Process, deadline: float) -> Finding:
    """Judge a silent guest. ``deadline`` bounds each QMP command; GuestError when QEMU itself is silent."""
    found = Finding()
    status = str(qmp.execute("query-status", deadline=deadline)["status"])
    found.tried.append(f"query-status: {status}")
    if status != "running":
        found.hung, found.why = True, f"QEMU does not run it ({status})"
        return found
    cpus = sample(qmp, process.pid, deadline)
    found.tried += [cpu.text() for cpu in cpus]
    answers = sysrq(qmp, console, process, "h", deadline)
    found.tried.append(f"SysRq-h over the console: {'answered' if answers else 'no answer'}")
    found.idle = answers and all(cpu.idle for cpu in cpus)
    found.hung, found.why = judge(cpus, answers)
    return found


def judge(cpus: Iterable[CpuSample], answers: bool) -> tuple[bool, str]:
    """Hung or not, and why. Pure."""
    cpus = tuple(cpus)
    kernel = "its kernel answers SysRq" if answers else "its kernel answers no SysRq"
    if all(cpu.idle for cpu in cpus):
        return True, f"every CPU is in WFI, so nothing more is being computed; {kernel}"
    spinning = [str(cpu.index) for cpu in cpus if cpu.spins]
    if spinning and not answers:
        return True, f"CPU {', '.join(spinning)} spins in place; {kernel}"
    busy = ", ".join(str(cpu.index) for cpu in cpus if not cpu.idle)
    return False, f"CPU {busy} is computing; {kernel}"


def sample(qmp: Qmp, pid: int, deadline: float) -> list[CpuSample]:
    """Watch every virtual CPU, ``SAMPLES`` times or more, ``SAMPLE_SECONDS`` apart."""
    info = qmp.execute("query-cpus-fast", deadline=deadline)
    threads = {int(cpu["cpu-index"]): int(cpu["thread-id"]) for cpu in info}
    counters: dict[int, list[int]] = {index: [] for index in threads}
    began, before = time.monotonic(), {index: _scheduled(pid, tid) for index, tid in threads.items()}
    for number in range(MOST_SAMPLES):
        time.sleep(SAMPLE_SECONDS)
        for index, counter in program_counters(qmp.hmp("info registers -a", deadline=deadline)):
            counters.setdefault(index, []).append(counter)
        elapsed = time.monotonic() - began
        cpus = []
        for index, tid in threads.items():
            ran, waited = (now - then for now, then in zip(_scheduled(pid, tid), before[index], strict=True))
            cpus.append(CpuSample(index, (ran + waited) / elapsed, tuple(counters[index]), ran))
        if number + 1 >= SAMPLES and all(cpu.idle or cpu.ran >= SPIN_SECONDS for cpu in cpus):
            break
    return cpus


def program_counters(registers: str) -> list[tuple[int, int]]:
    """(CPU, program counter) of each CPU in QEMU's ``info registers -a``."""
    found, cpu = [], 0
    for match in _PC.finditer(registers):
        if match.group(1) is not None:
            cpu = int(match.group(1))
        else:
            found.append((cpu, int(match.group(2), 16)))
    return found


def sysrq(qmp: Qmp, console: Console, process: Process, key: str, deadline: float) -> bool:
    """Press a SysRq key; whether the kernel said that it heard. It is given time that it could use."""
    mark = console.lines
    qmp.execute("chardev-send-break", {"id": "console"}, deadline=deadline)
    if not console.send(key.encode()):
        return False
    for _ in range(_ANSWER_ROUNDS):
        starved = process.starved()
        if console.wait_for(_ANSWER, _ANSWER_SECONDS, mark) is not None:
            return True
        if process.starved() - starved < _ANSWER_SECONDS / 2:
            return False
    return False


def dump(qmp: Qmp, console: Console, process: Process, deadline: float) -> list[str]:
    """Have a hung guest's kernel print what it can, into the console's log. What was tried, for the user."""
    tried = []
    with suppress(GuestError):
        for key, what in _DUMPS:
            if not sysrq(qmp, console, process, key, deadline):
                tried.append(f"SysRq-{key} ({what}): no answer")
                break
            tried.append(f"SysRq-{key} ({what}): in console.log")
        end = time.monotonic() + _DUMP_SECONDS
        # A pause in a dump of all tasks means that it is over.
        while (left := min(1.0 - console.silence, end - time.monotonic())) > 0:
            time.sleep(left)
        qmp.hmp("info registers -a", deadline=deadline)
        tried.append("info registers -a: in qmp.log")
    return tried


def own_threads() -> list[str]:
    """Where each thread of the harness is: a wait for a guest may be a wait for ourselves."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    frames = sys._current_frames()
    return [f"{names.get(key, key)}:\n{''.join(traceback.format_stack(frame))}" for key, frame in frames.items()]


def _scheduled(pid: int, tid: int) -> tuple[float, float]:
    """Seconds that a thread has run, and waited to run: a busy host must not make a CPU look idle."""
    with suppress(OSError, ValueError, IndexError):
        ran, waited = Path(f"/proc/{pid}/task/{tid}/schedstat").read_text().split()[:2]
        return int(ran) / 1e9, int(waited) / 1e9
    return 0.0, 0.0
