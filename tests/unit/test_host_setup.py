# SPDX-License-Identifier: GPL-2.0-or-later
"""``tools/setup.sh`` on a host of made-up packages: what is installed for whom, and when it is looked for."""

from __future__ import annotations

import hashlib
import os
import subprocess
import time
from pathlib import Path

import pytest

from harness.build.cache import last_use
from harness.layout import project

SCRIPT = project().root / "tools" / "setup.sh"
FAKES = {
    "dpkg-query": 'for p; do :; done; echo "query $p" >>"$LOG"; '
    'grep -qx "$p" "$HAVE" && printf "install ok installed"',
    "apt-get": 'echo "apt-get $*" >>"$LOG"; [ "$1" = update ] && exit 0; [ -z "${REFUSE:-}" ] || exit 100; '
    'shift 3; printf "%s\\n" "$@" >>"$HAVE"',
    "id": "echo 0",
}


class Host:
    """A checkout with lists of its own, and a cache in which the environment is there."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "a checkout"
        self.cache = folder / "cache"
        self.log = folder / "log"
        self.have = folder / "have"
        tools = self.root / "tools"
        tools.mkdir(parents=True)
        (tools / "setup.sh").write_bytes(SCRIPT.read_bytes())
        self.list("packages", "# to build\nbc\nflex\n")
        self.list("test-packages", "# to look at pages\nchromium # big\n")
        (self.root / "requirements.lock").write_text("")
        self.venv = self.cache / "venv" / hashlib.sha256(b"").hexdigest()[:16]
        self.venv.mkdir(parents=True)
        (self.venv / ".complete").touch()
        self.have.write_text("bc\n")
        self.bin = folder / "bin"
        self.bin.mkdir()
        for name, body in FAKES.items():
            (self.bin / name).write_text(f"#!/bin/sh\n{body}\n")
            (self.bin / name).chmod(0o755)

    def list(self, name: str, text: str) -> None:
        (self.root / "tools" / f"{name}.txt").write_text(text)

    def run(self, *words: str, refuse: str = "") -> tuple[int, list[str]]:
        """Status, and what was asked of dpkg and apt."""
        self.log.write_text("")
        done = subprocess.run(
            ["sh", str(self.root / "tools" / "setup.sh"), *words],
            env={
                "PATH": f"{self.bin}:{os.environ['PATH']}",
                "FAULTLOOP_CACHE": str(self.cache),
                "LOG": str(self.log),
                "HAVE": str(self.have),
                "REFUSE": refuse,
            },
            capture_output=True,
            text=True,
        )
        assert done.returncode or done.stdout.startswith(str(self.cache / "venv")), done.stderr
        return done.returncode, self.log.read_text().splitlines()


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def installed(asked: list[str]) -> list[str]:
    return [line.split("recommends ")[1] for line in asked if " install " in line]


def test_an_environment_that_is_handed_out_is_in_use(host: Host) -> None:
    """For ``faultloop cache --remove-unused``."""
    mark = host.venv / ".complete"
    os.utime(mark, (0, 0))
    host.run()
    assert time.time() - last_use(mark) < 3600


def test_what_only_tests_need_is_installed_for_tests_only(host: Host) -> None:
    assert installed(host.run()[1]) == ["flex"]
    assert installed(host.run("--test")[1]) == ["chromium"]
    assert host.have.read_text().split() == ["bc", "flex", "chromium"]


def test_tests_on_a_new_machine_get_all_of_it(host: Host) -> None:
    assert installed(host.run("--test")[1]) == ["flex", "chromium"]


def test_nothing_is_asked_for_twice(host: Host) -> None:
    host.run("--test")
    assert host.run("--test") == (0, []) and host.run() == (0, [])


def test_a_list_that_changed_is_looked_at_again(host: Host) -> None:
    host.run("--test")
    host.list("packages", "bc\nflex\nbison\n")
    assert installed(host.run()[1]) == ["bison"]
    assert host.run("--test") == (0, [])
    host.list("test-packages", "chromium\nfonts\n")
    assert host.run() == (0, [])
    assert installed(host.run("--test")[1]) == ["fonts"]


def test_a_refusal_is_not_taken_for_done(host: Host) -> None:
    status, asked = host.run("--test", refuse="yes")
    assert status == 4 and asked
    assert installed(host.run("--test")[1]) == ["flex", "chromium"]
