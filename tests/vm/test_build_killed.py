# SPDX-License-Identifier: GPL-2.0-or-later
"""A build that is killed for want of memory is the host's trouble, neither the patch's nor the kernel's."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.jobs.workshop import Workshop
from tests.leftovers import nothing_left
from tests.vm import miniature, own_cache
from tests.vm.command import Called, outcomes

pytestmark = pytest.mark.long

WORDS = ("--setup", "cortex-a57", "--workloads", "anon-reuse", "--json")
HUNGRY = "test -e /tmp/fed || perl -e '$x = q(x) x 900_000_000'"
GROUPS = Path("/sys/fs/cgroup/memory")
COMPILE = "\t@$(CROSS_COMPILE)gcc -c -o $@ $<\n"


@pytest.fixture
def small_memory() -> Iterator[list[str]]:
    """The beginning of a command line whose rest shares 700 MiB: of a control group, version 1 or 2."""
    if not os.access(GROUPS, os.W_OK):
        pytest.skip("no control group for memory can be made here")
    group = GROUPS / f"test-{os.getpid()}"
    group.mkdir()
    (group / "memory.limit_in_bytes").write_text("700M")
    yield ["sh", "-c", f'echo 0 >{group}/cgroup.procs; exec "$@"', "sh"]
    group.rmdir()


def told(called: Called) -> None:
    assert called.status == 4, called.stderr
    (message,) = [line for line in called.stderr.splitlines() if line.startswith("faultloop:")]
    assert "was killed from outside, by the kernel for want of memory, mostly" in message, called.stderr
    assert "Traceback" not in called.stderr and called.stdout == ""


def test_the_kernel_kills_what_eats_the_memory_of_a_build(
    shop: Workshop, tmp_path: Path, small_memory: list[str]
) -> None:
    """The harness shares the group with it, and stays: the build is the first victim."""
    parts = miniature.of(shop)
    tree = parts.write(tmp_path / "linux", **{COMPILE: f"\t@{HUNGRY.replace('$x', '$$x')}\n{COMPILE}"})
    with nothing_left(tmp_path, cache=own_cache.make(tmp_path / "cache", shop)) as place:
        patch = miniature.patch(tmp_path)
        told(place.run("test-patch", patch, "--base", tree, *WORDS, behind=small_memory))
        assert list((place.cache / "kernels").iterdir()) == []
        # With room for it the same goes through.
        called = place.run("test-patch", patch, "--base", tree, *WORDS)
        assert called.status == 0, called.stderr
        assert outcomes(called.run, "patched") == {("anon-reuse", "cortex-a57"): "PASS"}


def test_a_compiler_that_is_killed_under_a_patch_is_not_the_patchs_fault(shop: Workshop, tmp_path: Path) -> None:
    killed = COMPILE.replace("gcc", "gcc -wrapper sh,-c,'kill -9 $$$$'")
    tree = miniature.of(shop).write(
        tmp_path / "linux", **{COMPILE: f"ifneq ($(kernel),prebuilt/mended)\n{COMPILE}else\n{killed}endif\n"}
    )
    with nothing_left(tmp_path, cache=own_cache.make(tmp_path / "cache", shop)) as place:
        told(place.run("test-patch", miniature.patch(tmp_path), "--base", tree, *WORDS))
        assert len(list((place.cache / "kernels").iterdir())) == 1, "the base is there, and nothing half made"
