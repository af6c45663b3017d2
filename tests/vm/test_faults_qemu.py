# SPDX-License-Identifier: GPL-2.0-or-later
"""QEMU breaks under a run: outcome, status, what the user sees; nothing left, nothing lost."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from harness.jobs.workshop import Workshop
from tests.vm.command import ROOT
from tests.vm.faults import (
    FAULTY,
    HERE,
    OTHERS,
    PAUSE,
    PAUSE_IN_BOOT,
    Fault,
    broken,
    check_failed,
    check_one,
    hang_up,
    monitor,
    outcomes,
)

pytestmark = [pytest.mark.long, pytest.mark.usefixtures("base_kernel")]

PATCH = ROOT / "patches/linux/6.1-fix-fault-paths.patch"


def test_not_there(shop: Workshop, tmp_path: Path) -> None:
    with broken(tmp_path, shop, Fault(program=b"")) as broke:
        called = broke.run()
        assert called.status == 4
        assert "faultloop: cannot start a guest: no such file: " in called.stderr
        assert list(broke.place.results.iterdir()) == []  # there are no logs to keep


def test_no_program(shop: Workshop, tmp_path: Path) -> None:
    with broken(tmp_path, shop, Fault(program=b"\x7fELF\x02 of another world")) as broke:
        check_failed(broke.run(), broke, "QEMU ended during start (exit status 126)", "Exec format error")


def test_killed_before_it_speaks(shop: Workshop, tmp_path: Path) -> None:
    with broken(tmp_path, shop, Fault(qemu="os.kill(os.getpid(), signal.SIGKILL)")) as broke:
        check_failed(broke.run(), broke, "QEMU ended during start (killed by signal 9)", "Its command line:")


def test_silent_from_the_start(shop: Workshop, tmp_path: Path) -> None:
    with broken(tmp_path, shop, Fault(qemu="signal.pause()")) as broke:
        check_failed(broke.run(), broke, "QEMU gave no QMP greeting within 30 s")


def test_killed_in_boot(shop: Workshop, tmp_path: Path) -> None:
    with broken(tmp_path, shop, Fault(init=PAUSE_IN_BOOT)) as broke:
        command = broke.start()
        broke.wait_for(HERE).kill()
        check_failed(command.end(), broke, "QEMU ended during boot (killed by signal 9)")


def test_killed_before_the_first_workload(shop: Workshop, tmp_path: Path) -> None:
    with broken(tmp_path, shop, Fault(PAUSE, "test")) as broke:
        command = broke.start()
        broke.wait_for(HERE).kill()
        check_failed(command.end(), broke, "QEMU ended during `test -c /dev/sva_testdev` (killed by signal 9)")


def test_killed_in_a_workload(shop: Workshop, tmp_path: Path) -> None:
    with broken(tmp_path, shop, Fault(PAUSE)) as broke:
        command = broke.start()
        broke.wait_for(HERE).kill()
        check_one(
            command.end(), broke, "ERROR", 3, f"QEMU ended during `/faultloop/workloads {FAULTY}`", "signal 9"
        )


def test_killed_in_power_off(shop: Workshop, tmp_path: Path) -> None:
    """All paths have run: what they found stands, and is not kept for later runs."""
    with broken(tmp_path, shop, Fault(PAUSE, "poweroff")) as broke:
        command = broke.start()
        broke.wait_for(HERE).kill()
        called = command.end()
        assert (called.status, outcomes(called)) == (0, {**OTHERS, FAULTY: "PASS"})
        assert called.run["guests"][0]["end"] == "QEMU-DIED"
        assert broke.records() == 0


def test_killed_in_a_patched_guest_is_no_regression(shop: Workshop, tmp_path: Path) -> None:
    series = shop.patches([str(PATCH)], version=None, tree="").series
    patched = shop.variant(shop.kernel("6.1"), series)
    with broken(tmp_path, shop, Fault(PAUSE, only=patched.image.parent.name)) as broke:
        command = broke.start("test-patch", "--base", "6.1", str(PATCH))
        broke.wait_for(HERE, variant="patched")
        broke.qemu().kill()
        called = command.end()
        assert called.status == 3, called.stderr
        assert called.run["verdict"] == "INCONCLUSIVE"
        assert set(outcomes(called).values()) == {"PASS"}
        assert outcomes(called, "patched") == {**OTHERS, FAULTY: "ERROR"}


def test_what_another_guest_found_is_kept(shop: Workshop, tmp_path: Path) -> None:
    """One of two does not start: the run fails, and the next one has the other's record."""
    fault = Fault(qemu="os.kill(os.getpid(), signal.SIGKILL)", only="cortex-a76")
    with broken(tmp_path, shop, fault) as broke:
        called = broke.run(setups="cortex-a57,cortex-a76")
        assert called.status == 4
        assert "QEMU ended during start (killed by signal 9)" in called.stderr
        assert broke.records() == 1
        assert "0 run, 1 from the cache" in broke.run().stderr


def test_stopped_in_a_workload(shop: Workshop, tmp_path: Path) -> None:
    """SIGSTOP: it is alive and answers nothing."""
    with broken(tmp_path, shop, Fault(PAUSE)) as broke:
        command = broke.start()
        broke.wait_for(HERE).send_signal(signal.SIGSTOP)
        check_one(command.end(), broke, "ERROR", 3, "QEMU did not answer QMP query-status within 20 s")


def test_stopped_in_boot(shop: Workshop, tmp_path: Path) -> None:
    with broken(tmp_path, shop, Fault(init=PAUSE_IN_BOOT)) as broke:
        command = broke.start()
        broke.wait_for(HERE).send_signal(signal.SIGSTOP)
        check_failed(command.end(), broke, "QEMU did not answer QMP query-status within 20 s")


def test_monitor_closed_in_boot(shop: Workshop, tmp_path: Path) -> None:
    with broken(tmp_path, shop, Fault(init=f'echo "{HERE}" >/dev/console; sleep 2')) as broke:
        command = broke.start()
        qemu = broke.wait_for(HERE)
        hang_up(qemu, monitor(qemu))
        check_failed(command.end(), broke, "QMP ", "QEMU is gone")


def test_monitor_closed_in_a_workload(shop: Workshop, tmp_path: Path) -> None:
    with broken(tmp_path, shop, Fault(f'say "{HERE}"; sleep 2')) as broke:
        command = broke.start()
        qemu = broke.wait_for(HERE)
        hang_up(qemu, monitor(qemu))
        check_one(command.end(), broke, "ERROR", 3, "QMP qom-get: QEMU is gone")


def test_monitor_closed_in_power_off(shop: Workshop, tmp_path: Path) -> None:
    with broken(tmp_path, shop, Fault(f'say "{HERE}"; sleep 2', "poweroff")) as broke:
        command = broke.start()
        qemu = broke.wait_for(HERE)
        hang_up(qemu, monitor(qemu))
        called = command.end()
        assert (called.status, outcomes(called)) == (0, {**OTHERS, FAULTY: "PASS"})
        assert broke.records() == 0
