# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest's whole life, and each way it can go wrong, against ``fake_qemu.py``: real processes and sockets."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import pytest

from harness.errors import GuestError, GuestHung, GuestPanicked, GuestStopped, InfrastructureError
from harness.vm.machine import Guest
from tests.unit.fake_guest import Keys, spec


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return Keys.make(tmp_path_factory.mktemp("keys"))


class Fakes:
    """Makes guests of the fake emulator; afterwards none may have left anything behind."""

    def __init__(self, folder: Path, keys: Keys) -> None:
        self.folder = folder
        self.keys = keys
        self.logs = folder / "logs"
        self.guests: list[Guest] = []

    def guest(self, *words: str, **deadlines: float) -> Guest:
        guest = Guest(spec(self.folder, self.keys, *words, **deadlines), self.logs)
        self.guests.append(guest)
        return guest

    def log(self, name: str) -> str:
        return (self.logs / name).read_text()


@pytest.fixture
def fakes(tmp_path: Path, keys: Keys) -> Fakes:
    return Fakes(tmp_path, keys)


@pytest.fixture(autouse=True)
def little_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fake kernel answers at once, or never."""
    monkeypatch.setattr("harness.vm.probe._ANSWER_SECONDS", 0.5)
    monkeypatch.setattr("harness.vm.probe._DUMP_SECONDS", 1.0)


@pytest.fixture(autouse=True)
def nothing_left(fakes: Fakes) -> object:
    before = {thread.ident for thread in threading.enumerate()}
    yield
    for guest in fakes.guests:
        assert guest.end
        if hasattr(guest, "_process") and guest._process.pid:
            assert not Path(f"/proc/{guest._process.pid}").exists()
    left = [t.name for t in threading.enumerate() if t.ident not in before]
    assert not left


def test_life_of_a_guest(fakes: Fakes) -> None:
    with fakes.guest() as guest:
        assert guest.end == ""
        assert 0 < guest.timings.qmp < guest.timings.ready < guest.timings.connected
        result = guest.run(["echo", "hello"])
        assert (result.status, result.stdout) == (0, "hello\n")
        guest.power_off()
        assert guest.end == "POWEROFF"
    assert guest.end == "POWEROFF"
    assert guest.timings.ended > guest.timings.connected


def test_logs_tell_the_whole_story(fakes: Fakes) -> None:
    with fakes.guest() as guest:
        guest.run(["echo", "hello"])
    assert fakes.log("console.log").startswith("Booting Linux on physical CPU 0x0\n")
    messages = [json.loads(line.split(maxsplit=2)[2]) for line in fakes.log("qmp.log").splitlines()]
    assert "QMP" in messages[0]
    assert any(message.get("event") == "SHUTDOWN" for message in messages)
    last = [message for message in messages if "execute" in message][-1]
    assert last["execute"] == "quit" and {"return": {}, "id": last["id"]} in messages
    assert "-sandbox on,obsolete=deny" in fakes.log("qemu.cmd")
    assert "echo hello: status 0" in fakes.log("ssh.log")
    assert fakes.log("qemu.stderr") == ""


def test_leaving_the_block_powers_off(fakes: Fakes) -> None:
    with fakes.guest() as guest:
        pass
    assert guest.end == "POWEROFF"


def test_lines_come_in_the_callers_thread_while_the_command_runs(fakes: Fakes) -> None:
    heard: list[tuple[str, float, str]] = []
    with fakes.guest() as guest:
        result = guest.run(
            ["tick", "3"],
            on_line=lambda line: heard.append((line, time.monotonic(), threading.current_thread().name)),
        )
        ended = time.monotonic()
    assert [line for line, _, _ in heard] == ["tick 0", "tick 1", "tick 2"]
    assert {name for _, _, name in heard} == {"MainThread"}
    assert ended - heard[0][1] > 0.3
    assert result.stdout == "tick 0\ntick 1\ntick 2\n"


def test_lines_go_to_their_own_command_only(fakes: Fakes) -> None:
    heard: list[str] = []
    with fakes.guest() as guest:
        guest.run(["echo", "first"], on_line=heard.append)
        guest.run(["echo", "second"])
    assert heard == ["first"]


def test_output_on_both_streams_is_drained(fakes: Fakes) -> None:
    with fakes.guest() as guest:
        result = guest.run(["complain", "3000"])
    assert (result.status, len(result.stdout), len(result.stderr)) == (3, 3000 * 1024, 3000 * 1024)


def test_panic_at_boot_has_its_whole_trace(fakes: Fakes) -> None:
    guest = fakes.guest("fake.boot=panic")
    with (
        pytest.raises(GuestPanicked, match="panicked during boot: Kernel panic - not syncing: fake") as caught,
        guest,
    ):
        pass
    assert guest.end == "PANIC"
    assert caught.value.detail.splitlines()[0].startswith("Kernel panic")
    assert "---[ end Kernel panic" in caught.value.detail
    assert "---[ end Kernel panic" in fakes.log("console.log")


def test_panic_ends_a_command_at_once(fakes: Fakes) -> None:
    guest = fakes.guest()
    began = time.monotonic()
    with pytest.raises(GuestPanicked, match="panicked during `panic`"), guest:
        guest.run(["panic"], deadline=600)
    assert guest.end == "PANIC"
    assert time.monotonic() - began < 60


def test_reset_and_power_off_that_nobody_asked_for(fakes: Fakes) -> None:
    guest = fakes.guest()
    with pytest.raises(GuestStopped, match="reset during `reset`, unasked"), guest:
        guest.run(["reset"])
    assert guest.end == "RESET"
    guest = fakes.guest()
    with pytest.raises(GuestStopped, match="powered off during `poweroff`, unasked"), guest:
        guest.run(["poweroff"])
    assert guest.end == "POWEROFF"


def test_qemu_that_cannot_start_shows_its_own_words_and_command_line(fakes: Fakes) -> None:
    guest = fakes.guest("fake.boot=die")
    with pytest.raises(GuestError, match=r"QEMU ended during start \(exit status 1\)") as caught, guest:
        pass
    assert "fake: -device sva-testdev: no such device" in caught.value.detail
    assert "-machine virt,iommu=smmuv3" in caught.value.detail
    assert guest.end == "QEMU-DIED"


def test_qemu_that_crashes_is_not_the_guests_fault(fakes: Fakes) -> None:
    guest = fakes.guest()
    with pytest.raises(GuestError, match=r"QEMU ended during `die` \(killed by signal 6\)"), guest:
        guest.run(["die"])
    assert guest.end == "QEMU-DIED"


def test_guest_that_qemu_stops_is_not_the_guests_fault(fakes: Fakes) -> None:
    guest = fakes.guest("fake.status=io-error")
    with pytest.raises(GuestError, match="QEMU stopped the guest during `full`: io-error"), guest:
        guest.run(["full"])


def test_guest_that_qemu_stops_for_want_of_space_tells_what_to_do(fakes: Fakes) -> None:
    guest = fakes.guest("fake.status=io-error", "fake.nospace=1")
    words = (
        r"no space left \(.* free\): QEMU stopped the guest during `full`; make room, or name .*FAULTLOOP_RESULTS"
    )
    with pytest.raises(InfrastructureError, match=words) as caught, guest:
        guest.run(["full"])
    assert caught.value.message.startswith(str(guest.logs))


def test_silent_idle_guest_is_hung_long_before_its_deadline(fakes: Fakes) -> None:
    guest = fakes.guest("fake.sysrq=1", silence=2)
    began = time.monotonic()
    with (
        pytest.raises(GuestHung, match="during `hang`: nothing heard for 2 s, and every CPU is in WFI") as caught,
        guest,
    ):
        guest.run(["hang"], deadline=600)
    assert time.monotonic() - began < 60
    assert guest.end == "HANG"
    assert "SysRq-w (blocked tasks): in console.log" in caught.value.detail
    assert "faultloop: ready" in caught.value.detail
    assert caught.value.detail in fakes.log("hang.txt")
    assert "info registers -a" in fakes.log("qmp.log")


def test_silent_busy_guest_is_slow_until_its_deadline(fakes: Fakes) -> None:
    guest = fakes.guest("fake.busy=1", "fake.sysrq=1", silence=1)
    with pytest.raises(GuestHung, match=r"during `hang`: no end within its deadline of 6 s"), guest:
        guest.run(["hang"], deadline=6)
    assert guest.notes
    assert "slow: CPU 0 is computing; its kernel answers SysRq" in guest.notes[0]


def test_command_that_an_idle_guest_was_never_given_is_our_own_trouble(fakes: Fakes) -> None:
    guest = fakes.guest("fake.sysrq=1", silence=2)
    with pytest.raises(GuestError, match=r"an idle guest is stuck \(in `ignored`: nothing heard"), guest:
        guest.run(["ignored"], deadline=600)
    assert guest.end == "KILLED"
    assert "in _drain" in fakes.log("hang.txt")


def test_command_that_ends_while_the_silent_guest_is_looked_at_has_ended(fakes: Fakes) -> None:
    with fakes.guest(silence=1.0) as guest:
        assert guest.run(["nap", "1.5"]).status == 0
    assert "silent for 1 s" in guest.notes[0]


def test_progress_resets_the_clock_of_silence(fakes: Fakes) -> None:
    with fakes.guest(silence=1.0) as guest:
        assert guest.run(["tick", "10"]).status == 0
    assert guest.notes == []


def test_boot_that_never_gets_ready_names_its_phase(fakes: Fakes) -> None:
    guest = fakes.guest("fake.boot=flood", boot=3)
    with pytest.raises(GuestHung, match=r"hung during boot: no end within its deadline of 3 s"), guest:
        pass
    assert guest.end == "HANG"


def test_ssh_server_that_never_answers_names_its_phase(fakes: Fakes) -> None:
    guest = fakes.guest("fake.ssh=silent", "fake.sysrq=1", connect=2)
    with pytest.raises(GuestHung, match="during SSH connect: no end within its deadline of 2 s"), guest:
        pass


def test_qemu_that_never_greets_names_its_phase(fakes: Fakes) -> None:
    guest = fakes.guest("fake.greeting=600", start=1)
    with pytest.raises(GuestError, match="no QMP greeting within 1 s"), guest:
        pass
    assert guest.end == "KILLED"


def test_guest_that_will_not_power_off_is_hung_and_gone(fakes: Fakes) -> None:
    guest = fakes.guest("fake.off=never", "fake.sysrq=1", power_off=2)
    with pytest.raises(GuestHung, match="hung during power-off"), guest:
        guest.power_off()
    assert guest.end == "HANG"


def test_error_of_the_callers_own_kills_the_guest(fakes: Fakes) -> None:
    guest = fakes.guest()
    with pytest.raises(ZeroDivisionError), guest:
        raise ZeroDivisionError
    assert guest.end == "KILLED"


def test_error_of_on_line_ends_the_command(fakes: Fakes) -> None:
    def refuse(line: str) -> None:
        raise ValueError(line)

    guest = fakes.guest()
    with pytest.raises(ValueError, match="tick 0"), guest:
        guest.run(["tick", "1000"], on_line=refuse)
    assert guest.end == "KILLED"


def test_guest_that_was_left_refuses_work(fakes: Fakes) -> None:
    with fakes.guest() as guest:
        pass
    with pytest.raises(GuestError, match=r"the guest is gone \(POWEROFF\)"):
        guest.run(["echo"])


def test_missing_file_is_named_before_anything_starts(fakes: Fakes) -> None:
    guest = fakes.guest()
    guest.spec.disk.unlink()
    with pytest.raises(GuestError, match=f"no such file: {guest.spec.disk}"), guest:
        pass


def test_refused_counter_is_told(fakes: Fakes) -> None:
    with fakes.guest() as guest, pytest.raises(GuestError, match="refused QMP qom-get"):
        guest.counters()
