# SPDX-License-Identifier: GPL-2.0-or-later
"""What is taken out of a make log."""

from __future__ import annotations

import pytest

from harness.build import compile_log

_LOG = """\
make[1]: Entering directory '/build/out'
  CC      mm/memory.o
  AS      arch/arm64/kernel/entry.o
  CC [M]  /build/driver/main.o
  HOSTCC  scripts/basic/fixdep
  CC      kernel/bounds.s
  AR      mm/built-in.a
In file included from /build/src/mm/internal.h:11,
                 from /build/src/mm/memory.c:82:
/build/src/include/linux/mm.h: In function 'f':
/build/src/include/linux/mm.h:5:9: warning: unused variable 'x' [-Wunused-variable]
    5 |     int x;
      |         ^
/build/src/mm/memory.c: In function 'wp_page_reuse':
/build/src/mm/memory.c:3100:9: error: implicit declaration of function 'nope'
 3100 |         nope(vma);
      |         ^~~~
cc1: some warnings being treated as errors
make[3]: *** [/build/src/scripts/Makefile.build:250: mm/memory.o] Error 1
make[2]: *** [/build/src/scripts/Makefile.build:500: mm] Error 2
make: *** [Makefile:250: __sub-make] Error 2
""".splitlines()


def test_objects_are_compiled_and_assembled_ones() -> None:
    assert [line.split()[-1] for line in _LOG if compile_log.is_object(line)] == [
        "mm/memory.o",
        "arch/arm64/kernel/entry.o",
        "/build/driver/main.o",
    ]


def test_warnings_once_each() -> None:
    assert compile_log.warnings([*_LOG, *_LOG]) == (
        "/build/src/include/linux/mm.h:5:9: warning: unused variable 'x' [-Wunused-variable]",
    )


def test_errors_are_the_compilers_own_lines() -> None:
    assert compile_log.errors(_LOG).splitlines() == [
        "/build/src/mm/memory.c: In function 'wp_page_reuse':",
        "/build/src/mm/memory.c:3100:9: error: implicit declaration of function 'nope'",
        " 3100 |         nope(vma);",
        "      |         ^~~~",
        "make[3]: *** [/build/src/scripts/Makefile.build:250: mm/memory.o] Error 1",
    ]


@pytest.mark.parametrize(
    "line",
    [
        "aarch64-linux-gnu-ld: mm/memory.o: undefined reference to `nope'",
        'ERROR: modpost: "nope" [/build/driver/x.ko] undefined!',
        "make[2]: *** No rule to make target 'mm/gone.o', needed by 'mm/built-in.a'.  Stop.",
        "/build/src/mm/Kconfig:7: syntax error",
        "Makefile:10: *** missing separator.  Stop.",
        "/build/src/arch/arm64/kernel/entry.S:12: Error: unknown mnemonic `mvo' -- `mvo x0,x1'",
    ],
)
def test_other_tools_errors(line: str) -> None:
    assert line in compile_log.errors(
        ["  CC      a.o", line, "  CC      b.o", *(f"  CC      {n}.o" for n in range(40))]
    )


def test_unknown_failure_shows_the_end() -> None:
    assert compile_log.errors([f"line {n}" for n in range(50)]).splitlines()[-1] == "line 49"
    assert compile_log.errors([]) == ""


def test_bounded() -> None:
    text = compile_log.errors([f"a.c:{n}:1: error: bad" for n in range(1000)])
    assert len(text.splitlines()) <= 61
    assert text.endswith("more lines in the log")


@pytest.mark.parametrize(
    "line",
    [
        "aarch64-linux-gnu-gcc: fatal error: Killed signal terminated program cc1",
        "make[2]: *** [/build/src/scripts/Makefile.build:250: mm/memory.o] Killed",
        "make: *** [Makefile:20: vmlinux] Error 137",
    ],
)
def test_a_program_that_was_killed(line: str) -> None:
    assert compile_log.killed([*_LOG, line])
    assert not compile_log.killed([*_LOG, "printk(Killed process)", f"x.c:1: note: {line[:20]}"])
