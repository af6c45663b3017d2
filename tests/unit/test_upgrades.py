# SPDX-License-Identifier: GPL-2.0-or-later
"""The scan of a kernel's source for functions that raise a page-table entry, on made-up trees."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.coverage import Kind, Scan
from harness.sources import upgrades

PGTABLE = """
#define PTE_RDONLY (1 << 7)
static inline pte_t pte_mkdirty(pte_t pte)
{
	if (pte_write(pte))
		pte = clear_pte_bit(pte, __pgprot(PTE_RDONLY));
	return pte;
}
static inline pte_t pte_wrprotect(pte_t pte)
{
	pte = pte_mkdirty(pte);
	return set_pte_bit(pte, __pgprot(PTE_RDONLY));
}
static inline int pte_rdonly(pte_t pte) { return !!(pte_val(pte) & PTE_RDONLY); }
#define pmd_mkdirty(pmd) pte_pmd(pte_mkdirty(pmd_pte(pmd)))
extern pte_t pte_mkdirty_later(pte_t pte);
"""


def scan(root: Path, files: dict[str, str]) -> Scan:
    for name, text in {"arch/arm64/include/asm/pgtable.h": PGTABLE, **files}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return upgrades.scan(root)


def found(scanned: Scan) -> dict[str, Kind]:
    return {u.name: u.kind for u in scanned.upgraders}


def test_raisers_are_found_from_the_bit_on(tmp_path: Path) -> None:
    mm = "static inline pte_t maybe_mkdirty(pte_t pte, int w)\n{\n\treturn w ? pte_mkdirty(pte) : pte;\n}\n"
    scanned = scan(tmp_path, {"include/linux/mm.h": mm})
    assert scanned.raisers == ("maybe_mkdirty", "pmd_mkdirty", "pte_mkdirty")
    assert not scanned.upgraders
    assert not scanned.unseen


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        ("ptep_set_access_flags(vma, addr, pte, entry, 1);", Kind.FLAGS),
        ("ptep_set_access_flags(vma, addr, pte, entry,\n\t\tflags & FAULT_FLAG_WRITE);", Kind.FLAGS),
        ("ptep_set_access_flags(vma, addr, pte, entry, 0);", Kind.ACCESS),
        ("huge_ptep_set_access_flags(vma, addr, pte, entry, 1);", Kind.FLAGS),
        ("__ptep_set_access_flags_anysz(vma, addr, pte, entry, dirty, PAGE_SIZE);", Kind.FLAGS),
        ("__ptep_set_access_flags_anysz(vma, addr, pte, entry, 0, PAGE_SIZE);", Kind.ACCESS),
        ("set_pte_at(mm, addr, pte, pte_mkdirty(entry));", Kind.RAISE),
        ("set_pmd_at(mm, addr, pmd, pmd_mkdirty(entry));", Kind.RAISE),
        ("set_pte_at(mm, addr, pte, pte_wrprotect(entry));", None),
        ("/* pte_mkdirty(entry) */", None),
        ('pr_debug("pte_mkdirty(entry)");', None),
    ],
)
def test_kinds(tmp_path: Path, call: str, kind: Kind | None) -> None:
    scanned = scan(tmp_path, {"mm/memory.c": f"static void change(struct vm_fault *vmf)\n{{\n\t{call}\n}}\n"})
    assert found(scanned).get("change") == kind


def test_a_reader_that_adds_up_dirty_bits_changes_nothing(tmp_path: Path) -> None:
    text = "pte_t huge_ptep_get(pte_t *ptep)\n{\n\treturn pte_mkdirty(*ptep);\n}\n"
    user = "void use(pte_t *ptep)\n{\n\thuge_ptep_get(ptep);\n}\n"
    assert not found(scan(tmp_path, {"arch/arm64/mm/hugetlbpage.c": text, "mm/hugetlb.c": user}))


def test_what_clears_the_bit_in_place(tmp_path: Path) -> None:
    text = "int ptep_flags(pte_t *ptep, pte_t entry)\n{\n\tpte_val(entry) ^= PTE_RDONLY;\n\treturn 1;\n}\n"
    assert found(scan(tmp_path, {"arch/arm64/mm/fault.c": text})) == {"ptep_flags": Kind.BIT}


def test_both_branches_of_a_condition_are_read(tmp_path: Path) -> None:
    text = """
#ifdef CONFIG_A
static __always_inline void first(pte_t *p) { set_pte(p, pte_mkdirty(*p)); }
#else
static void __must_check *second(pte_t *p)
{
#ifdef CONFIG_B
	set_pte(p, pte_mkdirty(*p));
#endif
	return p;
}
#endif
"""
    assert set(found(scan(tmp_path, {"mm/memory.c": text}))) == {"first", "second"}


def test_lines_of_functions_and_calls(tmp_path: Path) -> None:
    text = "\n\nstatic void change(pte_t *p)\n{\n\n\tset_pte(p, pte_mkdirty(*p));\n}\n"
    (one,) = scan(tmp_path, {"mm/memory.c": text}).upgraders
    assert (one.file, one.line, one.end) == ("mm/memory.c", 3, 7)
    assert [(c.callee, c.line) for c in one.calls] == [("pte_mkdirty", 6)]


def test_a_call_outside_of_any_function_is_told(tmp_path: Path) -> None:
    scanned = scan(tmp_path, {"mm/odd.c": "DEFINE_ODD(set_pte(p, pte_mkdirty(*p)))\n"})
    assert scanned.unseen == ("mm/odd.c:1: pte_mkdirty",)


def test_page_tables_of_virtual_machines_are_left_out(tmp_path: Path) -> None:
    text = "static void change(pte_t *p)\n{\n\tset_pte(p, pte_mkdirty(*p));\n}\n"
    assert not found(scan(tmp_path, {"arch/arm64/kvm/mmu.c": text}))


def test_a_changed_file_stands_for_the_trees_own(tmp_path: Path) -> None:
    tree, changed = tmp_path / "tree", tmp_path / "changed"
    scan(tree, {"mm/memory.c": "static void old(pte_t *p)\n{\n\tset_pte(p, pte_mkdirty(*p));\n}\n"})
    (changed / "mm").mkdir(parents=True)
    (changed / "mm/memory.c").write_text("static void fresh(pte_t *p)\n{\n\tset_pte(p, pte_mkdirty(*p));\n}\n")
    assert set(found(upgrades.scan(tree, changed))) == {"fresh"}
