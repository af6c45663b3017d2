# SPDX-License-Identifier: GPL-2.0-or-later
"""`faultloop debug` and `vmcore`, on Linux 6.1 with symbols."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import time
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from harness.build import lab
from harness.jobs.workshop import Workshop
from harness.model import BuiltKernel
from harness.vm import vmcore
from tests.vm.command import ROOT, faultloop

pytestmark = pytest.mark.long

STACK = """\
from drgn.helpers.linux import *
task = next(task for task in for_each_task(prog) if task.comm.string_() == b"workloads")
print(prog.stack_trace(task))
print(task.parent.comm.string_())
"""


@pytest.fixture(scope="module")
def with_symbols(shop: Workshop) -> BuiltKernel:
    """A quarter of an hour when the cache has none."""
    return shop.variant(shop.kernel("6.1"), symbols=True)


def left_behind(results: Path) -> list[str]:
    """Processes of a call of ours, known by their environment or arguments."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            said = (process / "environ").read_bytes() + (process / "cmdline").read_bytes()
        except OSError:
            continue
        if str(results).encode() in said and process.name != str(os.getpid()):
            found.append(said.decode(errors="replace")[-300:])
    return found


def test_symbols_leave_the_code_as_it_is(with_symbols: BuiltKernel, base_kernel: BuiltKernel) -> None:
    """The same functions at the same addresses; some bytes are addresses of data that has moved."""
    maps = [vmcore.symbols(lab.system_map(built).read_text()) for built in (base_kernel, with_symbols)]
    begin, end = maps[0]["_stext"], maps[0]["_etext"]
    code = [{name: at for name, at in found.items() if begin <= at < end} for found in maps]
    assert code[0] == code[1] and len(code[0]) > 10_000
    images = [
        built.image.read_bytes()[begin - maps[0]["_text"] : end - maps[0]["_text"]]
        for built in (base_kernel, with_symbols)
    ]
    assert sum(a != b for a, b in zip(*images, strict=True)) < 64
    assert not lab.vmlinux(base_kernel).exists()


def test_gdb_is_at_the_loop(with_symbols: BuiltKernel, tmp_path: Path) -> None:
    commands = ["bt 1", "lx-ps", "p/x $page", "list do_wp_page"]
    words = [word for command in commands for word in ("--command", command)]
    called = faultloop("debug", "anon-reuse", *words, results=tmp_path)
    assert called.status == 0, called.stderr
    assert "stopped: anon-reuse LOOP at 0x5a" in called.stderr
    assert "$1 = 0x5a" in called.stdout and "workloads" in called.stdout
    assert "vm_fault_t do_wp_page(struct vm_fault *vmf)" in called.stdout, "the source is there"
    assert "/build/src/" in called.stdout and "sva_testdev.ko" in called.stdout
    assert not left_behind(tmp_path)


def test_drgn_is_at_the_loop(with_symbols: BuiltKernel, tmp_path: Path) -> None:
    """The process stays where it is: it cannot tell the kernel to give its memory back."""
    called = faultloop("debug", "anon-reuse", "--drgn", "--command", STACK, results=tmp_path)
    assert called.status == 0, called.stderr
    assert "b'serve'" in called.stdout and "el0t_64_sync" in called.stdout and "(/build/src/" in called.stdout
    assert not left_behind(tmp_path)


def test_a_patched_kernel_has_symbols_and_nothing_to_stop_at(with_symbols: BuiltKernel, tmp_path: Path) -> None:
    fix = ROOT / "patches" / "linux" / "6.1-fix-fault-paths.patch"
    called = faultloop("debug", "anon-reuse", "--patch", fix, "--command", "bt", results=tmp_path)
    assert (
        called.status == 3 and "not stopped: anon-reuse did not loop, and nothing was stale: PASS" in called.stderr
    )


def test_a_panic_is_kept_and_decoded(with_symbols: BuiltKernel, tmp_path: Path) -> None:
    show = "print(prog.crashed_thread().stack_trace())"
    run = ("--run", "echo c >/proc/sysrq-trigger", "--command", show)
    called = faultloop("vmcore", *run, results=tmp_path)
    assert called.status == 0, called.stderr
    (folder,) = tmp_path.glob("*vmcore*")
    assert {"vmcore", "vmlinux", "trace.txt", "console.log"} <= {path.name for path in folder.iterdir()}
    decoded = (folder / "trace.txt").read_text()
    assert "Kernel panic - not syncing: sysrq triggered crash" in decoded
    assert "__handle_sysrq (drivers/tty/sysrq.c:" in decoded, "with file and line"
    assert "sysrq_handle_crash (/build/src/drivers/tty/sysrq.c:" in called.stdout, "the stack of who crashed"
    with (folder / "vmcore").open("rb") as file:
        names = [n["n_name"] for s in ELFFile(file).iter_segments("PT_NOTE") for n in s.iter_notes()]
    assert "VMCOREINFO" in names and "CORE" in names
    assert not left_behind(tmp_path)


def test_gdb_on_a_terminal(with_symbols: BuiltKernel, tmp_path: Path) -> None:
    """Typed into, interrupted by Ctrl-C, left with quit."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [str(ROOT / "faultloop"), "debug", "anon-reuse"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "FAULTLOOP_RESULTS": str(tmp_path), "TERM": "dumb"},
        start_new_session=True,
    )
    os.close(theirs)
    try:
        until(ours, b"(gdb) ", 400)
        os.write(ours, b"p 6*7\n")
        until(ours, b"$1 = 42", 60)
        os.write(ours, b"continue\n")
        until(ours, b"Continuing.", 60)
        time.sleep(1)
        os.write(ours, b"\x03")
        until(ours, b"received signal SIGINT", 60)
        os.write(ours, b"quit\n")
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    assert not left_behind(tmp_path)


def until(terminal: int, wanted: bytes, seconds: float) -> bytes:
    """What is printed up to ``wanted``."""
    said, end = b"", time.monotonic() + seconds
    while wanted not in said:
        ready, _, _ = select.select([terminal], [], [], max(0.0, end - time.monotonic()))
        assert ready, f"{wanted!r} did not come within {seconds} s:\n{said.decode(errors='replace')[-3000:]}"
        said += os.read(terminal, 4096)
    return said
