# SPDX-License-Identifier: GPL-2.0-or-later
"""Building variants of a fake kernel: what is rebuilt, what is shared, and how it fails."""

from __future__ import annotations

import difflib
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.build import kbuild, toolchain
from harness.build.cache import Cache
from harness.build.kernel import build
from harness.build.sandbox import Sandbox
from harness.errors import BuildError, InfrastructureError, KernelConfigError, PatchError
from harness.layout import Layout
from harness.model import BuiltKernel, Kernel, Patch, Series
from harness.sources.archive import Label, copy_tree, make, tree_sha256
from tests.unit import fake_kernel


class Shop:
    """A fake kernel, a project folder and a cache."""

    def __init__(self, root: Path) -> None:
        self.cache = Cache(root / "cache")
        self.tree = fake_kernel.write(root / "linux")
        self.layout = Layout(root / "project")
        self.layout.kconfigs.mkdir(parents=True)
        (self.layout.kconfigs / "base.config").write_text("CONFIG_A=y\n# CONFIG_B is not set\n")
        self.layout.driver.mkdir(parents=True)
        (self.layout.driver / "Makefile").write_text("obj-m := sva.o\n")
        (self.layout.driver / "sva.c").write_text("#include <linux/mm.h>\nint sva(void) { return MM; }\n")
        self.lines: list[str] = []

    def build(self, *diffs: str, sandbox: Sandbox | None = None, kernel: Kernel | None = None) -> BuiltKernel:
        self.lines.clear()
        names = [re.findall(r"^diff --git a/(\S+)", diff, re.M) for diff in diffs]
        patches = tuple(
            Patch(subject="change", diff=diff, source="x.patch", files=tuple(files))
            for diff, files in zip(diffs, names, strict=True)
        )
        found = kernel or Kernel("fake", "6.1.7", "a fake", tree_sha256(self.tree), self.tree)
        return build(
            found,
            Series(patches),
            cache=self.cache,
            sandbox=sandbox or Sandbox(),
            jobs=2,
            on_output=self.lines.append,
            fragments=["base"],
            layout=self.layout,
        )

    def compiled(self) -> list[str]:
        """Objects that the last call compiled."""
        return sorted(line.split()[-1] for line in self.lines if line.startswith("  CC "))


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    made = Shop(tmp_path)
    before = tree_sha256(made.tree)
    yield made
    assert tree_sha256(made.tree) == before, "the base's source was written"


def _diff(name: str, new: str | None) -> str:
    """A diff of one file of the fake tree; None removes it, a name that is not there adds it."""
    old = fake_kernel.FILES.get(name)
    a, b = f"a/{name}" if old is not None else "/dev/null", f"b/{name}" if new is not None else "/dev/null"
    head = f"diff --git a/{name} b/{name}\n"
    head += "new file mode 100644\n" if old is None else ""
    head += "deleted file mode 100644\n" if new is None else ""
    return head + "".join(difflib.unified_diff((old or "").splitlines(True), (new or "").splitlines(True), a, b))


_FORK = fake_kernel.FILES["kernel/fork.c"]
_MEMORY = fake_kernel.FILES["mm/memory.c"]
_DRIVER = ["/build/driver/sva.o"]
_MADE = "  MADE    /build/driver"
_ALL = ["kernel/fork.o", "mm/hugetlb.o", "mm/ksm.o", "mm/memory.o"]


def test_base(shop: Shop) -> None:
    built = shop.build()
    assert shop.compiled() == [*_DRIVER, *_ALL]
    assert built.objects == 4
    assert built.release == "6.1.7"
    assert built.config.read_text() == "CONFIG_A=y\n# CONFIG_B is not set\n"
    assert [path.name for path in built.modules] == ["sva.ko"]
    assert built.image.stat().st_size > 0
    assert "CC      mm/memory.o" in built.log.read_text()


def test_from_the_cache(shop: Shop) -> None:
    first = shop.build()
    assert shop.build() == first
    assert shop.lines == []


def test_patch_rebuilds_what_it_touches(shop: Shop) -> None:
    base = shop.build()
    patched = shop.build(_diff("kernel/fork.c", _FORK.replace("2", "3")))
    assert shop.compiled() == ["kernel/fork.o"]
    assert patched.objects == 1
    assert patched.key != base.key and patched.image_sha256 != base.image_sha256
    assert shop.build(_diff("kernel/fork.c", _FORK.replace("2", "3"))) == patched
    assert shop.lines == []


def test_patched_header_rebuilds_what_includes_it(shop: Shop) -> None:
    shop.build()
    shop.build(_diff("include/linux/mm.h", "#define MM 7\n"))
    assert shop.compiled() == [*_DRIVER, "mm/hugetlb.o", "mm/memory.o"]


def test_added_header_that_hides_another(shop: Shop) -> None:
    shop.build()
    shop.build(_diff("include/linux/shadowed.h", "#define SHADOW 9\n"))
    assert shop.compiled() == ["mm/ksm.o"]


def test_added_and_removed_files(shop: Shop) -> None:
    shop.build()
    moved = _diff("kernel/fork.c", None) + _diff("kernel/clone.c", "int clone_it(void)\n{\n\treturn 2;\n}\n")
    patched = shop.build(moved)
    assert shop.compiled() == ["kernel/clone.o"]
    symbols = (patched.image.parent / "System.map").read_text()
    assert "clone_it" in symbols and "fork_it" not in symbols


def test_incremental_and_clean_build_agree(shop: Shop, tmp_path: Path) -> None:
    diffs = [_diff("include/linux/mm.h", "#define MM 7\n"), _diff("kernel/fork.c", _FORK.replace("2", "3"))]
    patched = shop.build(*diffs)
    other = Shop(tmp_path / "other")
    for diff in diffs:
        subprocess.run(["git", "apply", "-"], input=diff.encode(), cwd=other.tree, check=True)
    assert other.build().image_sha256 == patched.image_sha256


def test_variants_share_nothing(shop: Shop) -> None:
    base = shop.build()
    three = _diff("kernel/fork.c", _FORK.replace("2", "3"))
    four = _diff("kernel/fork.c", _FORK.replace("2", "4"))
    images = {shop.build(diff).image_sha256 for diff in (three, four)}
    assert len(images | {base.image_sha256}) == 3
    for entry in shop.cache.entries("kernels"):
        assert shop.cache.verify("kernels", entry.name) == []


def test_same_files_from_other_patches_are_the_same_variant(shop: Shop) -> None:
    three = _FORK.replace("2", "3")
    direct = shop.build(_diff("kernel/fork.c", three))
    steps = _diff("kernel/fork.c", _FORK.replace("2", "5"))
    back = "diff --git a/kernel/fork.c b/kernel/fork.c\n--- a/kernel/fork.c\n+++ b/kernel/fork.c\n"
    back += "@@ -1,4 +1,4 @@\n int fork_it(void)\n {\n-\treturn 5;\n+\treturn 3;\n }\n"
    assert shop.build(steps, back).key == direct.key
    assert shop.lines == []


def test_series_that_changes_nothing_is_the_base(shop: Shop) -> None:
    there = _diff("kernel/fork.c", _FORK.replace("2", "5"))
    back = "--- a/kernel/fork.c\n+++ b/kernel/fork.c\n@@ -1,4 +1,4 @@\n"
    back += " int fork_it(void)\n {\n-\treturn 5;\n+\treturn 2;\n }\n"
    assert shop.build(there, back).key == shop.build().key


def test_variant_entry_is_small_and_enough_for_the_driver(shop: Shop) -> None:
    patched = shop.build(_diff("include/linux/mm.h", "#define MM 7\n"))
    left = [path.name for path in (patched.image.parent / "out").rglob("*")]
    assert "Module.symvers" in left and ".config" in left
    assert not [name for name in left if name.endswith(".o") or name in ("vmlinux", "Image")]
    (shop.layout.driver / "sva.c").write_text(
        '#include <linux/mm.h>\n_Static_assert(MM == 7, "patched header");\nint sva(void) { return 2; }\n'
    )
    again = shop.build(_diff("include/linux/mm.h", "#define MM 7\n"))
    assert shop.compiled() == _DRIVER * 2, "for the base, which cannot; and for this one"
    assert again.image == patched.image and again.key != patched.key


def test_driver_is_built_anew_from_what_the_base_left(shop: Shop) -> None:
    base = shop.build()
    same = shop.build(_diff("include/uapi/linux/shadowed.h", "#define SHADOW 9\n"))
    assert shop.compiled() == ["mm/ksm.o"] and _MADE in shop.lines
    other = shop.build(_diff("include/linux/mm.h", "#define MM 7\n"))
    assert shop.compiled() == [*_DRIVER, "mm/hugetlb.o", "mm/memory.o"]
    modules = [built.modules[0].read_bytes() for built in (base, same, other)]
    assert modules[0] == modules[1] != modules[2]


def test_driver_that_would_come_out_the_same_is_not_made(shop: Shop) -> None:
    base = shop.build()
    assert _MADE in shop.lines
    patched = shop.build(_diff("kernel/fork.c", _FORK.replace("2", "3")))
    assert shop.compiled() == ["kernel/fork.o"] and _MADE not in shop.lines
    assert patched.modules[0].read_bytes() == base.modules[0].read_bytes()
    assert patched.modules[0] != base.modules[0], "an entry of its own: the base's may go"


_EXPORT = "/* EXPORT_SYMBOL(fork_it) */\n"


@pytest.mark.parametrize(
    "diffs",
    [
        pytest.param([("kernel/fork.c", _FORK + _EXPORT)], id="a symbol is exported"),
        pytest.param([("kernel/fork.c", None), ("kernel/clone.S", "")], id="not only C"),
        pytest.param([("kernel/fork.c", "int new;\n"), ("kernel/bounds.in", "#define BOUND 7\n")], id="generated"),
        pytest.param([("mm/memory.c", "int memory;\n")], id="the driver includes it"),
        pytest.param([("tools/sorttable.c", "int main(void)\n{\n\treturn 1;\n}\n")], id="a program"),
    ],
)
def test_driver_is_made_where_something_may_differ(shop: Shop, diffs: list[tuple[str, str | None]]) -> None:
    (shop.layout.driver / "sva.c").write_text("#include <../mm/memory.c>\n")
    shop.build()
    shop.build("".join(_diff(*diff) for diff in diffs))
    assert _MADE in shop.lines


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param("kernel/bounds.in", "kernel/fork.c", id="a .c file gives a header, as bounds.c does"),
        pytest.param(
            "$(O)/vmlinux $@\n", "$(O)/vmlinux $@; cp kernel/fork.c $(O)/scripts/tool\n", id="or a program"
        ),
        pytest.param(".o.cmd\nendif", ".o.txt\nendif", id="nobody knows what it read"),
    ],
)
def test_driver_is_made_where_a_makefile_lets_it_differ(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str
) -> None:
    assert old in fake_kernel.MAKEFILE
    monkeypatch.setitem(fake_kernel.FILES, "Makefile", fake_kernel.MAKEFILE.replace(old, new))
    shop = Shop(tmp_path)
    shop.build()
    shop.build(_diff("kernel/fork.c", _FORK.replace("2", "3")))
    assert _MADE in shop.lines


def _size_of(module: Path, symbol: str) -> int:
    """Bytes of an object in a module."""
    told = subprocess.check_output(["aarch64-linux-gnu-nm", "-S", module], text=True)
    return next(int(line.split()[1], 16) for line in told.splitlines() if line.endswith(f" {symbol}"))


def test_driver_sees_what_a_variant_generated_before_its_objects_were_made(shop: Shop) -> None:
    """As when the driver is changed, and the kernels are in the cache."""
    diff = _diff("kernel/bounds.in", "#define BOUND 7\n")
    shop.build()
    shop.build(diff)
    (shop.layout.driver / "sva.c").write_text("#include <generated/bounds.h>\nint sva[BOUND] = {1};\n")
    base, patched = shop.build(), shop.build(diff)
    assert shop.compiled() == _DRIVER
    sizes = [_size_of(built.modules[0], "sva") for built in (base, patched)]
    assert sizes == [4, 28]


def test_what_may_move_the_configuration_compiles_the_whole_driver(shop: Shop) -> None:
    shop.build()
    shop.build(_diff("scripts/tool.sh", "exit 0\n"))
    assert shop.compiled() == _DRIVER


def test_a_bit_that_turned_in_an_object_of_the_driver_does_not_get_into_a_variant(shop: Shop) -> None:
    base = shop.build()
    (entry,) = shop.cache.entries("driver-objects")
    _turn(entry / "work" / "sva.ko")
    patched = shop.build(_diff("kernel/fork.c", _FORK.replace("2", "3")))
    assert patched.modules[0].read_bytes() == base.modules[0].read_bytes()
    assert shop.compiled() == [*_DRIVER, "kernel/fork.o"]


def test_driver_products_are_no_sources(shop: Shop) -> None:
    first = shop.build()
    (shop.layout.driver / "sva.o").write_text("left by hand")
    (shop.layout.driver / ".sva.o.cmd").write_text("left by hand")
    assert shop.build().key == first.key


def test_no_driver(shop: Shop) -> None:
    (shop.layout.driver / "Makefile").unlink()
    with pytest.raises(InfrastructureError, match="driver's sources are not there"):
        shop.build()


def test_driver_that_does_not_build_on_the_base_is_our_fault(shop: Shop) -> None:
    (shop.layout.driver / "sva.c").write_text("#error not on this one\n")
    with pytest.raises(InfrastructureError, match="guest driver") as caught:
        shop.build()
    assert "#error not on this one" in caught.value.detail


def test_driver_that_a_patch_breaks_is_the_patch_s(shop: Shop) -> None:
    with pytest.raises(BuildError, match="guest driver") as caught:
        shop.build(_diff("include/linux/mm.h", "#define MM 7 +\n"), _use_no_mm())
    assert "sva.c" in caught.value.detail


def _use_no_mm() -> str:
    text = ""
    for name in ("mm/memory.c", "mm/hugetlb.c"):
        text += _diff(name, fake_kernel.FILES[name].replace("return MM", "return 1"))
    return text


def test_build_error_has_the_compilers_lines_and_leaves_nothing(shop: Shop) -> None:
    shop.build()
    with pytest.raises(BuildError, match=r"Linux 6\.1\.7") as caught:
        shop.build(_diff("mm/memory.c", _MEMORY.replace("MM", "nope")))
    assert "mm/memory.c:4:16: error: 'nope' undeclared" in caught.value.detail
    assert len(caught.value.detail.splitlines()) < 20
    assert len(shop.cache.entries("kernels")) == 1
    assert not list(shop.cache.root.glob("kernels/.tmp-*"))


def test_interrupted_build_leaves_nothing(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(line: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(
        shop, "lines", type("Stop", (), {"append": staticmethod(stop), "clear": lambda self: None})()
    )
    with pytest.raises(KeyboardInterrupt):
        shop.build()
    assert not list(shop.cache.root.glob("kernels/*"))


def test_patch_that_does_not_apply(shop: Shop) -> None:
    with pytest.raises(PatchError):
        shop.build(_diff("mm/memory.c", _MEMORY.replace("MM", "2")).replace("int memory", "int other"))
    assert not shop.cache.root.exists() or not shop.cache.entries("kernels")


def test_lost_option(shop: Shop) -> None:
    (shop.layout.kconfigs / "base.config").write_text("CONFIG_A=y\nCONFIG_GONE=y\n")
    with pytest.raises(KernelConfigError, match="CONFIG_GONE") as caught:
        shop.build()
    assert caught.value.detail == "base.config:2: CONFIG_GONE: asked y, got absent"
    assert not list(shop.cache.root.glob("kernels/*"))


def test_patch_that_takes_an_option_away(shop: Shop) -> None:
    shop.build()
    with pytest.raises(KernelConfigError, match="CONFIG_A"):
        shop.build(_diff("arch/arm64/Kconfig", "config B\n"))


@pytest.mark.parametrize("change", ["option", "toolchain", "recipe"])
def test_key_holds_all_that_decides(shop: Shop, monkeypatch: pytest.MonkeyPatch, change: str) -> None:
    first = shop.build()
    if change == "option":
        (shop.layout.kconfigs / "base.config").write_text("CONFIG_A=y\nCONFIG_B=y\n")
    elif change == "toolchain":
        monkeypatch.setattr(toolchain, "kernel_versions", lambda: {"gcc": "another"})
    else:
        monkeypatch.setattr(kbuild, "RECIPE", 99)
    assert shop.build().image != first.image
    assert [line for line in shop.lines if "mm/memory.o" in line]


def test_comment_in_a_fragment_rebuilds_nothing(shop: Shop) -> None:
    first = shop.build()
    path = shop.layout.kconfigs / "base.config"
    path.write_text(f"# why\n{path.read_text()}")
    assert shop.build() == first


def test_facts_of_the_build(shop: Shop) -> None:
    built = shop.build()
    facts = json.loads((built.image.parent / "build.json").read_text())
    assert facts["toolchain"].keys() >= {"aarch64-linux-gnu-gcc", "aarch64-linux-gnu-ld"}


def test_full_disk_during_a_build(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    makefile = shop.tree / "Makefile"
    text = makefile.read_text()
    makefile.write_text(
        text.replace("Image: $(O)", 'Image:\n\t@echo "as: No space left on device"; exit 1\nold: $(O)')
    )
    try:
        with pytest.raises(InfrastructureError, match="no space left"):
            shop.build()
    finally:
        makefile.write_text(text)


def _turn(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.unlink()
    file.write_bytes(content)


def test_a_bit_that_turned_in_an_object_of_the_base_does_not_get_into_a_variant(shop: Shop) -> None:
    base = shop.build()
    _turn(base.image.parent / "out" / "mm" / "ksm.o")
    patched = shop.build(_diff("kernel/fork.c", _FORK.replace("2", "3")))
    assert "mm/ksm.o" in shop.compiled() and patched.objects == 1
    assert shop.cache.verify("kernels", base.image.parent.name) == []


@pytest.mark.parametrize("name", ["mm/memory.c", "include/linux/mm.h"])
def test_a_bit_that_turned_in_a_source_that_is_read(shop: Shop, name: str) -> None:
    """What the patch changes, and what its objects include: as kbuild's ``.cmd`` files say."""
    label = Label("fake", "a fake", "ab" * 32)

    def source() -> Kernel:
        tree = make(shop.cache, "fake", label, lambda folder: copy_tree(shop.tree, folder / "tree"))
        return Kernel("fake", "6.1.7", "a fake", label.digest, tree)

    found = source()
    shop.build(kernel=found)
    _turn(found.tree / name)
    diff = _diff("mm/memory.c", _MEMORY.replace("MM;", "MM + 3;"))
    with pytest.raises(InfrastructureError, match="was damaged in the cache, and is removed"):
        shop.build(diff, kernel=found)
    assert shop.cache.entries("sources") == [] and len(shop.cache.entries("kernels")) == 1
    assert shop.build(diff, kernel=source()).objects == 1
