# SPDX-License-Identifier: GPL-2.0-or-later
"""Commits of a bisection, each built from the objects of the nearest: what is rebuilt, and nothing stale."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from harness.build import objects
from harness.build.kernel import build
from harness.build.sandbox import Sandbox
from harness.build.variant_tree import Touched
from harness.errors import BuildError
from harness.model import BuiltKernel, Kernel, Series
from harness.sources.archive import tree_sha256
from tests.tools.test_kernel_build import _DRIVER, Shop, _diff
from tests.unit.fake_kernel import FILES

_FORK, _MEMORY = FILES["kernel/fork.c"], FILES["mm/memory.c"]


class Steps(Shop):
    """Builds commits, given as the files by which they differ from the fake tree; None for one that is gone."""

    def step(self, root: Path, files: Mapping[str, str | None]) -> BuiltKernel:
        self.lines.clear()
        folder = root / f"touched-{len(list(root.glob('touched-*')))}"
        folder.mkdir()
        for name, text in files.items():
            if text is not None:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_text(text)
        kernel = Kernel("fake", "6.1.7", "a fake", tree_sha256(self.tree), self.tree)
        gone = tuple(name for name, text in files.items() if text is None)
        return build(
            kernel,
            Series(),
            cache=self.cache,
            sandbox=Sandbox(),
            jobs=2,
            on_output=self.lines.append,
            fragments=["base"],
            layout=self.layout,
            step=Touched(folder, gone),
        )


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Steps]:
    made = Steps(tmp_path)
    before = tree_sha256(made.tree)
    yield made
    assert tree_sha256(made.tree) == before, "the base's source was written"


def test_a_step_is_built_from_the_one_before(shop: Steps, tmp_path: Path) -> None:
    shop.build()
    one = {"kernel/fork.c": _FORK.replace("2", "3"), "include/linux/mm.h": "#define MM 5\n"}
    shop.step(tmp_path, one)
    assert shop.compiled() == [*_DRIVER, "kernel/fork.o", "mm/hugetlb.o", "mm/memory.o"]
    two = shop.step(tmp_path, {**one, "kernel/fork.c": _FORK.replace("2", "4")})
    assert shop.compiled() == [*_DRIVER, "kernel/fork.o"], "the header is as the objects saw it"
    diffs = [_diff("kernel/fork.c", _FORK.replace("2", "4")), _diff("include/linux/mm.h", "#define MM 5\n")]
    assert shop.build(*diffs).image_sha256 == two.image_sha256, "as if built from the base"


def test_a_file_that_goes_back_to_what_the_base_has(shop: Steps, tmp_path: Path) -> None:
    shop.build()
    more = {"mm/ksm.c": "int ksm(void)\n{\n\treturn 8;\n}\n", "mm/hugetlb.c": "int hugetlb;\n"}
    shop.step(tmp_path, {**more, "kernel/fork.c": _FORK.replace("2", "3")})
    back = shop.step(tmp_path, more)
    assert shop.compiled() == ["kernel/fork.o"]
    diffs = [_diff(name, text) for name, text in more.items()]
    assert shop.build(*diffs).image_sha256 == back.image_sha256


def test_a_header_that_hides_another_comes_and_goes(
    shop: Steps, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "_HEADER_WEIGHT", 1)  # the step is nearer than the base
    shop.build()
    hides = {
        "include/linux/shadowed.h": "#define SHADOW 9\n",
        "mm/hugetlb.c": "int hugetlb;\n",
        "mm/x.c": "int x;\n",
    }
    with_it = shop.step(tmp_path, hides)
    shop.step(tmp_path, {**hides, "mm/x.c": "int y;\n"})
    assert shop.compiled() == ["mm/x.o"], "it hides the other as before"
    without = {name: text for name, text in hides.items() if not name.endswith(".h")}
    found = shop.step(tmp_path, without)
    assert "mm/ksm.o" in shop.compiled()
    assert found.image_sha256 != with_it.image_sha256
    assert shop.build(*(_diff(name, text) for name, text in without.items())).image_sha256 == found.image_sha256


def test_the_nearest_is_taken_and_the_oldest_dropped(shop: Steps, tmp_path: Path) -> None:
    shop.build()
    texts = [_FORK.replace("2", str(number)) for number in range(3, 9)]
    for text in texts:
        shop.step(tmp_path, {"kernel/fork.c": text, "mm/memory.c": _MEMORY.replace("MM", "7")})
    assert len(shop.cache.entries(objects.ROOM)) == objects.KEPT
    shop.step(tmp_path, {"kernel/fork.c": texts[0]})
    assert shop.compiled() == ["kernel/fork.o"], "the base is nearest"


def test_a_step_that_does_not_build_leaves_nothing(shop: Steps, tmp_path: Path) -> None:
    shop.build()
    with pytest.raises(BuildError, match="cannot build") as caught:
        shop.step(tmp_path, {"kernel/fork.c": "#error planted\n"})
    assert "#error planted" in caught.value.detail
    assert shop.cache.entries(objects.ROOM) == []


def test_a_step_never_answers_for_a_patch(shop: Steps, tmp_path: Path) -> None:
    shop.build()
    text = _FORK.replace("2", "3")
    shop.step(tmp_path, {"kernel/fork.c": text})
    shop.build(_diff("kernel/fork.c", text))
    assert shop.compiled() == ["kernel/fork.o"]
