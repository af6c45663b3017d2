/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Kernel functions that are probed; for trace.c alone. */
#ifndef PROBES_H
#define PROBES_H

#include <stdbool.h>

#include "compiler.h"

enum scope {
	BY_TASK,	/* counted for the process and the fault workers */
	BY_ADDRESS,	/* argument address=, somewhere in the range */
	BY_RANGE,	/* arguments start= and end=, touching the range */
};

struct probe {
	const char *name;
	const char *symbols[4];	/* the first that exists, over the releases */
	const char *arguments;
	enum scope scope;
	bool set, notrace;
	int hits, elsewhere;
};

#define VMA_ADDRESS	" address=%x1"

static struct probe probes[] = {
	{
		.name = "notifier",
		.symbols = {
			"arm_smmu_mm_arch_invalidate_secondary_tlbs",
			"arm_smmu_mm_invalidate_range",
		},
		.arguments = " start=%x2 end=%x3",
		.scope = BY_RANGE,
	}, {
		.name = "ptep_set_access_flags",
		.symbols = {
			"ptep_set_access_flags",
			"__ptep_set_access_flags",
			"__ptep_set_access_flags_anysz",
		},
		.arguments = VMA_ADDRESS,
		.scope = BY_ADDRESS,
	}, {
		.name = "fault_handler",	/* of a device's fault */
		.symbols = { "iommu_sva_handle_iopf", "iopf_handle_group" },
	},
	{ .name = "do_wp_page" },
	{ .name = "wp_page_reuse" },
	{ .name = "wp_page_copy" },
	{ .name = "do_anonymous_page" },
	{ .name = "do_page_mkwrite" },
	{ .name = "ext4_page_mkwrite" },
	{ .name = "hugetlb_wp" },
	{ .name = "do_huge_pmd_wp_page" },
	{ .name = "folio_mkclean" },
	{ .name = "change_protection" },
	{ .name = "change_huge_pmd" },
	{ .name = "hugetlb_change_protection" },
	{ .name = "follow_page_pte" },
	{ .name = "follow_page_mask" },
	{ .name = "unmap_vmas" },
	{ .name = "zap_page_range_single" },
	{ .name = "zap_vma_range_batched" },
	{ .name = "unmap_mapping_range" },
	{ .name = "huge_pmd_set_accessed" },
	{ .name = "huge_ptep_set_access_flags" },
	{ .name = "contpte_ptep_set_access_flags" },
	{ .name = "try_to_migrate" },
	{ .name = "try_to_unmap" },
	{ .name = "migrate_pages" },
	{ .name = "compact_zone" },
	{ .name = "change_prot_numa" },
	{ .name = "__split_huge_pmd" },
	{ .name = "split_huge_pmd_locked" },
	{ .name = "unmap_folio" },
	{ .name = "collapse_huge_page" },
	{ .name = "try_to_merge_one_page" },
	{ .name = "move_page_tables" },
	{ .name = "move_pages" },
	{ .name = "copy_hugetlb_page_range" },
	{ .name = "make_device_exclusive_range" },
	{ .name = "make_device_exclusive" },
	{ .name = "migrate_vma_setup" },
};

#define NR_PROBES	ARRAY_SIZE(probes)

#endif
