# SPDX-License-Identifier: GPL-2.0-or-later
"""Hosts that lack something, or take it away: a network, user namespaces, rights, tools, the time of day."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.jobs.workshop import Workshop
from tests.leftovers import Place, nothing_left
from tests.vm import at, debian_mirror, miniature, own_cache
from tests.vm.command import Called, outcomes

pytestmark = pytest.mark.long

WORDS = ("--setup", "cortex-a57", "--workloads", "anon-reuse", "--json")
CELL = ("anon-reuse", "cortex-a57")

# In a user namespace that maps nobody, and has no other below it.
_NO_NAMESPACES = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
assert libc.unshare(0x10000000) == 0, os.strerror(ctypes.get_errno())
open("/proc/sys/user/max_user_namespaces", "w").write("0")
os.execvp(sys.argv[1], sys.argv[1:])
"""
NO_NAMESPACES = [sys.executable, "-c", _NO_NAMESPACES]
# As another user than root, whose files are root's: their modes count.
NO_RIGHTS = ["unshare", "--map-user=1000", "--map-group=1000", "--"]
NO_NETWORK = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="takes away what only root can take away")


@dataclass
class Bench:
    """A cache that has the base and its record, and a place to call from."""

    place: Place
    tree: Path
    first: Called

    def call(self, mark: str, *behind: str, becomes: str = "mended", **environment: str) -> Called:
        patch = miniature.patch(self.place.folder, mark, becomes=becomes)
        return self.place.run("test-patch", patch, "--base", self.tree, *WORDS, behind=behind, **environment)

    def is_right(self, called: Called) -> None:
        assert called.status == 0, called.stderr
        assert "Traceback" not in called.stderr
        for side in ("base", "patched"):
            assert outcomes(called.run, side) == outcomes(self.first.run, side)


@pytest.fixture(scope="module")
def bench(shop: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    folder = tmp_path_factory.mktemp("hosts")
    tree = miniature.of(shop).write(folder / "linux")
    with nothing_left(folder, cache=own_cache.make(folder / "cache", shop)) as place:
        made = Bench(place, tree, Called(0, "", ""))
        made.first = made.call("first")
        assert made.first.status == 0, made.first.stderr
        yield made


def refused(called: Called, status: int, *words: str) -> None:
    assert called.status == status, called.stderr
    assert "Traceback" not in called.stderr and called.stdout == "", called.stderr
    (message,) = [line for line in called.stderr.splitlines() if line.startswith("faultloop:")]
    for word in words:
        assert word in message, message


@needs_root
def test_without_a_network_the_verdict_is_the_same(bench: Bench) -> None:
    """The indexes are old: they would be read anew. Nothing answers, and what the cache has is taken."""
    for stamp in bench.place.cache.glob("apt/*/updated"):
        os.utime(stamp, (1e9, 1e9))
    mirror = {"FAULTLOOP_DEBIAN_MIRROR": "http://192.0.2.1/debian"}
    try:
        called = bench.call("first", *NO_NETWORK, **mirror)
    finally:
        for stamp in bench.place.cache.glob("apt/*/updated"):
            stamp.touch()
    bench.is_right(called)
    assert "going on with the one of" in called.stderr


def test_without_user_namespaces_it_says_so(bench: Bench) -> None:
    called = bench.call("first", *NO_NAMESPACES)
    refused(called, 4, "bubblewrap cannot make a user namespace on this host", "SANDBOX=off")
    bench.is_right(bench.call("first"))


def test_a_patch_that_may_not_be_read(bench: Bench) -> None:
    patch = bench.place.folder / "secret.patch"
    patch.write_bytes((bench.place.folder / "first.patch").read_bytes())
    patch.chmod(0)
    words = ("test-patch", patch, "--base", bench.tree, *WORDS)
    refused(bench.place.run(*words, behind=NO_RIGHTS), 2, "secret.patch", "Permission denied")
    patch.chmod(0o600)
    bench.is_right(bench.place.run(*words))


def test_results_that_may_not_be_written(bench: Bench) -> None:
    folder = bench.place.folder / "sealed"
    folder.mkdir(mode=0o555)
    called = bench.call("first", *NO_RIGHTS, FAULTLOOP_RESULTS=str(folder))
    refused(called, 4, str(folder), "Permission denied", "FAULTLOOP_RESULTS")
    assert list(folder.iterdir()) == []
    folder.chmod(0o755)
    called = bench.call("first", *NO_RIGHTS, FAULTLOOP_RESULTS=str(folder))
    bench.is_right(called)


@needs_root
def test_results_on_a_disk_that_is_read_only(bench: Bench) -> None:
    folder = bench.place.folder / "read-only"
    folder.mkdir()
    mounts = f'mount --bind "{folder}" "{folder}" && mount -o remount,bind,ro "{folder}" && exec "$@"'
    called = bench.call("first", *debian_mirror.MOUNTS, mounts, "sh", FAULTLOOP_RESULTS=str(folder))
    refused(called, 4, str(folder), "Read-only file system", "FAULTLOOP_RESULTS")
    bench.is_right(bench.call("first", FAULTLOOP_RESULTS=str(folder)))


def test_a_cache_that_may_not_be_written(bench: Bench) -> None:
    room = bench.place.cache / "kernels"
    room.chmod(0o555)
    try:
        refused(bench.call("next", *NO_RIGHTS), 4, "the cache must be writable", "FAULTLOOP_CACHE")
    finally:
        room.chmod(0o755)


@needs_root
@pytest.mark.parametrize(
    ("tool", "says"),
    [
        ("bwrap", "install the package bubblewrap"),
        ("aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu"),
        ("make", "install make"),
        ("git", "install the package git"),
        ("choom", "install util-linux"),
        ("setpriv", "install util-linux"),
    ],
)
def test_a_tool_is_missing(bench: Bench, tool: str, says: str) -> None:
    over = bench.place.folder / "over"
    over.mkdir(exist_ok=True)
    mounts = (
        f'mount -t tmpfs tmpfs "{over}" && mkdir "{over}/u" "{over}/w" && mount -t overlay overlay '
        f'-o lowerdir=/usr/bin,upperdir="{over}/u",workdir="{over}/w" /usr/bin && rm /usr/bin/{tool} && exec "$@"'
    )
    refused(bench.call("next", *debian_mirror.MOUNTS, mounts, "sh"), 4, says)


def test_with_its_rights_and_tools_back_it_goes_on(bench: Bench) -> None:
    bench.is_right(bench.call("next"))


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library with which the wall clock jumps."""
    made = tmp_path_factory.mktemp("shim") / "clock.so"
    source = Path(__file__).with_name("clock.c")
    gcc = shutil.which("gcc")
    assert gcc is not None
    subprocess.run([gcc, "-shared", "-fPIC", "-Wall", "-Werror", "-O2", "-o", made, source], check=True)
    return made


@pytest.mark.parametrize(
    ("place", "days"),
    [
        ("harness.build.objects:prune", -10),
        ("harness.vm.machine:Guest._watch~boot", 10),
        ("harness.vm.machine:Guest._relay", 10),
        ("harness.vm.machine:Guest._relay", -10),
    ],
    ids=["build", "boot", "workload", "workload-back"],
)
def test_the_wall_clock_jumps(bench: Bench, shim: Path, tmp_path: Path, place: str, days: int) -> None:
    """Forwards past every deadline, or back before all that was made: outcomes and durations stay the same."""
    jump = tmp_path / "jump"
    environment = {
        "LD_PRELOAD": str(shim),
        "JUMP_FILE": str(jump),
        "JUMP_SECONDS": str(days * 86400),
    }
    called = bench.call(jump.parent.name, *at.behind(place, f"touch {jump}"), **environment)
    bench.is_right(called)
    assert jump.exists() and 0 < called.run["seconds"] < 600


def test_after_the_clock_has_jumped_all_is_found_again(bench: Bench) -> None:
    bench.is_right(bench.call("first"))
