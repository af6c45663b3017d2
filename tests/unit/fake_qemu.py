#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A QEMU for tests of the harness: QMP, console and an SSH server, and on demand whatever goes wrong.

The words of ``-append`` say what happens at boot (``fake.boot=...``) and when SSH connects (``fake.ssh=...``);
commands sent over SSH say what happens then. The two keys come in ``FAKE_HOST_KEY`` and ``FAKE_CLIENT_KEY``.
"""

from __future__ import annotations

import json
import os
import re
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paramiko
from paramiko.common import AUTH_FAILED, AUTH_SUCCESSFUL, OPEN_SUCCEEDED

sys.path.insert(0, str(Path(__file__).parent))
import fake_shell

PANIC = (
    "Kernel panic - not syncing: fake\nCall trace:\n dump_backtrace+0x0/0x10\n",
    "---[ end Kernel panic - not syncing: fake ]---\n",
)


class Fake:
    """One run."""

    def __init__(self, argv: list[str]) -> None:
        line = " ".join(argv)
        self.qmp = _socket(re.search(r"socket,id=qmp,fd=(\d+)", line))
        self.console = _socket(re.search(r"socket,id=console,fd=(\d+)", line))
        self.words = dict(w.split("=", 1) for w in argv[argv.index("-append") + 1].split() if "=" in w)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.answers_sysrq = "fake.sysrq" in self.words
        self.lock = threading.Lock()
        self.running = threading.Event()

    def say(self, text: str) -> None:
        self.console.sendall(text.replace("\n", "\r\n").encode())

    def event(self, name: str, **data: object) -> None:
        stamp = {"seconds": int(time.time()), "microseconds": 0}
        self._send({"event": name, "data": data, "timestamp": stamp})

    def end(self, reason: str) -> None:
        self.event("SHUTDOWN", guest=True, reason=reason)
        self.event("STOP")

    def panic(self) -> None:
        self.say(PANIC[0])
        self.event("GUEST_PANICKED", action="run")
        time.sleep(0.3)
        self.say(PANIC[1])

    def serve_qmp(self) -> None:
        time.sleep(float(self.words.get("fake.greeting", 0)))
        version = {"qemu": {"major": 10, "minor": 0, "micro": 0}, "package": ""}
        self._send({"QMP": {"version": version, "capabilities": []}})
        for message in messages(self.qmp):
            if message["execute"] == "qom-get":
                self._send({"error": {"class": "GenericError", "desc": "no such property"}, "id": message["id"]})
                continue
            answer = self._answer(message["execute"], message.get("arguments", {}))
            self._send({"return": answer, **({"id": message["id"]} if "id" in message else {})})
            if message["execute"] == "quit":
                os._exit(0)
            if message["execute"] == "cont":
                self.running.set()
        os._exit(1)

    def boot(self) -> None:
        how = self.words.get("fake.boot", "ready")
        self.say("Booting Linux on physical CPU 0x0\n")
        if how == "panic":
            self.panic()
        elif how == "flood":
            while True:
                self.say("all work and no play makes a dull console\n" * 1000)
        elif how == "ready":
            self.say("faultloop: ready\n/ # ")

    def read_console(self) -> None:
        while self.console.recv(100):
            if self.answers_sysrq:
                self.say("sysrq: HELP : loglevel(0-9)\n")

    def serve_ssh(self) -> None:
        sock, _ = self.listener.accept()
        if self.words.get("fake.ssh") == "silent":
            time.sleep(1000)
        transport = paramiko.Transport(sock)
        transport.add_server_key(paramiko.Ed25519Key(filename=os.environ["FAKE_HOST_KEY"]))
        transport.start_server(server=Server(self))
        while True:
            channel = transport.accept(1000)
            if channel is None:
                return

    def _answer(self, command: str, arguments: dict[str, str]) -> object:
        if command == "human-monitor-command":
            if arguments["command-line"] == "info usernet":
                port = self.listener.getsockname()[1]
                return f"  TCP[HOST_FORWARD]  14       127.0.0.1 {port}       10.0.2.15    22     0     0\r\n"
            return "\r\nCPU#0\r\n PC=ffff800008001000 X00=0000000000000000\r\n"
        if command == "query-cpus-fast":
            return [{"cpu-index": 0, "thread-id": threading.main_thread().native_id}]
        if command == "query-status":
            return {"status": self.words.get("fake.status", "running"), "running": True}
        return {}

    def _send(self, message: object) -> None:
        with self.lock:
            self.qmp.sendall(json.dumps(message).encode() + b"\r\n")


class Server(paramiko.ServerInterface):
    """Runs the few commands that tests need."""

    def __init__(self, fake: Fake) -> None:
        self.fake = fake
        self.client = paramiko.Ed25519Key(filename=os.environ["FAKE_CLIENT_KEY"])

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return OPEN_SUCCEEDED

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        return AUTH_SUCCESSFUL if key == self.client else AUTH_FAILED

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        threading.Thread(target=fake_shell.serve, args=[channel, command, self.run], daemon=True).start()
        return True

    def run(self, channel: paramiko.Channel, line: str) -> int | None:
        word, _, rest = line.partition(" ")
        if word == "echo":
            channel.sendall(f"{rest}\n".encode())
        elif word == "complain":
            # More than a window on each stream: who reads only one of them waits for ever.
            for _ in range(int(rest)):
                channel.sendall(b"o" * 1023 + b"\n")
                channel.sendall_stderr(b"e" * 1023 + b"\n")
            return 3
        elif word == "tick":
            for number in range(int(rest)):
                channel.sendall(f"tick {number}\n".encode())
                time.sleep(0.2)
        elif word == "nap":
            time.sleep(float(rest))
        elif word == "panic":
            self.fake.panic()
            return None
        elif word == "reset":
            self.fake.end("guest-reset")
            return None
        elif word == "full":
            if "fake.nospace" in self.fake.words:
                self.fake.event("BLOCK_IO_ERROR", nospace=True)
            self.fake.event("STOP")
            return None
        elif word == "die":
            os.abort()
        elif word == "hang":
            return None
        elif word == "poweroff":
            if "fake.off" not in self.fake.words:
                self.fake.end("guest-shutdown")
            return None
        return 0


def messages(sock: socket.socket) -> Iterator[dict[str, Any]]:
    """QMP's messages need no line ends between them."""
    decoder, text = json.JSONDecoder(), ""
    while data := sock.recv(1 << 16):
        text += data.decode()
        while text := text.lstrip():
            try:
                message, end = decoder.raw_decode(text)
            except ValueError:
                break
            text = text[end:]
            yield message


def _socket(match: re.Match[str] | None) -> socket.socket:
    assert match is not None
    return socket.socket(fileno=int(match.group(1)))


def main() -> None:
    fake = Fake(sys.argv[1:])
    if fake.words.get("fake.boot") == "die":
        print("fake: -device sva-testdev: no such device", file=sys.stderr)
        sys.exit(1)
    for serve in (fake.serve_qmp, fake.read_console, fake.serve_ssh):
        threading.Thread(target=serve, daemon=True).start()
    fake.running.wait()
    fake.boot()
    while "fake.busy" in fake.words:
        pass
    time.sleep(1000)


if __name__ == "__main__":
    main()
