# SPDX-License-Identifier: GPL-2.0-or-later
"""QEMU never outlives the harness, however that ends, and never dies of a thread that ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from harness.errors import GuestError
from harness.vm.process import Process
from tests.unit.fake_guest import Keys, spec

ROOT = Path(__file__).resolve().parents[2]

# What the harness does when it is hit: the phase is told by a line, then it waits there.
HARNESS = """
import sys, pickle
from pathlib import Path
from harness.vm.machine import Guest
spec, phase = pickle.loads(Path(sys.argv[1]).read_bytes()), sys.argv[2]
guest = Guest(spec, Path(sys.argv[1]).parent / "logs")
try:
    with guest:
        if phase == "power-off":
            guest.power_off()
        guest.run(["hang"], deadline=600)
finally:
    print("END", guest.end, flush=True)
"""

PHASES = {
    "start": "fake.greeting=600",
    "boot": "fake.boot=silent",
    "connect": "fake.ssh=silent",
    "command": "fake.ok=1",
    "power-off": "fake.off=never",
}


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def gone(pid: int, seconds: float = 10) -> bool:
    end = time.monotonic() + seconds
    while alive(pid) and time.monotonic() < end:
        time.sleep(0.02)
    return not alive(pid)


class Hit:
    """A harness in a process of its own, waiting in some phase of a fake guest's life."""

    def __init__(self, folder: Path, phase: str) -> None:
        import pickle

        self.folder = folder
        self.temporary = folder / "tmp"
        self.temporary.mkdir()
        (folder / "spec").write_bytes(pickle.dumps(spec(folder, Keys.make(folder), PHASES[phase])))
        self.harness = subprocess.Popen(
            [sys.executable, "-c", HARNESS, str(folder / "spec"), phase],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(self.temporary)},
        )
        self.qemu = self._reach(phase)

    def _reach(self, phase: str) -> int:
        marks = {
            "start": ("qemu.cmd", "fake-qemu"),
            "boot": ("console.log", "Booting"),
            "connect": ("console.log", "ready"),
            "command": ("ssh.log", "successful"),
            "power-off": ("ssh.log", "successful"),
        }
        name, text = marks[phase]
        log = self.folder / "logs" / name
        end = time.monotonic() + 30
        while not (log.exists() and text in log.read_text()):
            assert time.monotonic() < end, f"never came to {phase}"
            time.sleep(0.02)
        time.sleep(0.3)
        found: set[int] = set()
        for file in Path(f"/proc/{self.harness.pid}/task").glob("*/children"):
            with suppress(FileNotFoundError, ProcessLookupError):  # a thread that has ended since
                found.update(map(int, file.read_text().split()))
        (pid,) = found
        return pid


@pytest.fixture(params=list(PHASES))
def hit(request: pytest.FixtureRequest, tmp_path: Path) -> Hit:
    return Hit(tmp_path, request.param)


def test_interruption_in_each_phase_leaves_nothing(hit: Hit) -> None:
    hit.harness.send_signal(signal.SIGINT)
    out, err = hit.harness.communicate(timeout=30)
    assert "END KILLED" in out
    assert "KeyboardInterrupt" in err
    assert gone(hit.qemu, 1)
    assert list(hit.temporary.iterdir()) == []
    assert (hit.folder / "logs" / "console.log").exists()


def test_sigkill_of_the_harness_in_each_phase_kills_qemu(hit: Hit) -> None:
    hit.harness.kill()
    hit.harness.communicate(timeout=30)
    assert gone(hit.qemu)
    assert list(hit.temporary.iterdir()) == []


def start(folder: Path, argv: list[str]) -> Process:
    process = Process(argv, pass_fds=[], stderr=folder / "stderr", bell=threading.Condition())
    process.start()
    return process


def test_thread_that_started_it_may_end(tmp_path: Path) -> None:
    started: list[Process] = []
    starter = threading.Thread(target=lambda: started.append(start(tmp_path, ["sleep", "60"])))
    starter.start()
    starter.join()
    assert not started[0].wait(0.5)
    started[0].close()
    assert started[0].status == -signal.SIGKILL


def test_exit_status_and_last_words(tmp_path: Path) -> None:
    process = start(tmp_path, ["sh", "-c", "echo oh no >&2; exit 7"])
    assert process.wait(10)
    assert (process.status, process.stderr()) == (7, "oh no")
    process.close()


def test_it_leaves_no_overlay_that_it_had_no_time_to_unlink(tmp_path: Path) -> None:
    process = start(tmp_path, ["sh", "-c", 'touch "$TMPDIR/vl.A1b2C3" "$TMPDIR/console.log"; exec sleep 60'])
    overlay = tmp_path / "vl.A1b2C3"
    deadline = time.monotonic() + 10
    while not (tmp_path / "console.log").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert overlay.exists()
    process.close()
    assert not overlay.exists() and (tmp_path / "console.log").exists()


def test_it_has_a_session_of_its_own_and_no_terminal_signal_reaches_it(tmp_path: Path) -> None:
    process = start(tmp_path, ["sleep", "60"])
    assert os.getsid(process.pid) == process.pid
    process.close()


def test_time_without_a_host_cpu_is_read_from_the_scheduler(tmp_path: Path) -> None:
    process = start(tmp_path, ["sh", "-c", "i=0; while [ $i -lt 20000 ]; do i=$((i + 1)); done; exec sleep 60"])
    stat = Path(f"/proc/{process.pid}/schedstat")
    end = time.monotonic() + 20
    while not process.starved() and time.monotonic() < end:
        time.sleep(0.02)
    assert 0 < process.starved() <= int(stat.read_text().split()[1]) / 1e9
    process.close()
    assert process.starved() == 0


def test_close_while_it_starts_kills_it(tmp_path: Path) -> None:
    process = Process(["sleep", "60"], pass_fds=[], stderr=tmp_path / "stderr", bell=threading.Condition())
    threading.Thread(target=process.start).start()
    while process._thread.ident is None:
        time.sleep(0.001)
    process.close()
    assert process.status == -signal.SIGKILL
    process.close()


def test_child_made_for_a_harness_that_is_gone_does_not_run(tmp_path: Path) -> None:
    from harness.mortal import GUARD

    ran = tmp_path / "ran"
    other = 1 if os.getpid() != 1 else 2
    done = subprocess.run([*GUARD, str(other), "touch", str(ran)], check=False)
    assert done.returncode != 0
    assert not ran.exists()
    assert subprocess.run([*GUARD, str(os.getpid()), "touch", str(ran)], check=False).returncode == 0
    assert ran.exists()


def test_missing_setpriv_is_told_with_a_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.mortal.GUARD", ("no-such-setpriv",))
    with pytest.raises(GuestError, match="setpriv is part of util-linux"):
        start(tmp_path, ["true"])
