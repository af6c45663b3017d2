# SPDX-License-Identifier: GPL-2.0-or-later
"""The sandbox on other hosts: without root, without user namespaces, and turned off."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.build import cgroup, sandbox
from harness.build.cache import Cache
from harness.build.limits import LimitExceeded, Limits
from harness.build.sandbox import Bind, CommandFailed, Sandbox, of_user
from harness.build.unconfined import translate
from harness.errors import InfrastructureError, UserError
from harness.jobs import doctor
from harness.report import document
from tests.lifecycle.test_sandbox_limits import BOMB
from tests.tools.test_kernel_build import _FORK, Shop, _diff
from tests.unit import runs

CLONE_NEWUSER = 0x10000000
ROOT = Path(__file__).resolve().parents[2]
NOBODY = 65534
needs_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="every other test of the sandbox is run without root here"
)


@pytest.fixture
def anyones() -> Iterator[Path]:
    """A folder that every user can reach and write."""
    with tempfile.TemporaryDirectory(prefix="sandbox-hosts-", dir="/var/tmp") as name:
        Path(name).chmod(0o777)
        yield Path(name)


def elsewhere(job: Callable[[], str], prepare: Callable[[], None]) -> str:
    """What ``job`` says in a process of its own that ``prepare`` has changed for good."""
    context = multiprocessing.get_context("fork")
    receive, send = context.Pipe(duplex=False)

    def child() -> None:
        prepare()
        try:
            send.send(job())
        except (InfrastructureError, CommandFailed) as error:
            send.send(f"{type(error).__name__}: {error.message}\n{error.detail}")

    # Another user may not reach this interpreter's modules: all that it needs has been imported by then.
    Sandbox().run(["true"])
    tempfile.TemporaryDirectory().cleanup()
    process = context.Process(target=child)
    process.start()
    send.close()
    assert receive.poll(60)
    said = receive.recv()
    process.join()
    return str(said)


def as_nobody() -> None:
    tempfile.tempdir = "/var/tmp"  # that of root may be root's alone
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)


def without_user_namespaces() -> None:
    """As on a host that has turned them off, for a user who is not root."""
    if os.geteuid() == 0:
        as_nobody()
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(4, 1, 0, 0, 0)  # PR_SET_DUMPABLE: else /proc/self is root's
    assert libc.unshare(CLONE_NEWUSER) == 0, os.strerror(ctypes.get_errno())
    Path("/proc/sys/user/max_user_namespaces").write_text("0", encoding="utf-8")


def lines_of(box: Sandbox, script: str, folder: Path | None = None) -> str:
    lines: list[str] = []
    binds = [Bind(folder, "/b", writable=True)] if folder else []
    box.run(["sh", "-c", script], binds=binds, on_output=lines.append)
    return "\n".join(lines)


@needs_root
def test_a_user_who_is_not_root(anyones: Path) -> None:
    script = "id -u; echo x >/b/x; touch /usr/x /x /b/../x; ls /home /root; unshare -Ur true; cat /proc/net/dev"
    said = elsewhere(lambda: lines_of(Sandbox(), script, anyones), as_nobody)
    assert said.startswith(f"{NOBODY}\n") and (anyones / "x").stat().st_uid == NOBODY
    assert said.count("Read-only file system") == 3 and "unshare failed" in said and "eth0" not in said


@needs_root
def test_the_limits_of_a_user_who_is_not_root(anyones: Path) -> None:
    small = Limits(seconds=30, processes=40, memory=256 << 20)
    bomb = elsewhere(lambda: lines_of(Sandbox(limits=small), BOMB), as_nobody)
    assert bomb.startswith("LimitExceeded: ") and "started more than 40 processes, and was stopped" in bomb
    assert elsewhere(lambda: str(cgroup.places()), as_nobody) == "[]"
    count = "n=0; while sleep 9 & [ $n -lt 400 ]; do n=$((n+1)); done; echo all $n"
    said = elsewhere(lambda: lines_of(Sandbox(limits=small), count), as_nobody)
    assert "all 400" not in said
    hog = "for i in 1 2 3 4 5 6; do perl -e '$x = \"x\" x 60_000_000; sleep 9' & done; wait"
    assert "used more than 0.2 GiB of memory" in elsewhere(lambda: lines_of(Sandbox(limits=small), hog), as_nobody)


def test_a_host_without_user_namespaces_is_told_and_refused() -> None:
    said = elsewhere(lambda: lines_of(Sandbox(), "echo built"), without_user_namespaces)
    assert said.startswith("InfrastructureError: bubblewrap cannot make a user namespace on this host; allow it")
    assert "FAULTLOOP_SANDBOX=off (make: SANDBOX=off)" in said and "built" not in said


def test_there_it_works_when_it_is_turned_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(sandbox.VARIABLE, "off")
    assert elsewhere(lambda: lines_of(of_user(), "echo built"), without_user_namespaces) == "built"


@needs_root
def test_root_without_user_namespaces_has_a_sandbox_all_the_same() -> None:
    """A real root, which bubblewrap needs none for; no other user may make one in there either."""
    script = f"""
import sys; sys.path.insert(0, {str(ROOT)!r})
from harness.build.sandbox import Sandbox
from harness.build import sandbox
sandbox.user_namespaces = lambda: False
Sandbox().run(["sh", "-c", "grep CapEff /proc/self/status; touch /usr/x; echo /proc/[0-9]*"], on_output=print)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert "CapEff:\t0000000000000000" in done.stdout, done.stderr
    assert "Read-only file system" in done.stdout and str(os.getpid()) not in done.stdout.split()


def test_doctor_says_what_keeps_the_limits_and_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    lacking = elsewhere(lambda: repr(doctor._user_namespaces()), without_user_namespaces)
    assert "ok=False" in lacking and "sysctl user.max_user_namespaces" in lacking
    keeper = elsewhere(doctor._keeper, without_user_namespaces)
    assert keeper == "processes: RLIMIT_NPROC; memory: RLIMIT_AS for each, a look for all"
    monkeypatch.setenv(sandbox.VARIABLE, "off")
    assert doctor._sandbox().startswith("WARNING: FAULTLOOP_SANDBOX=off")
    names = {finding.name for finding in doctor._host(Cache(Path("/tmp/faultloop-doctor")))}
    assert {"sandbox", "user namespaces", "limits of a build", "limits are kept by", "b4"} <= names


def test_what_the_variable_may_say(monkeypatch: pytest.MonkeyPatch) -> None:
    for said, confined in (("", True), ("on", True), ("off", False)):
        monkeypatch.setenv(sandbox.VARIABLE, said)
        assert of_user().confined is confined
    monkeypatch.setenv(sandbox.VARIABLE, "no")
    with pytest.raises(UserError, match="FAULTLOOP_SANDBOX=no: it is on, or off"):
        of_user()


def test_paths_are_those_of_the_host_where_nothing_is_mounted() -> None:
    argv = ["make", "-C", "/build/src", "O=/build/out", "X=/build/output:/x/build/out", "M=/build/out/d"]
    paths = {"/build/src": "/c/tree", "/build/out": "/c/out dir"}
    found, env = translate(argv, {"KCONFIG": "/build/src/all.config"}, "/build/out", paths)
    assert found[-6:] == [
        "make", "-C", "/c/tree", "O=/c/out dir", "X=/build/output:/x/build/out", "M=/c/out dir/d",
    ]  # fmt: skip
    assert env == {"KCONFIG": "/c/tree/all.config"} and "/c/out dir" in found[: -len(argv)]
    with pytest.raises(ValueError, match="lies in another bind"):
        translate([], {}, "/", {"/build/src": "/a", "/build/src/mm/x.c": "/b"})


def test_a_kernel_without_a_sandbox(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    off = Sandbox(confined=False)
    patch = _diff("kernel/fork.c", _FORK.replace("2", "3"))
    confined = shop.build(patch)
    base, patched = shop.build(sandbox=off), shop.build(patch, _diff("mm/new.c", "int x;\n"), sandbox=off)
    assert not base.confined and not patched.confined and confined.confined
    assert patched.objects == 5, "objects of another path cannot be used again"
    # What was made without a sandbox is not taken for safe, neither kernel nor driver.
    for safe, open_ in ((confined, shop.build(patch, sandbox=off)), (shop.build(), base)):
        assert open_.key != safe.key and open_.image != safe.image
    assert shop.build(sandbox=off) == base and shop.lines == []
    assert [m.name for m in patched.modules] == ["sva.ko"]
    assert (shop.tree / "kernel/fork.c").read_text() == _FORK
    assert not list(tmp_path.glob("cache/*/*/src"))


def test_limits_hold_without_a_sandbox_too(tmp_path: Path) -> None:
    small = Limits(seconds=1, output=1 << 20, disk=1 << 20)
    off = Sandbox(limits=small, confined=False)
    with pytest.raises(LimitExceeded, match="not done after 1 s"):
        lines_of(off, "sleep 30")
    with pytest.raises(LimitExceeded, match="printed more than 1 MiB"):
        lines_of(off, "yes")
    with pytest.raises(CommandFailed):
        lines_of(off, f"head -c 3M /dev/zero >{tmp_path}/x")
    os.environ["SECRET_TOKEN"] = "x"
    try:
        assert "SECRET" not in lines_of(off, "env; echo $HOME")
    finally:
        del os.environ["SECRET_TOKEN"]


def test_a_run_without_a_sandbox_says_so(tmp_path: Path) -> None:
    from dataclasses import replace

    run = runs.run(tmp_path, ["LOOP"], ["PASS"])
    assert {b["sandbox"] for b in document.document(run)["builds"].values()} == {"bubblewrap"}
    open_run = replace(run, base=replace(run.base, confined=False))
    assert document.document(open_run)["builds"]["base"]["sandbox"] == "off"


def test_the_command_says_it_aloud(tmp_path: Path) -> None:
    """Up to the first build: there is no kernel of this name."""
    env = {**os.environ, "FAULTLOOP_SANDBOX": "off", "FAULTLOOP_CACHE": str(tmp_path), "PYTHONPATH": str(ROOT)}
    argv = [sys.executable, "-P", "-m", "harness", "run", "--kernel", "/nowhere"]
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
    assert "WARNING: FAULTLOOP_SANDBOX=off: no sandbox." in done.stderr


def test_make_passes_it_on(tmp_path: Path) -> None:
    (tmp_path / "faultloop").write_text('#!/bin/sh\necho "sandbox is $FAULTLOOP_SANDBOX"\n')
    (tmp_path / "faultloop").chmod(0o755)
    shutil.copy(ROOT / "Makefile", tmp_path)
    for argv, says in ((["SANDBOX=off"], "off"), ([], "")):
        done = subprocess.run(
            ["make", "-s", "workloads", *argv], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        assert done.stdout == f"sandbox is {says}\n"


def test_a_control_group_of_version_2_is_made_beside_ours(tmp_path: Path) -> None:
    """The choice only, on a drawn tree: not every host has version 2."""
    mount = tmp_path / "cg"
    own = mount / "user.slice" / "app.slice" / "terminal.scope"
    own.mkdir(parents=True)
    for folder, passed in ((own, ""), (own.parent, "memory pids"), (own.parent.parent, "cpu memory pids")):
        (folder / "cgroup.subtree_control").write_text(f"{passed}\n")
    (tmp_path / "cgroup").write_text("0::/user.slice/app.slice/terminal.scope\n")
    (tmp_path / "mountinfo").write_text(f"41 31 0:38 / {mount} rw,relatime - cgroup2 cgroup2 rw,nsdelegate\n")
    (place,) = cgroup.places(tmp_path)
    assert place.folder == own.parent and place.controllers == {"memory", "pids"}
    (own.parent / "cgroup.subtree_control").write_text("cpu\n")
    assert cgroup.places(tmp_path)[0].folder == own.parent.parent
    (tmp_path / "cgroup").write_text("0::/\n")
    assert cgroup.places(tmp_path) == []


def test_what_bubblewrap_reports_through_cannot_be_written_by_the_build() -> None:
    said = lines_of(Sandbox(), "ls /proc/self/fd | wc -l; for f in /proc/self/fd/*; do readlink $f; done; :")
    assert "memfd" not in said
