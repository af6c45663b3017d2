# SPDX-License-Identifier: GPL-2.0-or-later
"""Hit in each phase, from the download to the reports: nothing is left, and the same command goes on and is right.

One cache, empty at first: each call comes further than the one before, is hit there, and the last one ends. So
what each hit has left is what the next one finds.
"""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.build.cache import Cache
from harness.jobs.workshop import Workshop
from tests import leftovers
from tests.leftovers import Command, Host, Place
from tests.vm import at, debian_mirror, miniature, own_cache
from tests.vm.command import Called, outcomes
from tests.vm.debian_mirror import Mirror

pytestmark = pytest.mark.long

WORDS = ("--base", "6.1", "--setup", "cortex-a57", "--workloads", "anon-reuse", "--json")

DOWNLOAD = "the package is fetched"
PHASES = {
    "the index is read": "harness.sources.debian:run~update",
    DOWNLOAD: "while the mirror stalls",
    "the package is unpacked": "harness.build.sandbox:_stream~dpkg-deb",
    "the source is unpacked": "harness.build.sandbox:_stream~--no-same-owner",
    "the source goes into the cache": "harness.build.cache:_write_manifest~/sources/",
    "the base is configured": "harness.build.sandbox:_stream~allnoconfig",
    "the base is built": "harness.build.compile_log:is_object~.o",
    "the base goes into the cache": "harness.build.cache:_write_manifest~/kernels/",
    "the driver is built": "harness.build.sandbox:_stream~M=/build/driver",
    "the patch is applied": "harness.sources.patch_git:Bench.apply",
    "the patched kernel is built": "harness.build.objects:prune",
    "a guest boots": "harness.vm.machine:Guest._watch~boot",
    "a workload runs": "harness.vm.machine:Guest._relay",
    "a record goes into the cache": "harness.build.cache:_write_manifest~/records/",
    "controls run": "harness.jobs.controls:jobs",
    "the reports are written": "harness.jobs.report:write",
}
"""In the order in which a run comes to them."""


@pytest.fixture(scope="module")
def parts(shop: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Mirror, Workshop]]:
    folder = tmp_path_factory.mktemp("mirror")
    with debian_mirror.serve(folder, miniature.of(shop).tarball(folder)) as mirror:
        yield mirror, shop


def start(place: Place, mirror: Mirror, *behind: str) -> Command:
    patch = miniature.patch(place.folder)
    return place.start("test-patch", patch, *WORDS, behind=[*mirror.trusted(), *behind], **mirror.environment)


def interrupted(called: Called, number: int, phase: str) -> None:
    assert called.status == (-number if number == signal.SIGKILL else 128 + number), (phase, called.stderr)
    assert "Traceback" not in called.stderr, (phase, called.stderr)
    said = [line for line in called.stderr.splitlines() if line.startswith("faultloop:")]
    assert said == ([] if number == signal.SIGKILL else ["faultloop: interrupted"]), (phase, called.stderr)
    assert called.stdout == "", phase


def left(place: Place, before: Host, *may: str) -> list[str]:
    """What of the last command is left after a while, but for kinds that may be."""
    deadline = time.monotonic() + leftovers.PATIENCE
    while True:
        found = [line for line in Host.now(place).beyond(before) if not line.startswith(may)]
        if not found or time.monotonic() > deadline:
            return found
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda n: n.name)
def test_hit_in_each_phase_and_called_again(
    parts: tuple[Mirror, Workshop], tmp_path: Path, number: signal.Signals
) -> None:
    mirror, shop = parts
    place = Place(tmp_path, own_cache.make(tmp_path / "cache", shop))
    debian_mirror.ask_again(place.cache)
    place.temporary.mkdir()
    # Nothing can be tidied up after SIGKILL: the next command finds it.
    may = ("cache:", "results:", "temporary:", "groups:") if number == signal.SIGKILL else ()
    with leftovers.reaper():
        before = Host.now(place)

        def hit(phase: str, command: Command) -> None:
            interrupted(command.end(), number, phase)
            assert left(place, before, *may) == [], phase

        for phase, where in PHASES.items():
            if phase != DOWNLOAD:
                hit(phase, start(place, mirror, *at.behind(where, number)))
                continue
            mirror.fault = "stall"
            mirror.stalled.clear()  # another test was there before
            command = start(place, mirror)
            assert mirror.stalled.wait(60)
            command.process.send_signal(number)
            hit(phase, command)
            mirror.fault = ""
        called = start(place, mirror).end()
        assert called.status == 0, called.stderr
        assert outcomes(called.run, "base") == {("anon-reuse", "cortex-a57"): "LOOP"}
        assert outcomes(called.run, "patched") == {("anon-reuse", "cortex-a57"): "PASS"}
        assert left(place, before) == []
    cache = Cache(place.cache)
    rooms = {"sources", "kernels", "driver-objects", "drivers", "records", "debian"}
    assert rooms <= {room.name for room in place.cache.iterdir()}
    assert [
        cache.verify(room, e.name) for room in rooms for e in cache.entries(room) if cache.verify(room, e.name)
    ] == []
    assert [p.name for p in place.results.glob("2*")] == [(place.results / "latest").readlink().name]
    assert json.loads((place.results / "latest" / "run.json").read_text())["exit_status"] == 0


def test_a_download_that_is_cut_off(parts: tuple[Mirror, Workshop], tmp_path: Path) -> None:
    """Each try ends in the middle: nothing of it is kept, and a mirror that is well again gives all of it."""
    mirror, shop = parts
    with leftovers.nothing_left(tmp_path, cache=own_cache.make(tmp_path / "cache", shop)) as place:
        debian_mirror.ask_again(place.cache)
        known = set((place.cache / "debian").iterdir())
        mirror.fault = "cut"
        called = start(place, mirror).end()
        mirror.fault = ""
        assert called.status == 4 and called.stdout == "", called.stderr
        (message,) = [line for line in called.stderr.splitlines() if line.startswith("faultloop:")]
        assert "cannot be fetched from the Debian mirror, and the cache does not have it" in message
        assert "Traceback" not in called.stderr and set((place.cache / "debian").iterdir()) == known
        called = start(place, mirror).end()
        assert called.status == 0, called.stderr
        assert outcomes(called.run, "patched") == {("anon-reuse", "cortex-a57"): "PASS"}
