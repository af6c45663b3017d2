# SPDX-License-Identifier: GPL-2.0-or-later
"""The sandbox, with the real bubblewrap: what a build in it can see and do, and that nothing survives it."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from harness.build.sandbox import Bind, CommandFailed, Sandbox
from harness.errors import InfrastructureError


def _lines(argv: list[str], **kwargs: object) -> list[str]:
    lines: list[str] = []
    Sandbox().run(argv, on_output=lines.append, **kwargs)  # type: ignore[arg-type]
    return lines


def test_only_named_folders_are_seen(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "file").write_text("hello")
    lines = _lines(["sh", "-c", "ls / && cat /build/in/file"], binds=[Bind(tmp_path / "in", "/build/in")])
    assert "hello" in lines
    assert not {"home", "root", "var", "srv", "mnt", "work", "opt"}.intersection(lines)


def test_read_only_but_for_what_is_writable(tmp_path: Path) -> None:
    for name in ("ro", "rw"):
        (tmp_path / name).mkdir()
    binds = [Bind(tmp_path / "ro", "/b/ro"), Bind(tmp_path / "rw", "/b/rw", writable=True)]
    _lines(
        [
            "sh",
            "-c",
            "touch /b/rw/x /tmp/x; ! touch /b/ro/x && ! touch /usr/x && ! touch /etc/alternatives/x",
        ],
        binds=binds,
    )
    assert (tmp_path / "rw" / "x").exists()
    assert not (tmp_path / "ro" / "x").exists()


def test_no_network_no_host_processes_no_rights(tmp_path: Path) -> None:
    lines = _lines(["sh", "-c", "cat /proc/net/dev; grep CapEff /proc/self/status; ls -d /proc/[0-9]*; ulimit -c"])
    assert [line.split(":")[0].strip() for line in lines[2:3]] == ["lo"]
    assert "CapEff:\t0000000000000000" in lines
    assert not any(str(os.getpid()) in line for line in lines)
    assert lines[-1] == "0"


def test_environment_is_cleared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "x")
    lines = _lines(["env"], env={"ARCH": "arm64"})
    assert "ARCH=arm64" in lines and "LC_ALL=C" in lines
    assert not any("SECRET" in line for line in lines)


def test_tmp_is_bounded() -> None:
    with pytest.raises(CommandFailed) as caught:
        Sandbox(tmp_mib=1).run(["dd", "if=/dev/zero", "of=/tmp/x", "bs=1M", "count=3"])
    assert "No space left" in caught.value.detail


def test_failure_has_status_and_tail(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("before\n")
    with pytest.raises(CommandFailed) as caught:
        Sandbox().run(["sh", "-c", "echo out; echo err >&2; exit 7"], log=log)
    assert caught.value.exit_status == 7
    assert caught.value.tail == ("out", "err")
    assert log.read_text() == "before\nout\nerr\n"


def test_a_command_killed_inside_is_its_own_failure() -> None:
    with pytest.raises(CommandFailed) as caught:
        Sandbox().run(["sh", "-c", "kill -9 $$"])
    assert caught.value.exit_status == 128 + signal.SIGKILL


def test_output_that_is_not_utf8() -> None:
    assert _lines(["printf", r"a\377b\n"]) == ["a\N{REPLACEMENT CHARACTER}b"]


def test_missing_folder_is_ours() -> None:
    with pytest.raises(InfrastructureError, match="cannot set up the sandbox") as caught:
        Sandbox().run(["true"], binds=[Bind(Path("/nowhere/at/all"), "/x")])
    assert "/nowhere/at/all" in caught.value.detail


def test_missing_bwrap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(InfrastructureError, match="install the package bubblewrap"):
        Sandbox().run(["true"])


def test_no_user_namespaces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = tmp_path / "bwrap"
    fake.write_text("#!/bin/sh\necho 'bwrap: setting up uid map: Permission denied' >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(InfrastructureError, match=r"kernel\.unprivileged_userns_clone=1.*or run as root"):
        Sandbox().run(["true"])


def _beats(path: Path) -> bool:
    """Whether something still appends to ``path``."""
    before = path.stat().st_size
    time.sleep(0.25)
    return path.stat().st_size != before


_BEAT = "setsid sh -c 'for i in $(seq 500); do echo x >>/b/heart; sleep 0.02; done'"
"""Goes on for ten seconds and more, wherever its parent is."""

_HEART = ["sh", "-c", f"({_BEAT}) & echo up; wait"]


def test_timeout_ends_everything(tmp_path: Path) -> None:
    with pytest.raises(InfrastructureError, match=r"not done after 2 s"):
        Sandbox().run(_HEART, binds=[Bind(tmp_path, "/b", writable=True)], timeout=2)
    assert (tmp_path / "heart").stat().st_size > 0
    assert not _beats(tmp_path / "heart")


def test_interruption_ends_everything(tmp_path: Path) -> None:
    def interrupt(line: str) -> None:
        while not (tmp_path / "heart").exists():
            time.sleep(0.01)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Sandbox().run(_HEART, binds=[Bind(tmp_path, "/b", writable=True)], on_output=interrupt)
    assert not _beats(tmp_path / "heart")


def test_ctrl_c_while_it_is_silent(tmp_path: Path) -> None:
    def press() -> None:
        while not (tmp_path / "heart").exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    presser = threading.Thread(target=press)
    presser.start()
    with pytest.raises(KeyboardInterrupt), contextlib.ExitStack() as stack:
        stack.callback(presser.join)
        Sandbox().run(_HEART, binds=[Bind(tmp_path, "/b", writable=True)])
    assert not _beats(tmp_path / "heart")


def _run_heart(folder: Path) -> None:
    Sandbox().run(_HEART, binds=[Bind(folder, "/b", writable=True)])


def test_a_killed_harness_takes_the_sandbox_with_it(tmp_path: Path) -> None:
    harness = multiprocessing.get_context("fork").Process(target=_run_heart, args=(tmp_path,))
    harness.start()
    deadline = time.monotonic() + 20
    while not (tmp_path / "heart").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    harness.kill()
    harness.join()
    time.sleep(0.1)
    assert not _beats(tmp_path / "heart")


def test_a_daemon_does_not_outlive_its_parent(tmp_path: Path) -> None:
    Sandbox().run(
        [
            "sh",
            "-c",
            f"{_BEAT} >/dev/null 2>&1 & sleep 0.2",
        ],
        binds=[Bind(tmp_path, "/b", writable=True)],
    )
    assert not _beats(tmp_path / "heart")
