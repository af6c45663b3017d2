# SPDX-License-Identifier: GPL-2.0-or-later
"""A kernel tree of a dozen files whose Makefile answers the calls of the harness, with real dependencies."""

from __future__ import annotations

from pathlib import Path

MAKEFILE = r"""# SPDX-License-Identifier: GPL-2.0
VERSION = 6
PATCHLEVEL = 1
SUBLEVEL = 7
EXTRAVERSION =
NAME = Fake

MAKEFLAGS += -rR --no-print-directory
CC = $(CROSS_COMPILE)gcc -Iinclude -Iinclude/uapi
objs := $(patsubst %.c,$(O)/%.o,$(wildcard mm/*.c kernel/*.c))

allnoconfig:
	@while read -r line; do \
		name=$${line%%=*}; name=$${name#\# }; name=$${name%% is not set}; \
		if grep -q "^config $${name#CONFIG_}$$" arch/arm64/Kconfig; then echo "$$line"; fi; \
	done <$(KCONFIG_ALLCONFIG) >$(O)/.config.new
	@if cmp -s $(O)/.config.new $(O)/.config; then echo "# No change to .config"; else cp $(O)/.config.new $(O)/.config; fi

$(O)/%.o: %.c $(O)/.config
	@mkdir -p $(@D)
	@echo "  CC      $*.o"
	@$(CC) -c -MMD -MP -MF $(O)/$*.d -o $@ $<
	@sed 's# \([a-z]\)# /build/src/\1#g' $(O)/$*.d >$(@D)/.$(@F).cmd

$(O)/arch/arm64/boot/Image: $(objs) kernel/bounds.in
	@mkdir -p $(@D) $(O)/include/config $(O)/include/generated $(O)/scripts
	@cmp -s kernel/bounds.in $(O)/include/generated/bounds.h || cp kernel/bounds.in $(O)/include/generated/bounds.h
	@echo "  LD      vmlinux"
	@$(CROSS_COMPILE)ld -r -o $(O)/vmlinux $(objs)
	@cp $(O)/vmlinux $@
	@$(CROSS_COMPILE)nm $(O)/vmlinux >$(O)/System.map
	@echo $(VERSION).$(PATCHLEVEL).$(SUBLEVEL) >$(O)/include/config/kernel.release

Image: $(O)/arch/arm64/boot/Image

ifeq ($(M),)
modules: Image
	@grep -ho "EXPORT_SYMBOL(.*)" mm/*.c kernel/*.c >$(O)/Module.symvers || :
else
modules: $(patsubst %.c,%.ko,$(wildcard $(M)/*.c))
	@echo "  MADE    $(M)"

$(M)/%.ko: $(M)/%.c
	@test -f $(O)/Module.symvers -a -f $(O)/.config
	@echo "  CC [M]  $(M)/$*.o"
	@$(CC) -I$(O)/include -c -MMD -MP -MF $(M)/$*.d -o $@ $<
	@sed 's# \([a-z]\)# /build/src/\1#g' $(M)/$*.d >$(M)/.$*.o.cmd
endif

-include $(wildcard $(O)/*/*.d $(M)/*.d)
.PHONY: allnoconfig Image modules
"""

FILES = {
    "Makefile": MAKEFILE,
    "arch/arm64/Kconfig": "config A\nconfig B\n",
    "include/linux/mm.h": "#define MM 1\n",
    "include/uapi/linux/shadowed.h": "#define SHADOW 1\n",
    "mm/memory.c": "#include <linux/mm.h>\nint memory(void)\n{\n\treturn MM;\n}\n",
    "mm/hugetlb.c": "#include <linux/mm.h>\nint hugetlb(void)\n{\n\treturn MM + 1;\n}\n",
    "mm/ksm.c": "#include <linux/shadowed.h>\nint ksm(void)\n{\n\treturn SHADOW;\n}\n",
    "kernel/bounds.in": "#define BOUND 1\n",
    "kernel/fork.c": "int fork_it(void)\n{\n\treturn 2;\n}\n",
    "tools/sorttable.c": "int main(void)\n{\n\treturn 0;\n}\n",
}


def write(tree: Path) -> Path:
    """Lay the tree out."""
    for name, text in FILES.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text)
    return tree
