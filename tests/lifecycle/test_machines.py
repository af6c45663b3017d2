# SPDX-License-Identifier: GPL-2.0-or-later
"""What a pool of machines refuses, before any guest runs: a real scheduler and worker, no emulator."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.build.cache import Cache
from harness.build.sandbox import Sandbox
from harness.errors import InfrastructureError
from harness.jobs import cluster as module
from harness.jobs.cluster import Cluster, Task
from harness.jobs.orders import Reply
from tests.unit import certificates
from tests.vm.command import ROOT
from tests.vm.machines import Machines, machines

GUEST = Task("base/cortex-a57", "{}", {"guest": 1.0})


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CONNECT_SECONDS", 2)
    monkeypatch.delenv("FAULTLOOP_STORE", raising=False)


def connect(url: str, folder: Path, said: list[str] | None = None) -> Cluster:
    heard: list[str] = [] if said is None else said
    os.environ["FAULTLOOP_STORE"] = (folder / "store").as_uri()
    try:
        return Cluster(url, cache=Cache(folder / "cache"), sandbox=Sandbox, say=heard.append)
    finally:
        del os.environ["FAULTLOOP_STORE"]


def run(cluster: Cluster, *tasks: Task) -> list[Reply]:
    replies: list[Reply] = []
    try:
        cluster._run(tasks, lambda _, reply: replies.append(reply))
    finally:
        cluster.close()
    return replies


def test_a_scheduler_that_is_not_there_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(InfrastructureError, match=r"tcp://127.0.0.1:1: the scheduler cannot be reached"):
        run(connect("tcp://127.0.0.1:1", tmp_path), GUEST)


def test_the_command_refuses_plain_tcp_to_another_machine(tmp_path: Path) -> None:
    for words in (["run", "--pool"], ["worker"]):
        done = subprocess.run(
            [sys.executable, "-P", "-m", "harness", *words, "tcp://192.0.2.1:8786"],
            env={**os.environ, "PYTHONPATH": str(ROOT), "FAULTLOOP_CACHE": str(tmp_path)},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 2
        assert done.stderr.startswith("faultloop: tcp://192.0.2.1:8786: refused: tcp:// is not protected")
        assert len(done.stderr.splitlines()) == 1


def test_certificates_of_another_ca_open_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ours").mkdir()
    (tmp_path / "theirs").mkdir()
    with machines(tmp_path, tls=certificates.make(tmp_path / "theirs")) as pool:
        for name, value in certificates.make(tmp_path / "ours").items():
            monkeypatch.setenv(name, value)
        with pytest.raises(InfrastructureError, match="cannot be reached"):
            run(connect(pool.url, tmp_path), GUEST)
        for name, value in pool.tls.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(InfrastructureError, match="no worker for this: start one"):
            run(connect(pool.url, tmp_path), GUEST)
        with pytest.raises(InfrastructureError, match="cannot be reached"):  # and no way around it
            run(connect(pool.url.replace("tls://", "tcp://"), tmp_path), GUEST)


def test_what_no_worker_can_do_is_said_at_once(tmp_path: Path) -> None:
    with machines(tmp_path, "one") as pool:
        cluster = connect(pool.url, tmp_path)
        for needs, why in (
            ({"build": 1.0}, "no worker builds kernels: start one with `faultloop worker --build`"),
            ({"guest": 4.0}, "needs 4 cores, and no worker offers more than 1"),
            ({"guest": 1.0, "kvm": 1.0}, "no worker has KVM"),
        ):
            with pytest.raises(InfrastructureError, match=why):
                cluster._run([GUEST, Task("it", "{}", needs)], lambda _, reply: None)
        (reply,) = run(cluster, GUEST)  # no order at all
        assert isinstance(reply.error, InfrastructureError)
        assert "defect" in reply.error.message and "errand.py" in reply.error.detail
        listens = pool.processes["one"].pid, pool.processes["scheduler"].pid
        assert {address for pid in listens for address in listening(pid)} == {"127.0.0.1"}


@pytest.mark.long
def test_a_worker_with_other_tools_is_left_out_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It builds without a sandbox, say: its kernels are no kernels of ours."""
    said: list[str] = []
    with machines(tmp_path) as pool:
        pool.worker("open", FAULTLOOP_SANDBOX="off")
        with pytest.raises(InfrastructureError, match="no worker for this: the others are not used"):
            run(connect(pool.url, tmp_path, said), GUEST)
        (line,) = said
        assert line.startswith("worker open (tcp://127.0.0.1:")
        assert line.endswith("is not used: sandbox (here bubblewrap, there off)")
        # Dask itself keeps it out, too
        cluster = connect(pool.url, tmp_path)
        monkeypatch.setattr(Cluster, "_check_room", lambda self, tasks: None)
        monkeypatch.setattr(module._Watch, "deserted", lambda _: cluster._client.run_on_scheduler(unrunnable))
        (reply,) = run(cluster, GUEST)
        assert reply.error is not None and "no worker was left" in reply.error.message
        pool.worker("good")
        monkeypatch.undo()
        (reply,) = run(connect(pool.url, tmp_path), GUEST)
        assert reply.error is not None and "defect" in reply.error.message


def test_a_worker_that_finds_no_scheduler_says_so(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"faultloop: tcp://127.0.0.1:1: the scheduler cannot be reached"):
        Machines(tmp_path, url="tcp://127.0.0.1:1").worker("one", "--wait", "1")


def unrunnable(dask_scheduler: Any) -> bool:
    """Whether the scheduler has tasks that no worker may have."""
    return bool(dask_scheduler.unrunnable)


def listening(pid: int) -> set[str]:
    import psutil

    found = psutil.Process(pid).net_connections(kind="inet")
    return {connection.laddr.ip for connection in found if connection.status == psutil.CONN_LISTEN}
