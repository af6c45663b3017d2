// SPDX-License-Identifier: GPL-2.0-or-later
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "compiler.h"
#include "paths.h"
#include "table.h"
#include "upgrade.h"

/*
 * Paths that raise an entry have four forms: the device writes first or a CPU
 * does; the SMMU has cached the entry or has not. They are paths with a suffix.
 */
#define FORM_CPU_FIRST	(1u << 0)
#define FORM_UNCACHED	(1u << 1)
#define NR_FORMS	4

static const char * const suffixes[NR_FORMS] = {
	"", "-cpu-first", "-uncached", "-cpu-first-uncached"
};

static const struct path {
	const char *name;
	void (*run)(void);
	unsigned int forms;	/* bits that its forms may have, all combinations */
} paths[] = {
#define ONE	0
#define ALL	(FORM_CPU_FIRST | FORM_UNCACHED)
#define CACHED	FORM_UNCACHED
	{ "first-touch", first_touch, ONE },
	{ "zero-page-cow", zero_page_cow, CACHED },
	{ "anon-reuse", anon_reuse, ALL },
	{ "swapin-reuse", swapin_reuse, ALL },
	{ "shmem-clean", shmem_clean, ALL },
	{ "memfd-clean", memfd_clean, ALL },
	{ "file-mkwrite", file_mkwrite, ALL },
	{ "file-writeback", file_writeback, ALL },
	{ "madv-free", madv_free, ALL },
	{ "hugetlb-reuse", hugetlb_reuse, ALL },
	{ "hugetlb-shared-clean", hugetlb_shared_clean, ALL },
	{ "hugetlb-cont-pte", hugetlb_cont_pte, ALL },
	{ "hugetlb-cont-pmd", hugetlb_cont_pmd, ALL },
	{ "hugetlb-cont-pte-clean", hugetlb_cont_pte_clean, ALL },
	{ "hugetlb-cont-pmd-clean", hugetlb_cont_pmd_clean, ALL },
	{ "hugetlb-shared-table", hugetlb_shared_table, CACHED },
	{ "hugetlb-fork", hugetlb_fork, ONE },
	{ "thp-reuse", thp_reuse, ALL },
	{ "thp-clean", thp_clean, ALL },
	{ "shmem-thp-clean", shmem_thp_clean, ALL },
	{ "contpte-sibling", contpte_sibling, CACHED },
	{ "pfnmap", pfnmap, ALL },
	{ "pfnmap-pmd", pfnmap_pmd, ALL },
	{ "pfnmap-populate", pfnmap_populate, CACHED },
	{ "gup-write", gup_write, CACHED },
	{ "gup-proc-mem", gup_proc_mem, CACHED },
	{ "uffd-wp-clear", uffd_wp_clear, CACHED },
	{ "mprotect-upgrade", mprotect_upgrade, CACHED },
	{ "mprotect-upgrade-thp", mprotect_upgrade_thp, CACHED },
	{ "mprotect-upgrade-hugetlb", mprotect_upgrade_hugetlb, CACHED },
	{ "mremap-upgrade", mremap_upgrade, CACHED },
	{ "thp-collapse-upgrade", thp_collapse_upgrade, CACHED },
	{ "numa-hint", numa_hint, ONE },
	{ "access-flag", access_flag, CACHED },
	{ "fork-child-alive", fork_child_alive, ONE },
	{ "ksm-break", ksm_break, CACHED },
	{ "ksm-merge", ksm_merge, ONE },
	{ "ksm-unmerge", ksm_unmerge, CACHED },
	{ "soft-offline", soft_offline, ONE },
	{ "migrate-back", migrate_back, ONE },
	{ "compaction", compaction, ONE },
	{ "thp-split", thp_split, ONE },
	{ "thp-collapse", thp_collapse, ONE },
	{ "mremap", mremap_path, ONE },
	{ "uffd-move", uffd_move, ONE },
	{ "mprotect-readonly", mprotect_readonly, ONE },
	{ "mprotect-none", mprotect_none, ONE },
	{ "munmap", munmap_path, ONE },
	{ "dontneed", dontneed, ONE },
	{ "truncate", truncate_path, ONE },
	{ "punch-hole", punch_hole, ONE },
	{ "pageout", pageout, ONE },
	{ "exit", exit_path, ONE },
	{ "exit-last-thread", exit_last_thread, ONE },
	{ "kill", kill_path, ONE },
	{ "exec", exec_path, ONE },
	{ "unbind", unbind, ONE },
	{ "driver-removal", driver_removal, ONE },
	{ "reclaim", reclaim, ONE },
	{ "over-ram", over_ram, ONE },
	{ "writeback", writeback, ONE },
	{ "unmapped", unmapped, ONE },
	{ "prot-none", prot_none, ONE },
	{ "write-read-only", write_read_only, ONE },
	{ "guard-page", guard_page, ONE },
	{ "kernel-address", kernel_address, ONE },
	{ "non-canonical", non_canonical, ONE },
	{ "hmm-exclusive", hmm_exclusive, ONE },
	{ "hmm-exclusive-fork", hmm_exclusive_fork, ONE },
	{ "hmm-private", hmm_private, ONE },
	{ "hmm-first-notifier", hmm_first_notifier, ONE },
};

#define NR_PATHS	ARRAY_SIZE(paths)

static bool has_form(const struct path *path, unsigned int form)
{
	return !(form & ~path->forms);
}

void (*table_find(const char *name))(void)
{
	unsigned int form;
	size_t i;

	for (i = 0; i < NR_PATHS; i++) {
		size_t length = strlen(paths[i].name);

		if (strncmp(paths[i].name, name, length))
			continue;
		for (form = 0; form < NR_FORMS; form++)
			if (has_form(&paths[i], form) && !strcmp(name + length, suffixes[form])) {
				cpu_first = form & FORM_CPU_FIRST;
				never_cached = form & FORM_UNCACHED;
				return paths[i].run;
			}
	}
	return NULL;
}

void table_each(bool (*callback)(const char *name, void *data), void *data)
{
	unsigned int form;
	char name[64];
	size_t i;

	for (i = 0; i < NR_PATHS; i++)
		for (form = 0; form < NR_FORMS; form++) {
			if (!has_form(&paths[i], form))
				continue;
			snprintf(name, sizeof(name), "%s%s", paths[i].name, suffixes[form]);
			if (!callback(name, data))
				return;
		}
}
