# SPDX-License-Identifier: GPL-2.0-or-later
"""An entry of the cache is cut short, or has a bit turned: it is noticed, made again, and the verdict is right."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from harness.jobs.workshop import Workshop
from tests.leftovers import Place, nothing_left
from tests.vm import miniature, own_cache
from tests.vm.command import Called, outcomes

pytestmark = pytest.mark.long

WORDS = ("--setup", "cortex-a57", "--workloads", "anon-reuse", "--json")

KINDS = {
    "image of the base": "kernels/*/Image",
    "module of the base": "kernels/*/out/lib/*.ko",
    "object of the base": "kernels/*/out/mm/ksm.o",
    "driver": "drivers/*/sva_testdev.ko",
    "object of the driver": "driver-objects/*/work/sva_testdev.ko",
    "configuration": "kernels/*/config",
    "console of a record": "records/*/record/boot-0/console.log",
    "result of a record": "records/*/record/boot-0/anon-reuse.ktap",
    "initramfs": "guest/*/initramfs",
    "SSH key": "guest/*/client_key",
    "disk": "guest/*/disk",
}


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def turned(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@dataclass
class Bench:
    """A cache in which all has been made."""

    place: Place
    tree: Path
    files: dict[str, Path] = field(default_factory=dict)
    """One of each kind: of what the first call reads, and of a kernel that of the base."""

    def call(self, mark: str) -> Called:
        """Judge a patch that is not in the cache: its base is."""
        patch = miniature.patch(self.place.folder, mark)
        return self.place.run("test-patch", patch, "--base", self.tree, *WORDS)

    def damage(self, file: Path, how: Callable[[bytes], bytes]) -> None:
        """The file is replaced: a link of it is not written."""
        content, known = file.read_bytes(), file.stat()
        file.unlink()
        file.write_bytes(how(content))
        file.chmod(known.st_mode)


@pytest.fixture(scope="module")
def bench(shop: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    folder = tmp_path_factory.mktemp("damaged")
    tree = miniature.of(shop).write(folder / "linux")
    with nothing_left(folder, cache=own_cache.make(folder / "cache", shop)) as place:
        made = Bench(place, tree)
        assert made.call("first").status == 0
        (objects,) = place.cache.glob("kernels/*/out/mm/ksm.o")
        base = objects.parents[2].name
        for kind, pattern in KINDS.items():
            made.files[kind] = sorted(place.cache.glob(pattern.replace("kernels/*", f"kernels/{base}")))[0]
        yield made


@pytest.mark.parametrize("how", [cut, turned])
@pytest.mark.parametrize("kind", KINDS)
def test_it_is_noticed_and_made_again(bench: Bench, kind: str, how: Callable[[bytes], bytes]) -> None:
    file = bench.files[kind]
    bench.damage(file, how)
    entry = bench.place.cache.joinpath(*file.relative_to(bench.place.cache).parts[:2])
    # Objects are read when another variant is built; all else in each run.
    called = bench.call(f"{kind.split()[-1]}-{how.__name__}" if kind.startswith("object") else "first")
    assert called.status == 0, called.stderr
    assert outcomes(called.run, "base") == {("anon-reuse", "cortex-a57"): "LOOP"}
    assert outcomes(called.run, "patched") == {("anon-reuse", "cortex-a57"): "PASS"}
    told = [line for line in called.stderr.splitlines() if line.startswith("cache: ")]
    assert len(told) == 1 and str(entry) in told[0] and "removed, will be made again" in told[0], called.stderr


@pytest.mark.parametrize("how", [cut, turned])
def test_a_source_is_looked_at_when_it_is_read(bench: Bench, how: Callable[[bytes], bytes]) -> None:
    """By its size at once. A bit of the file that the patch changes: that may be what another patch would mend."""
    bench.damage(next(bench.place.cache.glob("sources/*/tree/mm/memory.c")), how)
    called = bench.call(f"source-{how.__name__}")
    if how is turned:
        assert called.status in (2, 4), called.stderr
        called = bench.call(f"source-{how.__name__}")
    assert called.status == 0, called.stderr
    assert outcomes(called.run, "patched") == {("anon-reuse", "cortex-a57"): "PASS"}
