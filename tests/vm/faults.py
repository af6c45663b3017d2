# SPDX-License-Identifier: GPL-2.0-or-later
"""Real runs in which something breaks: a cache of its own, in which QEMU is a program that breaks it.

All else of the cache is lent: kernels, guest image, sources. What is recorded stays in the cache of the test.
The program in QEMU's place becomes QEMU (the same process), and may first put files into the guest: another init,
and a shell for root that breaks something before one of the commands that SSH asks for.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from harness.build import emulator as room
from harness.build.cache import Cache
from harness.build.cpio import Archive
from harness.jobs.workshop import Workshop
from harness.model import Emulator
from tests import leftovers
from tests.leftovers import Command, Place, nothing_left
from tests.vm.command import Called

PATHS = ("anon-reuse-uncached", "mremap", "dontneed")
"""All pass on Linux 6.1, in this order; it breaks in the second."""
FAULTY = PATHS[1]
OTHERS = {path: "PASS" for path in PATHS if path != FAULTY}
HERE = "fault: here"
PAUSE = f'say "{HERE}"; sleep 1000'
PAUSE_IN_BOOT = f'echo "{HERE}" >/dev/console; sleep 1000'
BEGIN = f'say "faultloop: begin {FAULTY}"'

_OWN = ("emulators", "records", "timings.json", "setup.lock")

_QEMU = """\
#!{python}
import os, signal, sys
argv = sys.argv[1:]
if {only!r} not in " ".join(argv):
    os.execv({qemu!r}, [{qemu!r}, *argv])
at = argv.index("-initrd") + 1
memory = os.memfd_create("initramfs", 0)
with open(memory, "wb", closefd=False) as out:
    for name in (argv[at], {archive!r}):
        with open(name, "rb") as file:
            out.write(file.read())
        out.write(bytes(-out.tell() % 4))
argv[at] = f"/proc/self/fd/{{memory}}"
argv[argv.index("-append") + 1] += " rdinit=/fault/init"
{code}
os.execv({qemu!r}, [{qemu!r}, *argv])
"""

_INIT = """\
#!/bin/sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
sed -i s,/bin/sh,/fault/shell, /etc/passwd
echo /fault/shell >>/etc/shells
{code}
exec /init
"""

# Of root: what SSH asks for is the loop of harness/vm/shell.py. This does the same by a shell, and calls the hook.
_SHELL = """\
#!/bin/sh
set -- $2
mark=$4
n='
'
while IFS= read -r c; do
	echo "$mark begin"
	(. /fault/hook; eval "exec $c") </dev/null
	s=$?
	printf '\\n%s end %d\\n' $mark $s
	printf '\\n%s end %d\\n' $mark $s >&2
done
"""

_HOOK = """\
say()
{{
	echo "$1" >/dev/kmsg
}}
case $c in
{command}*)
	{code}
	;;
esac
"""


@dataclass(frozen=True)
class Fault:
    """What breaks, and where."""

    code: str = ":"
    """Shell of the guest, run before ``command``."""
    command: str = f"*workloads*{FAULTY}"
    """How the command begins (a pattern of the shell) that it breaks in."""
    init: str = ":"
    """Shell of the guest's first process, before anything else."""
    qemu: str = ""
    """Python of the program in QEMU's place, before it becomes QEMU; ``argv`` is QEMU's."""
    files: Mapping[str, bytes] = field(default_factory=dict)
    """More files of the guest's, below ``/fault``."""
    only: str = ""
    """Break only guests with this word on QEMU's command line."""
    program: bytes | None = None
    """What stands in QEMU's place instead; empty: nothing."""


@dataclass
class Broken:
    """A place whose guests break."""

    place: Place

    def run(self, *words: str, paths: Sequence[str] = PATHS, setups: str = "cortex-a57") -> Called:
        return self.start(*words, paths=paths, setups=setups).end()

    def start(self, *words: str, paths: Sequence[str] = PATHS, setups: str = "cortex-a57") -> Command:
        verb = words or ("run", "--kernel", "6.1")
        return self.place.start(*verb, "--setup", setups, "--workloads", ",".join(paths), "--json")

    def logs(self, boot: int = 0, variant: str = "base") -> Path:
        """Of a guest, while it runs or afterwards."""
        found = [*self.place.results.glob(f".partial-*/{variant}/cortex-a57/boot-{boot}")]
        found += self.place.results.glob(f"*/{variant}/cortex-a57/boot-{boot}")
        return found[0] if found else Path("/nowhere")

    def log(self, name: str, boot: int = 0, variant: str = "base") -> str:
        file = self.logs(boot, variant) / name
        return file.read_text(errors="replace") if file.exists() else ""

    def wait_for(
        self, text: str, log: str = "console.log", boot: int = 0, variant: str = "base"
    ) -> psutil.Process:
        """Until a log says so; the guest's QEMU."""
        leftovers.wait(lambda: text in self.log(log, boot, variant), f"{log} never said {text!r}")
        return self.qemu()

    def qemu(self) -> psutil.Process:
        return leftovers.wait_for("qemu-system-aar")

    def records(self) -> int:
        """Guests that are kept for later runs."""
        return len(Cache(self.place.cache).entries("records"))


@contextmanager
def broken(folder: Path, shop: Workshop, fault: Fault) -> Iterator[Broken]:
    """A place for commands whose guests break so; nothing may be left of them."""
    cache = lent(folder / "cache", shop)
    _replace(cache, shop.emulator, _program(folder, shop.emulator, fault))
    with nothing_left(folder, cache=cache) as place:
        yield Broken(place)


def lent(root: Path, shop: Workshop) -> Path:
    """A cache that has what the user's has, but the emulator and the records."""
    assert shop.emulator and shop.guest_image
    root.mkdir(parents=True)
    for room_of_users in shop.cache.root.iterdir():
        if room_of_users.name not in _OWN and not room_of_users.name.startswith("."):
            (root / room_of_users.name).symlink_to(room_of_users)
    return root


def _replace(cache: Path, emulator: Emulator, program: bytes | None) -> None:
    """The emulator's entry with another program in it; without any, when that is empty."""

    def maker(folder: Path) -> None:
        shutil.copyfile(emulator.binary.parent / "build.json", folder / "build.json")
        if program:
            binary = folder / emulator.binary.name
            binary.write_bytes(program)
            binary.chmod(0o755)

    Cache(cache).make(room.ROOM, emulator.key, maker)


def _program(folder: Path, emulator: Emulator, fault: Fault) -> bytes:
    if fault.program is not None:
        return fault.program
    archive = Archive()
    files = {
        "init": _INIT.format(code=fault.init).encode(),
        "shell": _SHELL.encode(),
        "hook": _HOOK.format(command=fault.command, code=fault.code).encode(),
        **fault.files,
    }
    for name, data in files.items():
        archive.file(f"fault/{name}", data, 0o755)
    (folder / "fault.cpio").write_bytes(archive.to_bytes())
    text = _QEMU.format(
        python=sys.executable,
        only=fault.only,
        archive=str(folder / "fault.cpio"),
        code=fault.qemu,
        qemu=str(emulator.binary),
    )
    return text.encode()


def outcomes(called: Called, side: str = "base") -> dict[str, str]:
    """By path."""
    return {path["path"]: path[side]["outcome"] for path in called.run["paths"]}


def reason(called: Called, path: str = FAULTY) -> str:
    """Of the base."""
    (found,) = (p["base"]["reason"] for p in called.run["paths"] if p["path"] == path)
    return str(found)


def check_failed(called: Called, broke: Broken, *words: str) -> None:
    """Ours: no verdict, status 4, what happened in one line, where the logs are, nothing kept for later runs."""
    assert called.status == 4, called.stderr
    assert called.stdout == ""
    assert "Traceback" not in called.stderr
    for word in words:
        assert word in called.stderr
    (kept,) = broke.place.results.iterdir()
    assert kept.name.startswith("failed-") and str(kept) in called.stderr
    assert words[0] in (kept / "error.txt").read_text()
    assert broke.records() == 0


def check_one(called: Called, broke: Broken, outcome: str, status: int, *words: str, records: int = 0) -> None:
    """One path has that outcome, the others their own; the logs of each boot are there."""
    assert called.status == status, called.stderr
    assert outcomes(called) == {**OTHERS, FAULTY: outcome}
    for word in words:
        assert word in reason(called)
    assert broke.records() == records
    for boot in (0, 1):
        logs = {file.name for file in broke.logs(boot).iterdir()}
        assert {"console.log", "qmp.log", "ssh.log", "guest.json"} <= logs


def monitor(qemu: psutil.Process) -> int:
    """Descriptor of its QMP socket."""
    (word,) = (word for word in qemu.cmdline() if word.startswith("socket,id=qmp,fd="))
    return int(word.rpartition("=")[2])


def sessions(qemu: psutil.Process) -> list[int]:
    """Descriptors of the connections that it forwards to the guest's SSH server."""
    found = qemu.net_connections("tcp4")
    return [c.fd for c in found if c.status == psutil.CONN_ESTABLISHED and c.laddr.ip == "127.0.0.1"]


def hang_up(process: psutil.Process, number: int) -> None:
    """Shut a socket of another process."""
    pidfd = os.pidfd_open(process.pid)
    try:
        with socket.socket(fileno=_take(pidfd, number)) as taken:
            taken.shutdown(socket.SHUT_RDWR)
    finally:
        os.close(pidfd)


def _take(pidfd: int, number: int) -> int:
    """pidfd_getfd(2): our own descriptor for an open file of another process."""
    libc: Any = ctypes.CDLL(None, use_errno=True)
    found = int(libc.syscall(438, pidfd, number, 0))
    if found < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return found
