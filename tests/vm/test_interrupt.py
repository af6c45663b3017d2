# SPDX-License-Identifier: GPL-2.0-or-later
"""Interrupted in any phase: the right status, and no process, half-written entry or folder left behind.

The test process is made the reaper of orphans, so that whatever the command leaves running shows up as its child.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from filelock import FileLock, Timeout

from harness.layout import cache_root
from harness.model import BuiltKernel
from tests.vm.command import ROOT

_PR_SET_CHILD_SUBREAPER = 36
_SECONDS = 120.0

PATCH = """\
--- a/drivers/iommu/arm/arm-smmu-v3/arm-smmu-v3-sva.c
+++ b/drivers/iommu/arm/arm-smmu-v3/arm-smmu-v3-sva.c
@@ -1,4 +1,5 @@
 // SPDX-License-Identifier: GPL-2.0
+// {mark}
 /*
  * Implementation of the IOMMU SVA API for the ARM SMMUv3
  */
"""


@pytest.fixture(autouse=True)
def reaper() -> Iterator[None]:
    """Orphans of the command become children of this process; what a failed test left ends with it."""
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    yield
    while left := [pid for pid in pids_below(os.getpid()) if command_line(pid) is not None]:
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


def pids_below(parent: int) -> list[int]:
    """Children of a process; none if it has ended, which it may at any time."""
    found: list[int] = []
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for task in Path(f"/proc/{parent}/task").iterdir():
            found += map(int, (task / "children").read_text().split())
    return found


def command_line(pid: int) -> str | None:
    """Of a living process; None for one that has ended."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        if b") Z " not in Path(f"/proc/{pid}/stat").read_bytes():
            return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return None


def children() -> list[str]:
    """Command lines of this process's living children."""
    return [line for pid in pids_below(os.getpid()) if (line := command_line(pid)) is not None]


def temporaries() -> set[str]:
    """Half-made things in the cache that nobody is making: who does, here or elsewhere, holds the entry's lock."""
    root = cache_root()
    return {str(p) for p in [*root.glob("*/.tmp-*"), *root.glob("apply-*")] if not in_the_making(p)}


def in_the_making(entry: Path) -> bool:
    name = f"{entry.parent.name}-{entry.name.removeprefix('.tmp-')}.lock"
    lock = FileLock(cache_root() / "locks" / name)
    try:
        with lock.acquire(blocking=False):
            return False
    except Timeout:
        return True


def start(words: list[str], folder: Path, until: str) -> subprocess.Popen[str]:
    """Start the command and return when it says ``until``."""
    process = subprocess.Popen(
        [str(ROOT / "faultloop"), *words],
        env={**os.environ, "FAULTLOOP_RESULTS": str(folder / "results")},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if until in line:
            return process
    raise AssertionError(f"ended (status {process.wait()}) without saying {until!r}")


def wait_for(condition: str) -> None:
    """Until a process of that name runs below this one."""
    deadline = time.monotonic() + _SECONDS
    while condition not in " ".join(running_names()):
        assert time.monotonic() < deadline, f"no {condition} came up"
        time.sleep(0.05)


def running_names() -> list[str]:
    """Names of all processes below this one."""
    names, todo = [], [os.getpid()]
    while todo:
        for child in pids_below(todo.pop()):
            todo.append(child)
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                names.append(Path(f"/proc/{child}/comm").read_text().strip())
    return names


def check_nothing_left(process: subprocess.Popen[str], folder: Path, before: set[str], status: int) -> None:
    assert process.wait(_SECONDS) == status
    deadline = time.monotonic() + 10
    while children() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert children() == []
    assert temporaries() <= before
    results = folder / "results"
    assert not results.exists() or list(results.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_while_guests_run(base_kernel: BuiltKernel, tmp_path: Path, number: signal.Signals) -> None:
    before = temporaries()
    process = start(["run", "--fresh"], tmp_path, "2 guests")
    wait_for("qemu-system-aar")
    process.send_signal(number)
    check_nothing_left(process, tmp_path, before, 128 + number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_while_a_kernel_is_built(base_kernel: BuiltKernel, tmp_path: Path, number: signal.Signals) -> None:
    before = temporaries()
    patch = tmp_path / "x.patch"
    patch.write_text(PATCH.format(mark=uuid4()))
    process = start(["test-patch", str(patch)], tmp_path, "patched kernel")
    wait_for("make")
    process.send_signal(number)
    check_nothing_left(process, tmp_path, before, 128 + number)


def test_while_the_catalogue_is_checked(base_kernel: BuiltKernel, tmp_path: Path) -> None:
    before = temporaries()
    process = start(["catalogue", "--fresh", "6.1-fix-fault-paths"], tmp_path, "4 guests")
    wait_for("qemu-system-aar")
    process.send_signal(signal.SIGINT)
    check_nothing_left(process, tmp_path, before, 130)


def test_killed_while_guests_run(base_kernel: BuiltKernel, tmp_path: Path) -> None:
    """Nothing can be cleaned up then, but no guest may outlive the harness, and the next run sweeps the rest."""
    process = start(["run", "--fresh"], tmp_path, "2 guests")
    wait_for("qemu-system-aar")
    process.kill()
    process.wait(_SECONDS)
    deadline = time.monotonic() + 20
    while children() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert children() == []


def test_a_second_ctrl_c_changes_nothing(base_kernel: BuiltKernel, tmp_path: Path) -> None:
    before = temporaries()
    process = start(["run", "--fresh"], tmp_path, "2 guests")
    wait_for("qemu-system-aar")
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)
    check_nothing_left(process, tmp_path, before, 130)
