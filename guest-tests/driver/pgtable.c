// SPDX-License-Identifier: GPL-2.0-only
/* Read the page table of a process as the SMMU reads it: raw descriptors. */
#include <linux/irqflags.h>
#include <linux/mm.h>
#include <linux/pgtable.h>

#include "driver.h"

static void found(struct sva_testdev_pte *query, int level, u64 desc, u32 shift)
{
	query->level = level;
	query->desc = desc;
	query->shift = shift;
}

/*
 * Folded levels are passed without a trace: their _none() and _leaf() are
 * constant, and the entry is looked at as the one of the level below.
 */
static void walk(struct mm_struct *mm, struct sva_testdev_pte *query)
{
	unsigned long addr = query->addr;
	pgd_t *pgdp = pgd_offset(mm, addr), pgd = READ_ONCE(*pgdp);
	p4d_t *p4dp, p4d;
	pud_t *pudp, pud;
	pmd_t *pmdp, pmd;

	if (pgd_none(pgd))
		return found(query, -1, pgd_val(pgd), PGDIR_SHIFT);

	p4dp = p4d_offset(pgdp, addr);
	p4d = READ_ONCE(*p4dp);
	if (p4d_none(p4d))
		return found(query, 0, p4d_val(p4d), P4D_SHIFT);

	pudp = pud_offset(p4dp, addr);
	pud = READ_ONCE(*pudp);
	if (!pud_present(pud) || pud_leaf(pud))
		return found(query, 1, pud_val(pud), PUD_SHIFT);

	pmdp = pmd_offset(pudp, addr);
	pmd = READ_ONCE(*pmdp);
	if (!pmd_present(pmd) || pmd_leaf(pmd))
		return found(query, 2, pmd_val(pmd), PMD_SHIFT);

	found(query, 3, pte_val(READ_ONCE(*pte_offset_kernel(&pmd, addr))),
	      PAGE_SHIFT);
}

/**
 * td_pgtable_walk - find the entry that maps an address
 * @mm: address space of the caller
 * @query: address in, entry out
 *
 * With mmap_lock held no mapping comes or goes, but a page table may still be
 * freed: by khugepaged, or by munmap() of another range. Interrupts are off for
 * the walk, as in mm/gup.c:gup_fast(), since tables are freed only after an RCU
 * grace period or an IPI to every CPU.
 */
void td_pgtable_walk(struct mm_struct *mm, struct sva_testdev_pte *query)
{
	unsigned long flags;

	mmap_read_lock(mm);
	local_irq_save(flags);
	walk(mm, query);
	local_irq_restore(flags);
	mmap_read_unlock(mm);
}
