# SPDX-License-Identifier: GPL-2.0-or-later
"""Where a compiled object writes page-table entries: inlined, called, in a section of its own."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from harness.build import dwarf
from harness.build.sites import _placed
from harness.build.toolchain import CROSS
from harness.coverage import How
from harness.errors import InfrastructureError

SOURCE = """
typedef struct { unsigned long pte; } pte_t;
int ptep_set_access_flags(void *vma, unsigned long addr, pte_t *ptep, pte_t entry, int dirty);
extern int other(int);

static inline __attribute__((always_inline)) void set_pte(pte_t *ptep, pte_t pte)
{
	*(volatile unsigned long *)&ptep->pte = pte.pte;
}

static inline __attribute__((always_inline)) void reuse(void *vma, pte_t *ptep, pte_t entry)
{
	ptep_set_access_flags(vma, 0x1000, ptep, entry, 1);
}

static inline __attribute__((always_inline)) void fill(pte_t *ptep, unsigned long value)
{
	pte_t pte = { value | 0x80 }, none = { 0 };

	if (other(1))
		set_pte(ptep, pte);
	else {
		set_pte(ptep, none);
		other(4);
	}
}

void fault(void *vma, pte_t *ptep, pte_t entry)
{
	if (other(2))
		reuse(vma, ptep, entry);
	else
		fill(ptep, entry.pte);
}

void alone(pte_t *ptep)
{
	other(3);
}

__attribute__((section(".init.text"))) void early(pte_t *ptep, pte_t entry)
{
	set_pte(ptep, entry);
}
"""


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("object")
    (folder / "a.c").write_text(SOURCE)
    argv = [f"{CROSS}gcc", "-O2", "-fno-optimize-sibling-calls", "-g", "-gdwarf-5", "-c", "-o", "a.o", "a.c"]
    subprocess.run(argv, cwd=folder, check=True)
    return (folder / "a.o").read_bytes()


def test_calls_and_stores_of_inlined_functions(compiled: bytes) -> None:
    places = dwarf.read(compiled, {"reuse", "fill"}).places
    assert {(p.function, p.how, p.within, p.callee) for p in places} == {
        ("reuse", How.CALL, "fault", "ptep_set_access_flags"),
        ("fill", How.STORE, "fault", "set_pte"),
    }


def test_the_instructions_are_a_call_and_a_store(compiled: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.o").write_bytes(compiled)
    argv = [f"{CROSS}objdump", "-d", "-j", ".text", "a.o"]
    listing = subprocess.run(argv, cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    for place in dwarf.read(compiled, {"reuse", "fill"}).places:
        (line,) = [text for text in listing.splitlines() if text.strip().startswith(f"{place.address:x}:")]
        wanted = "\tbl\t" if place.how is How.CALL else f"\tstr\tx{place.register}, "
        assert wanted in line


def test_a_function_that_writes_nothing_is_its_entry(compiled: bytes) -> None:
    read = dwarf.read(compiled, {"alone"})
    (place,) = read.places
    start = next(address for _, name, address in read.symbols if name == "alone")
    assert (place.how, place.section, place.address) == (How.ENTRY, ".text", start)


def test_sections_are_told_apart(compiled: bytes) -> None:
    (place,) = dwarf.read(compiled, {"early"}).places
    assert (place.section, place.how) == (".init.text", How.STORE)


def test_an_object_without_debug_information_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.c").write_text("int x(void) { return 1; }\n")
    subprocess.run([f"{CROSS}gcc", "-c", "a.c"], cwd=tmp_path, check=True)
    with pytest.raises(InfrastructureError, match="without debug information"):
        dwarf.read((tmp_path / "a.o").read_bytes(), {"x"})


FUNCTIONS = [(".text", "a", 0), (".text", "b", 0x40), (".text", "c", 0x80), (".init.text", "d", 0)]


def test_where_an_object_lies_in_the_kernel() -> None:
    symbols = {"a": [0x1000, 0x9000], "b": [0x1040], "c": [0x1080], "d": [0x500]}
    assert _placed("mm/a.c", FUNCTIONS, symbols) == {".text": 0x1000}


def test_other_code_than_the_kernels_is_an_error() -> None:
    with pytest.raises(InfrastructureError, match=r"mm/a.c: .* c\(\) is not where the kernel has it"):
        _placed("mm/a.c", FUNCTIONS, {"a": [0x1000], "b": [0x1040], "c": [0x1084]})
