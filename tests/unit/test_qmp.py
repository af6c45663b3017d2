# SPDX-License-Identifier: GPL-2.0-or-later
"""QMP sessions against a scripted QEMU on a real socket pair."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.errors import GuestError
from harness.vm.qmp import Qmp
from tests.unit.fake_qemu import messages

GREETING = {"QMP": {"version": {"qemu": {"major": 10, "minor": 0, "micro": 0}, "package": ""}, "capabilities": []}}
Answer = Callable[[dict[str, Any]], list[dict[str, Any]]]


class Server:
    """QEMU's end: greets, then answers each command with what ``answers`` says."""

    def __init__(self, sock: socket.socket, answers: Answer) -> None:
        self.sock = sock
        self.answers = answers
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self) -> None:
        self.send(GREETING)
        for message in messages(self.sock):
            replies = [{"return": {}}] if message["execute"] == "qmp_capabilities" else self.answers(message)
            for reply in replies:
                key = {"id": message["id"]} if "id" in message and "event" not in reply else {}
                self.send({**reply, **key})

    def send(self, message: dict[str, Any]) -> None:
        self.sock.sendall(json.dumps(message).encode() + b"\r\n")

    def event(self, name: str, **data: object) -> None:
        self.send({"event": name, "data": data, "timestamp": {"seconds": 1, "microseconds": 0}})


class Link:
    """A connected session and its server."""

    def __init__(self, folder: Path) -> None:
        ours, theirs = socket.socketpair()
        self.log = folder / "qmp.log"
        self.replies: Answer = lambda message: [{"return": {"echo": message["execute"]}}]
        self.server = Server(theirs, lambda message: self.replies(message))
        self.qmp = Qmp(ours, self.log)


@pytest.fixture
def link(tmp_path: Path) -> Iterator[Link]:
    made = Link(tmp_path)
    made.qmp.connect(5)
    yield made
    made.qmp.close()
    made.server.sock.close()


def test_execute_returns_what_qemu_returns(link: Link) -> None:
    assert link.qmp.execute("query-status", deadline=5) == {"echo": "query-status"}


def test_every_message_is_logged_with_time_and_direction(link: Link) -> None:
    link.qmp.execute("query-status", {"a": 1}, deadline=5)
    link.server.event("RESET")
    assert link.qmp.wait_event(lambda event: event.name == "RESET", 5)
    lines = [line.split(maxsplit=2) for line in link.log.read_text().splitlines()]
    assert all(float(when) >= 0 for when, _, _ in lines)
    messages = [(way, json.loads(text)) for _, way, text in lines]
    assert [way for way, _ in messages] == ["<-", "->", "<-", "->", "<-", "<-"]
    assert messages[3][1]["arguments"] == {"a": 1}
    assert messages[5][1]["event"] == "RESET"


def test_refusal_names_the_command_and_the_reason(link: Link) -> None:
    link.replies = lambda message: [{"error": {"class": "GenericError", "desc": "no such thing"}}]
    with pytest.raises(GuestError, match="refused QMP qom-get: no such thing"):
        link.qmp.execute("qom-get", deadline=5)


def test_silent_qemu_ends_at_the_deadline_and_the_session_lives(link: Link) -> None:
    link.replies = lambda message: []
    with pytest.raises(GuestError, match=r"did not answer QMP stop within 0\.2 s"):
        link.qmp.execute("stop", deadline=0.2)
    link.replies = lambda message: [{"return": 7}]
    assert link.qmp.execute("cont", deadline=5) == 7


def test_death_of_qemu_ends_a_command_at_once(link: Link) -> None:
    link.replies = lambda message: []
    threading.Timer(0.2, link.server.sock.shutdown, [socket.SHUT_RDWR]).start()
    began = time.monotonic()
    with pytest.raises(GuestError, match="QEMU is gone"):
        link.qmp.execute("query-status", deadline=30)
    assert time.monotonic() - began < 10


def test_events_are_kept_with_their_time_and_order(link: Link) -> None:
    link.server.event("STOP")
    threading.Timer(0.3, link.server.event, ["SHUTDOWN"], {"reason": "guest-reset", "guest": True}).start()
    began = time.monotonic()
    found = link.qmp.wait_event(lambda event: event.data.get("reason") == "guest-reset", 60)
    assert found is not None
    assert time.monotonic() - began < 30
    assert found.name == "SHUTDOWN"
    assert [event.name for event in link.qmp.events] == ["STOP", "SHUTDOWN"]
    assert 0 <= link.qmp.events[0].seconds <= found.seconds


def test_event_that_came_before_the_wait_is_found(link: Link) -> None:
    link.server.event("GUEST_PANICKED", action="run")
    link.qmp.execute("query-status", deadline=5)
    assert link.qmp.wait_event(lambda event: event.name == "GUEST_PANICKED", 5)


def test_wait_for_an_event_that_never_comes_is_bounded(link: Link) -> None:
    assert link.qmp.wait_event(lambda event: event.name == "SHUTDOWN", 0.1) is None


def test_events_survive_the_death_of_qemu(link: Link) -> None:
    link.server.event("SHUTDOWN", reason="guest-shutdown", guest=True)
    link.server.sock.shutdown(socket.SHUT_RDWR)
    assert link.qmp.wait_event(lambda event: event.name == "SHUTDOWN", 5)


def test_hang_up_before_the_greeting_is_told(tmp_path: Path) -> None:
    ours, theirs = socket.socketpair()
    theirs.close()
    qmp = Qmp(ours, tmp_path / "qmp.log")
    with pytest.raises(GuestError, match="hung up before its QMP greeting"):
        qmp.connect(5)
    qmp.close()


def test_no_greeting_is_told_within_the_deadline(tmp_path: Path) -> None:
    ours, theirs = socket.socketpair()
    qmp = Qmp(ours, tmp_path / "qmp.log")
    with pytest.raises(GuestError, match=r"no QMP greeting within 0\.2 s"):
        qmp.connect(0.2)
    qmp.close()
    theirs.close()


def test_close_leaves_no_thread_and_nothing_on_the_users_screen(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = threading.active_count()
    link = Link(tmp_path)
    link.qmp.connect(5)
    link.server.sock.shutdown(socket.SHUT_RDWR)
    link.qmp.close()
    deadline = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() == before
    assert capfd.readouterr() == ("", "")
