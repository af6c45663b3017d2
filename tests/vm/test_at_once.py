# SPDX-License-Identifier: GPL-2.0-or-later
"""Several runs at once on one cache, empty at first: each thing is made once, and each verdict is right."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.build.cache import Cache
from harness.jobs.workshop import Workshop
from tests.leftovers import nothing_left
from tests.vm import miniature, own_cache
from tests.vm.command import outcomes

pytestmark = pytest.mark.long

WORDS = ("--setup", "cortex-a57", "--workloads", "anon-reuse", "--json")
CELL = ("anon-reuse", "cortex-a57")


@pytest.mark.parametrize("marks", [("one", "one"), ("one", "two"), (*map(str, range(8)), "0", "1")], ids=len)
def test_at_once(shop: Workshop, tmp_path: Path, marks: tuple[str, ...]) -> None:
    """Every second one of the ten changes nothing that matters: it is told from those that mend."""
    tree = miniature.of(shop).write(tmp_path / "linux")
    with nothing_left(tmp_path, cache=own_cache.make(tmp_path / "cache", shop)) as place:
        becomes = {m: "looping" if m.isdigit() and int(m) % 2 else "mended" for m in marks}
        patches = {m: miniature.patch(tmp_path, m, becomes=becomes[m]) for m in marks}
        started = [place.start("test-patch", patches[m], "--base", tree, *WORDS) for m in marks]
        for mark, command in zip(marks, started, strict=True):
            called = command.end(1800)
            mended = becomes[mark] == "mended"
            assert called.status == (0 if mended else 1), called.stderr
            assert outcomes(called.run, "base") == {CELL: "LOOP"}
            assert outcomes(called.run, "patched") == {CELL: "PASS" if mended else "LOOP"}
            assert "Traceback" not in called.stderr
        cache = Cache(place.cache)
        variants = len(set(marks))
        for room, count in (
            ("sources", 1),
            ("kernels", variants + 1),
            ("drivers", variants + 1),
            ("driver-objects", 1),
        ):
            found = cache.entries(room)
            assert len(found) == count
            assert [fault for entry in found for fault in cache.verify(room, entry.name)] == []
        # Built once, whoever came first: the others waited, and took it from the cache.
        lines = [line for command in started for line in command.said.splitlines()]
        built = [line for line in lines if line.startswith("base kernel") and "4 objects" in line]
        assert len(built) == len(marks) and sum("from the cache" not in line for line in built) == 1
        kept = [p for p in place.results.iterdir() if (p / "run.json").exists() and not p.is_symlink()]
        assert len(kept) == len(marks), "results of one run took the place of another's"
        assert (place.results / "latest").resolve() in [p.resolve() for p in kept]
        again = place.run("history", "anon-reuse", "--json")
        points = [point["variant"] for point in json.loads(again.stdout)["points"]]
        assert points.count("base") == points.count("patched") == len(marks)
