# SPDX-License-Identifier: GPL-2.0-or-later
"""A Linux whose build takes two seconds: four files are compiled and linked, its image is one of the cache's.

So a whole command, from its source to its verdict, can be hit in each phase and had again, with real guests. The
image is that of the looping base, or, where ``mm/memory.c`` says so, that of the mended kernel: `PATCH` mends it.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness.jobs.workshop import Workshop
from harness.model import BuiltKernel
from harness.sources import patch_input
from tests.vm.command import ROOT

FIX = ROOT / "patches" / "linux" / "6.1-fix-fault-paths.patch"

_MAKEFILE = r"""# SPDX-License-Identifier: GPL-2.0
VERSION = {version[0]}
PATCHLEVEL = {version[1]}
SUBLEVEL = {version[2]}
EXTRAVERSION =

MAKEFLAGS += -rR --no-print-directory
kernel := prebuilt/$(shell grep -oE 'looping|mended' mm/memory.c)
objs := $(patsubst %.c,$(O)/%.o,$(wildcard mm/*.c kernel/*.c))

allnoconfig:
	@test -s $(KCONFIG_ALLCONFIG) && cp prebuilt/config $(O)/.config

$(O)/%.o: %.c $(O)/.config
	@mkdir -p $(@D)
	@echo "  CC      $*.o"
	@$(CROSS_COMPILE)gcc -c -o $@ $<

$(O)/vmlinux: $(objs)
	@sleep 0.5
	@echo "  LD      vmlinux"
	@$(CROSS_COMPILE)ld -r -o $@ $(objs)

Image: $(O)/vmlinux
	@mkdir -p $(O)/arch/arm64/boot $(O)/include/config $(O)/scripts $(O)/lib
	@cp $(kernel)/Image $(O)/arch/arm64/boot/Image
	@$(CROSS_COMPILE)nm $(O)/vmlinux >$(O)/System.map
	@echo {release} >$(O)/include/config/kernel.release

ifeq ($(M),)
modules: Image
	@cp $(kernel)/tree/*.ko $(O)/lib/
	@cd $(O) && ls lib/*.ko >modules.order
else
modules:
	@echo "  CC [M]  $(M)/sva_testdev.o"
	@cp $(kernel)/driver/*.ko $(M)/
endif

.PHONY: allnoconfig Image modules
"""

FILES = {
    "arch/arm64/Kconfig": "config ARM64\n",
    "mm/memory.c": "int memory(void)\n{\n\treturn 1; /* looping */\n}\n",
    "mm/hugetlb.c": "int hugetlb(void)\n{\n\treturn 2;\n}\n",
    "mm/ksm.c": "int ksm(void)\n{\n\treturn 3;\n}\n",
    "kernel/fork.c": "int fork_it(void)\n{\n\treturn 4;\n}\n",
}

PATCH = """\
From: A Developer <dev@example.org>
Subject: [PATCH] mm: tell secondary MMUs

Mark {mark}.
---
--- a/mm/memory.c
+++ b/mm/memory.c
@@ -1,4 +1,4 @@
 int memory(void)
 {{
-\treturn 1; /* looping */
+\treturn 1; /* {becomes} {mark} */
 }}
"""


@dataclass(frozen=True)
class Miniature:
    """Where the two kernels are that it takes for its own."""

    looping: BuiltKernel
    mended: BuiltKernel
    files: Mapping[str, str] = field(default_factory=lambda: FILES)

    def write(self, tree: Path, **changed: str) -> Path:
        """Lay the tree out; ``changed``: replaced in its Makefile."""
        version = self.looping.kernel.version.split(".")
        makefile = _MAKEFILE.replace("{release}", self.looping.release)
        for number, value in enumerate(version):
            makefile = makefile.replace(f"{{version[{number}]}}", value)
        for old, new in changed.items():
            assert old in makefile, old
            makefile = makefile.replace(old, new)
        for name, text in {**self.files, "Makefile": makefile}.items():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            (tree / name).write_text(text)
        for name, built in (("looping", self.looping), ("mended", self.mended)):
            folder = tree / "prebuilt" / name
            for part in ("tree", "driver"):
                (folder / part).mkdir(parents=True)
            shutil.copy(built.image, folder / "Image")
            for module in built.modules:
                in_tree = module.is_relative_to(built.image.parent)
                shutil.copy(module, folder / ("tree" if in_tree else "driver"))
        shutil.copy(self.looping.config, tree / "prebuilt" / "config")
        return tree

    def tarball(self, folder: Path) -> Path:
        """The same as a source tarball."""
        tree = self.write(folder / "linux-6.1")
        file = folder / "linux-6.1.tar.gz"
        subprocess.run(["tar", "-C", str(folder), "-czf", str(file), tree.name], check=True)
        return file


def of(shop: Workshop) -> Miniature:
    """Of the kernels that other tests use, too."""
    kernel = shop.kernel("6.1")
    given = patch_input.read((str(FIX),), version=None, tree=Path(), mails=shop.cache.root / "mails", say=print)
    return Miniature(shop.variant(kernel), shop.variant(kernel, given.series))


def patch(folder: Path, mark: str = "one", *, becomes: str = "mended") -> Path:
    """A patch for it; another ``mark`` is another variant."""
    file = folder / f"{mark}.patch"
    file.write_text(PATCH.format(mark=mark, becomes=becomes))
    return file
