# SPDX-License-Identifier: GPL-2.0-or-later
"""A pool of two workers with separate caches says what one machine says, whatever happens to them meanwhile."""

from __future__ import annotations

import shutil
import signal
import time
import uuid
from pathlib import Path
from typing import Any

import pytest

from harness.jobs.workshop import Workshop
from tests.unit import certificates
from tests.vm.command import Called, faultloop, outcomes
from tests.vm.machines import Machines, client, ended, machines, wait_gone

WORDS = ("sweep", "--kernels", "6.1", "--workloads", "anon-reuse,munmap", "--json", "--setups")
LONG = ("sweep", "--kernels", "6.1", "--json", "--setups")
"""All paths: guests that run for much longer than it takes to end them."""
AT_ONCE = 15.0
TWO = "cortex-a57,cortex-a76"
FOUR = f"{TWO},a57-thp-never,a57-httu-access"


def matrix(found: Called) -> dict[tuple[str, str], tuple[Any, ...]]:
    """Path and setup -> outcome and every count."""
    counts = ("outcome", "reason", "stalls", "tlbi", "notifier_calls")
    return {
        (cell["setup"]["name"], path): tuple(told[name] for name in counts)
        for cell in found.run["cells"]
        for path, told in cell["paths"].items()
    }


def here(setups: str, results: Path) -> dict[tuple[str, str], tuple[Any, ...]]:
    """What one machine says (its records may come from the cache)."""
    return matrix(faultloop(*WORDS, setups, results=results))


@pytest.mark.long
def test_the_matrix_is_that_of_one_machine(tmp_path: Path) -> None:
    """Over TLS; each worker gets emulator, kernel and guest image out of the store, and builds nothing."""
    with machines(tmp_path, "one", "two", tls=certificates.make(tmp_path)) as pool:
        found = faultloop(*WORDS, TWO, "--fresh", results=tmp_path, **pool.environment)
        assert (found.status, pool.url[:6]) == (1, "tls://"), found.stderr
        for name in ("one", "two"):
            rooms = {path.name for path in (tmp_path / f"cache-{name}").iterdir() if path.is_dir()}
            assert rooms == {"bundles", "locks"}, pool.log(name)
        assert not list((tmp_path / "store/partial").iterdir())
    assert len(list(tmp_path.glob("2*/*/*/boot-0/console.log"))) == 2
    assert len(matrix(found)) == 4
    assert matrix(found) == here(TWO, tmp_path)


@pytest.mark.long
def test_a_worker_that_is_killed_changes_nothing(tmp_path: Path) -> None:
    """With kill -9, a guest in the middle of it: the guest goes, and is run on the other worker."""
    with machines(tmp_path, "one", "two") as pool:
        with client(pool, *WORDS, FOUR, "--fresh", results=tmp_path) as process:
            below = pool.wait_for_guest("one", "two")["one"]
            pool.processes["one"].kill()
            wait_gone(below)
            found = ended(process)
        assert "Lost connection" not in found.stderr
    assert found.status == 1, found.stderr
    assert matrix(found) == here(FOUR, tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_client_that_ends_leaves_nothing_running(tmp_path: Path, number: signal.Signals) -> None:
    with machines(tmp_path, "one", "two") as pool:
        with client(pool, *LONG, FOUR, "--fresh", results=tmp_path / "results") as process:
            below = pool.wait_for_guest("one", "two")
            process.send_signal(number)
            found = ended(process)
            if number is signal.SIGINT:  # it waits for them
                assert not pool.emulators("one") + pool.emulators("two")
                assert found.status == 130
                assert "Traceback" not in found.stderr
            wait_gone([*below["one"], *below["two"]], AT_ONCE)
        time.sleep(1.0)  # nor does another one start
        assert not pool.below("one") + pool.below("two")
    assert not list((tmp_path / "results").glob("2*"))


@pytest.mark.long
def test_a_worker_that_is_killed_takes_its_guests_with_it(tmp_path: Path) -> None:
    with machines(tmp_path, "one") as pool, client(pool, *LONG, TWO, "--fresh", results=tmp_path) as process:
        below = pool.wait_for_guest("one")["one"]
        pool.processes["one"].kill()
        wait_gone(below, AT_ONCE)
        process.send_signal(signal.SIGINT)
        assert ended(process).status == 130


@pytest.mark.long
def test_a_scheduler_that_dies_is_one_error_and_ends_the_workers(tmp_path: Path) -> None:
    with machines(tmp_path, "one") as pool:
        with client(pool, *LONG, TWO, "--fresh", results=tmp_path) as process:
            below = pool.wait_for_guest("one")["one"]
            pool.processes["scheduler"].kill()
            found = ended(process)
        wait_gone(below, AT_ONCE)
        assert pool.processes["one"].wait(60) == 4
        assert "is gone" in pool.log("one")
    assert found.status == 4, found.stderr
    assert all("the scheduler is gone" in cell["error"] for cell in found.run["cells"])
    assert "Traceback" not in found.stderr


@pytest.mark.long
def test_a_kernel_without_sva_is_the_users_error_there_as_here(tmp_path: Path) -> None:
    words = ("run", "--kernel", "6.1", "--setup", "no-stall", "--workloads", "munmap", "--fresh")
    with machines(tmp_path, "one") as pool:
        there = faultloop(*words, results=tmp_path, **pool.environment)
    alone = faultloop(*words, results=tmp_path)
    assert (there.status, alone.status) == (2, 2), there.stderr
    told = [line for line in alone.stderr.splitlines() if "offers no SVA" in line]
    assert told and told == [line for line in there.stderr.splitlines() if "offers no SVA" in line]
    assert len(list(tmp_path.glob("failed-*/base/no-stall/boot-0/console.log"))) == 2


PATCH = """\
From: A Developer <a@example.org>
Subject: [PATCH] mm: a line of a comment

--- a/mm/memory.c
+++ b/mm/memory.c
@@ -1,3 +1,4 @@
 // SPDX-License-Identifier: GPL-2.0-only
+/* {words} */
 /*
  *  linux/mm/memory.c
"""


@pytest.mark.long
def test_a_patch_is_built_by_the_worker_that_builds(tmp_path: Path, shop: Workshop) -> None:
    """From the base's objects, which another machine made; the worker without ``build`` gets none of it."""
    patch = tmp_path / "x.patch"
    patch.write_text(PATCH.format(words=uuid.uuid4()))
    words = ("test-patch", patch, "--base", "6.1", "--setup", "cortex-a57", "--workloads", "anon-reuse", "--json")
    try:
        with machines(tmp_path, "guests") as pool:
            refused = faultloop(*words, results=tmp_path, **pool.environment)
            assert refused.status == 4
            assert "no worker builds kernels: start one with `faultloop worker --build`" in refused.stderr
            pool.worker("builds", "--build", "--guests", "0")
            found = faultloop(*words, "--fresh", results=tmp_path, **pool.environment)
            assert found.status == 1, found.stderr
            assert found.run["verdict"] == "NO-EFFECT"
            assert found.run["builds"]["patched"]["objects"] < 10
            assert (tmp_path / "cache-builds/kernels").is_dir()
            assert not (tmp_path / "cache-guests/kernels").exists()
        again = faultloop(*words, results=tmp_path)
        for side in ("base", "patched"):
            assert outcomes(again.run, side) == outcomes(found.run, side)
        forget(shop, found)
        alone = faultloop(*words, results=tmp_path)
        assert alone.run["builds"]["patched"]["image_sha256"] == found.run["builds"]["patched"]["image_sha256"]
        assert alone.run["builds"]["patched"]["objects"] == found.run["builds"]["patched"]["objects"]
    finally:
        for name in ("store", "cache-builds"):
            shutil.rmtree(tmp_path / name, ignore_errors=True)


def forget(shop: Workshop, found: Called) -> None:
    """Take the patched kernel out of the cache."""
    wanted = found.run["builds"]["patched"]["image_sha256"]
    for entry in shop.cache.entries("kernels"):
        if wanted in (entry / "build.json").read_text():
            shop.cache.remove("kernels", entry.name)


@pytest.mark.long
def test_a_worker_with_other_sources_is_refused_and_the_rest_goes_on(tmp_path: Path) -> None:
    """One has a workload more, the other a changed emulator: neither gets a guest."""
    with machines(tmp_path, "good") as pool:
        differs(pool, tmp_path / "other", "guest-tests/workloads/catalogue.yaml")
        differs(pool, tmp_path / "third", "patches/qemu/overlay/README")
        found = faultloop(*WORDS, TWO, "--fresh", results=tmp_path, **pool.environment)
        told = [line for line in found.stderr.splitlines() if "is not used" in line]
        assert len(told) == 2
        assert any("worker other" in line and "guest-tests (here " in line for line in told), told
        assert any("worker third" in line and ": emulator (here " in line for line in told), told
        assert found.status == 1
        for name in ("other", "third"):
            assert not (tmp_path / f"cache-{name}/bundles").exists()
        pool.processes.pop("good").terminate()
        refused = faultloop(*WORDS, TWO, "--fresh", results=tmp_path, **pool.environment)
        assert refused.status == 4
        assert "no worker for this" in refused.stderr


def differs(pool: Machines, root: Path, file: str) -> None:
    """A worker from a checkout in which one file is another."""
    from tests.vm.command import ROOT

    for name in ("harness", "guest-tests", "kconfigs", "patches"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("requirements.lock", "kernels.yaml", "setups.yaml"):
        shutil.copy(ROOT / name, root / name)
    with (root / file).open("a") as changed:
        changed.write("\n")
    pool.worker(root.name, root=root)
