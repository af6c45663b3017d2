# SPDX-License-Identifier: GPL-2.0-or-later
"""Building a fake QEMU, with a real ninja: what is rebuilt after which change, and whose fault a failure is."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from harness.build import emulator, toolchain
from harness.build.cache import Cache
from harness.build.emulator_bench import bench
from harness.build.emulator_source import SERIES_VARIABLE, SOURCE_VARIABLE, read_changes
from harness.build.sandbox import Sandbox
from harness.errors import FaultloopError, InfrastructureError, UserError
from harness.layout import Layout, project
from harness.model import Emulator
from harness.sources.debian import DebianRoot, DebianSource

_CONFIGURE = r"""#!/bin/sh
echo "configured with $*"
s=/build/qemu
cat >build.ninja <<END
rule cc
  command = gcc -I$s/include -MMD -MF \$out.d -c \$in -o \$out
  depfile = \$out.d
  description = Compiling C object \$out
rule link
  command = gcc -o \$out \$in
END
for f in $(cd $s && ls hw/*/*.c); do
	echo "build $f.o: cc $s/$f" >>build.ninja
	all="$all $f.o"
done
echo "build qemu-system-aarch64: link$all" >>build.ninja
"""

_FILES = {
    "VERSION": "10.0.99\n",
    "configure": _CONFIGURE,
    "pythondeps.toml": "",
    "include/smmu.h": '#define NAME "QEMU emulator version 10.0.99"\n',
    "hw/arm/smmuv3.c": '#include <stdio.h>\n#include "smmu.h"\nint main(void)\n{\n\tputs(NAME);\n\treturn 0;\n}\n',
    "hw/arm/virt.c": "int virt;\n",
}

_HOOK = """\
A hook.

--- a/hw/arm/virt.c
+++ b/hw/arm/virt.c
@@ -1 +1 @@
-int virt;
+int virt = 1;
"""


class FakeDebian(DebianRoot):
    """Has one QEMU."""

    def __init__(self, cache: Cache, tarball: Path) -> None:
        super().__init__(cache)
        self.tarball = tarball

    def fetch_source(self, name: str, suite: str, version_prefix: str = "") -> DebianSource:
        assert (name, version_prefix) == ("qemu", "1:10.0.")
        return DebianSource(name, "1:10.0.99-1", suite, (self.tarball,), {self.tarball.name: "cd" * 32})


class Shop:
    """A fake QEMU, our changes to it, and a cache."""

    def __init__(self, root: Path) -> None:
        self.cache = Cache(root / "cache")
        self.tree = root / "qemu-10.0.99"
        for name, text in _FILES.items():
            (self.tree / name).parent.mkdir(parents=True, exist_ok=True)
            (self.tree / name).write_text(text)
        (self.tree / "configure").chmod(0o755)
        self.layout = Layout(root / "project")
        self.put("overlay/hw/misc/sva.c", "int sva;\n")
        self.put("0001-hook.patch", _HOOK)
        self.put("configure.options", "# why\n--enable-tcg\n\n--disable-docs\n")
        self.lines: list[str] = []

    def put(self, name: str, text: str) -> None:
        path = self.layout.qemu / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def build(self) -> Emulator:
        self.lines.clear()
        tarball = self.tree.parent / "qemu_10.0.99+ds.orig.tar.xz"
        if not tarball.exists():
            argv = ["tar", "-C", str(self.tree.parent), "-caf", str(tarball), self.tree.name]
            subprocess.run(argv, check=True)
        return emulator.build(
            cache=self.cache,
            sandbox=Sandbox(),
            sources=FakeDebian(self.cache, tarball),
            on_output=self.lines.append,
            jobs=2,
            layout=self.layout,
        )

    def compiled(self) -> list[str]:
        return sorted(line.split()[-1] for line in self.lines if "Compiling C object" in line)

    def configured(self) -> bool:
        return any(line.startswith("configured with") for line in self.lines)


_ALL = ["hw/arm/smmuv3.c.o", "hw/arm/virt.c.o", "hw/misc/sva.c.o"]


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    monkeypatch.delenv(SOURCE_VARIABLE, raising=False)
    monkeypatch.delenv(SERIES_VARIABLE, raising=False)
    monkeypatch.setattr(toolchain, "emulator_versions", lambda: {"gcc": "12"})
    tools = tmp_path / "tools"
    tools.mkdir()
    monkeypatch.setattr(emulator, "_tools", lambda cache, tell: tools)
    return Shop(tmp_path)


def test_built_with_overlay_hooks_and_options(shop: Shop) -> None:
    built = shop.build()
    assert shop.compiled() == _ALL
    assert "--enable-tcg --disable-docs" in shop.lines[0] and "--python=/build/tools/bin/python3" in shop.lines[0]
    assert built.version == "QEMU emulator version 10.0.99"
    assert built.origin == f"Debian qemu 1:10.0.99-1 (trixie), qemu_10.0.99+ds.orig.tar.xz sha256:{'cd' * 32}"
    assert subprocess.run([built.binary], capture_output=True, text=True, check=True).stdout.startswith("QEMU")
    facts = json.loads((built.binary.parent / "build.json").read_text())
    assert facts["objects"] == 3


def test_a_bit_that_turned_in_the_emulator_is_noticed(shop: Shop) -> None:
    binary = shop.build().binary
    content = bytearray(binary.read_bytes())
    content[len(content) // 2] ^= 1
    binary.write_bytes(content)
    again = shop.build().binary
    assert again == binary and again.read_bytes() != content
    assert shop.compiled() == [], "its objects are there still"
    shop.build()
    assert shop.lines == []


@pytest.mark.parametrize("name", ["VERSION", "hw/arm/smmuv3.c"])
def test_a_source_that_was_damaged_is_unpacked_again_when_it_is_built(shop: Shop, name: str) -> None:
    first = shop.build()
    (entry,) = shop.cache.entries("qemu-sources")
    (entry / "tree" / name).unlink()
    assert shop.build() == first
    shop.put("overlay/hw/misc/sva.c", "int sva = 2;\n")
    assert shop.build().key != first.key
    assert shop.cache.verify("qemu-sources", entry.name) == []


def test_firmware_sources_are_left_out(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    (shop.tree / "roms").mkdir()
    (shop.tree / "roms" / "big").write_text("x")
    monkeypatch.setenv(SOURCE_VARIABLE, str(shop.tree))
    shop.build()
    (build_tree,) = shop.cache.entries("emulator-trees")
    assert "VERSION" in (files := json.loads((build_tree / "source-times.json").read_text())["files"])
    assert "roms/big" not in files
    monkeypatch.delenv(SOURCE_VARIABLE)
    shop.build()
    (trees,) = shop.cache.entries("qemu-sources")
    assert not (trees / "tree" / "roms").exists() and (trees / "tree" / "VERSION").exists()


def test_from_the_cache(shop: Shop) -> None:
    built = shop.build()
    assert shop.build() == built
    assert shop.lines == []


@pytest.mark.parametrize(
    ("name", "text", "objects"),
    [
        ("overlay/hw/misc/sva.c", "int sva = 2;\n", ["hw/misc/sva.c.o"]),
        ("0001-hook.patch", _HOOK.replace("= 1", "= 2"), ["hw/arm/virt.c.o"]),
        (
            "0002-header.patch",
            "--- a/include/smmu.h\n+++ b/include/smmu.h\n@@ -1 +1,2 @@\n"
            ' #define NAME "QEMU emulator version 10.0.99"\n+#define MORE 1\n',
            ["hw/arm/smmuv3.c.o"],
        ),
        ("0003-no-code.patch", "--- a/VERSION\n+++ b/VERSION\n@@ -1 +1 @@\n-10.0.99\n+10.0.98\n", []),
    ],
)
def test_a_change_of_ours_rebuilds_what_it_touches(shop: Shop, name: str, text: str, objects: list[str]) -> None:
    first = shop.build()
    shop.put(name, text)
    second = shop.build()
    assert second.key != first.key and not shop.configured()
    assert shop.compiled() == objects
    for room, count in (("emulators", 2), ("emulator-trees", 1)):
        entries = shop.cache.entries(room)
        assert len(entries) == count
        assert not [fault for entry in entries for fault in shop.cache.verify(room, entry.name)]


def test_undone_change_is_found_again_and_a_third_builds_on_the_newest(shop: Shop) -> None:
    first = shop.build()
    shop.put("overlay/hw/misc/sva.c", "int sva = 2;\n")
    shop.build()
    shop.put("overlay/hw/misc/sva.c", "int sva;\n")
    assert shop.build() == first and shop.lines == []
    shop.put("0001-hook.patch", _HOOK.replace("= 1", "= 2"))
    shop.build()
    assert shop.compiled() == ["hw/arm/virt.c.o", "hw/misc/sva.c.o"]


@pytest.mark.parametrize("change", ["option", "toolchain", "configure"])
def test_what_ninja_cannot_know_builds_anew(shop: Shop, monkeypatch: pytest.MonkeyPatch, change: str) -> None:
    shop.build()
    if change == "option":
        shop.put("configure.options", "--disable-tcg\n")
    elif change == "toolchain":
        monkeypatch.setattr(toolchain, "emulator_versions", lambda: {"gcc": "13"})
    else:
        shop.put(
            "0002-configure.patch",
            '--- a/configure\n+++ b/configure\n@@ -1,3 +1,3 @@\n #!/bin/sh\n-echo "configured with $*"\n'
            '+echo "configured with" "$*"\n s=/build/qemu\n',
        )
    shop.build()
    assert shop.configured() and shop.compiled() == _ALL


def test_named_tree_and_tarball(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.build()
    monkeypatch.setenv(SOURCE_VARIABLE, str(shop.tree))
    assert shop.build().origin.startswith("FAULTLOOP_QEMU_SOURCE: tree qemu-10.0.99, sha256:")
    monkeypatch.setenv(SOURCE_VARIABLE, str(shop.tree.parent / "qemu_10.0.99+ds.orig.tar.xz"))
    assert shop.build().origin.startswith("FAULTLOOP_QEMU_SOURCE: tarball")
    assert not (shop.tree / "hw/misc").exists()
    (shop.tree / "hw/arm/virt.c").write_text("int virt;\nint more;\n")
    monkeypatch.setenv(SOURCE_VARIABLE, str(shop.tree))
    with pytest.raises(UserError, match=r"0001-hook\.patch does not apply to QEMU 10\.0\.99"):
        shop.put("0001-hook.patch", _HOOK.replace("@@ -1 +1 @@\n-int virt;", "@@ -1 +1 @@\n-int other;"))
        shop.build()


def test_hook_of_a_series_takes_the_place_of_the_one_of_that_name(shop: Shop) -> None:
    """And only where QEMU is of that series."""
    shop.put("10.2/0001-hook.patch", "no patch")
    shop.build()
    shop.put("10.0/0001-hook.patch", _HOOK.replace("virt = 1", "virt = 2"))
    shop.build()
    assert shop.compiled() == ["hw/arm/virt.c.o"]
    changes = read_changes(shop.layout.qemu, "10.0")
    assert list(changes.hooks) == ["0001-hook.patch"]
    assert b"virt = 2" in changes.hooks["0001-hook.patch"]


def test_series_that_is_none(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SERIES_VARIABLE, "9.9")
    with pytest.raises(UserError, match=r"FAULTLOOP_QEMU_SERIES=9\.9: no such series; there are 10\.0, 10\.2"):
        shop.build()


def test_bench_is_changed_and_built_again_and_leaves_nothing(shop: Shop) -> None:
    built = shop.build()
    job = emulator.plan(
        cache=shop.cache,
        sandbox=Sandbox(),
        sources=FakeDebian(shop.cache, shop.tree.parent / "qemu_10.0.99+ds.orig.tar.xz"),
        on_output=shop.lines.append,
        layout=shop.layout,
    )
    shop.lines.clear()
    with bench(job) as trees:
        (trees.source / "hw/misc/sva.c").write_text("int broken;\n")
        binary = trees.build() / emulator.BINARY
        assert shop.compiled() == ["hw/misc/sva.c.o"]
        assert binary.read_bytes() != built.binary.read_bytes()
        (trees.source / "hw/misc/sva.c").write_text("no C\n")
        with pytest.raises(InfrastructureError, match="cannot be built"):
            trees.build()
    assert not binary.exists()
    assert not list(shop.cache.root.glob("bench-*"))
    assert shop.build() == built


@pytest.mark.parametrize("named", [True, False])
def test_hook_that_does_not_apply(shop: Shop, monkeypatch: pytest.MonkeyPatch, named: bool) -> None:
    if named:
        monkeypatch.setenv(SOURCE_VARIABLE, str(shop.tree))
    shop.put("0001-hook.patch", _HOOK.replace("-int virt", "-int other"))
    expected: type[FaultloopError] = UserError if named else InfrastructureError
    with pytest.raises(expected, match=r"patches/qemu/0001-hook\.patch does not apply") as caught:
        shop.build()
    assert "Hunk #1 FAILED" in caught.value.detail
    assert shop.cache.entries("emulators") == []


def test_no_fuzz(shop: Shop) -> None:
    context = "--- a/hw/arm/smmuv3.c\n+++ b/hw/arm/smmuv3.c\n@@ -2,5 +2,5 @@\n"
    context += ' #include "other.h"\n int main(void)\n {\n'
    shop.put("0002-fuzzy.patch", context + "-\tputs(NAME);\n+\tputs(NAME );\n \treturn 0;\n")
    with pytest.raises(InfrastructureError, match="0002-fuzzy"):
        shop.build()


def test_overlay_never_replaces_a_file_of_qemu(shop: Shop) -> None:
    shop.put("overlay/hw/arm/virt.c", "int ours;\n")
    with pytest.raises(InfrastructureError, match=r"overlay/hw/arm/virt\.c: QEMU has a file of that name"):
        shop.build()


def test_compile_error_is_ours_and_has_the_compilers_lines(shop: Shop) -> None:
    shop.put("overlay/hw/misc/sva.c", "int sva = nope;\n")
    with pytest.raises(InfrastructureError, match=r"QEMU cannot be built \(ninja failed\)") as caught:
        shop.build()
    assert "hw/misc/sva.c:1:11: error: 'nope' undeclared" in caught.value.detail
    assert shop.cache.entries("emulators") == [] and not list(shop.cache.root.glob("emulators/.tmp-*"))


@pytest.mark.parametrize("what", ["nothing", "folder", "tarball"])
def test_named_source_that_is_none(shop: Shop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, what: str) -> None:
    path = tmp_path / ("x.tar" if what == "tarball" else "x")
    if what != "nothing":
        (tmp_path / "x").mkdir()
        (tmp_path / "x" / "README").touch()
    if what == "tarball":
        subprocess.run(["tar", "-C", str(tmp_path), "-cf", str(path), "x"], check=True)
    monkeypatch.setenv(SOURCE_VARIABLE, str(path))
    with pytest.raises(UserError, match="no such tarball" if what == "nothing" else "not QEMU's source"):
        shop.build()


def test_missing_parts_name_the_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toolchain, "EMULATOR_LIBRARIES", {"no-such-lib": "libnosuch-dev"})
    monkeypatch.setattr(toolchain, "EMULATOR_HEADERS", {"/usr/include/no/such.h": "libsuch-dev"})
    with pytest.raises(
        InfrastructureError, match=r"no-such-lib, /usr/include.*; install libnosuch-dev libsuch-dev"
    ):
        toolchain.emulator_versions()


def test_own_changes_are_there() -> None:
    changes = read_changes(project().qemu)
    assert "--target-list=aarch64-softmmu" in changes.options
    assert list(changes.hooks) == sorted(changes.hooks) and changes.overlay
