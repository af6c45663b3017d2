// SPDX-License-Identifier: GPL-2.0-or-later
/* Pages that one entry of the level above the last maps. */
#include <linux/mman.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "area.h"
#include "ktap.h"
#include "paths.h"
#include "upgrade.h"

#define OFFSET		0x81008		/* somewhere in the middle */

static unsigned int huge_shift(void)
{
	return __builtin_ctzl(huge_size());
}

static void write_and_fork(struct subject *s, char *page)
{
	struct sva_testdev_pte pte;

	s->word = (uint64_t *)(page + OFFSET);
	WRITE_ONCE(*s->word, VALUE_OLD);
	s->value = VALUE_OLD;
	pte = dma_pte(page);
	ktap_point(pte_valid(&pte) && pte.shift == huge_shift(), PRECONDITION,
		   "one entry maps %zu MiB (descriptor %#llx, level %d)",
		   huge_size() >> 20, (unsigned long long)pte.desc, pte.level);
	area_fork_and_reap();
}

static void prepare_hugetlb(struct subject *s)
{
	write_and_fork(s, area_map(huge_size(), PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB |
				   huge_shift() << MAP_HUGE_SHIFT, -1));
}

/* How many there are to be had; -1: the kernel has none of that size. */
static long free_huge_pages(void)
{
	char name[96];
	long count = -1;
	FILE *file;

	snprintf(name, sizeof(name),
		 "/sys/kernel/mm/hugepages/hugepages-%zukB/free_hugepages",
		 huge_size() >> 10);
	file = fopen(name, "r");
	if (file && fscanf(file, "%ld", &count) != 1)
		die("%s: no number", name);
	if (file)
		fclose(file);
	return count;
}

void hugetlb_reuse(void)
{
	static const char * const functions[] = {
		"hugetlb_wp", "ptep_set_access_flags", NULL
	};
	const struct upgrade upgrade = {
		.size = huge_size(),
		.prepare = prepare_hugetlb,
		.functions = functions,
	};
	struct subject s = { };
	long pages = free_huge_pages();

	if (pages < 0)
		ktap_skip("the kernel has no hugetlb pages of %zu MiB", huge_size() >> 20);
	if (!pages)
		ktap_skip("no memory for a hugetlb page of %zu MiB", huge_size() >> 20);
	upgrade_run(&upgrade, &s);
}

static void prepare_thp(struct subject *s)
{
	void *page = area_map(huge_size(), PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS, -1);

	if (madvise(page, huge_size(), MADV_HUGEPAGE))
		die_errno("madvise(MADV_HUGEPAGE)");
	write_and_fork(s, page);
}

void thp_reuse(void)
{
	static const char * const functions[] = {
		"do_huge_pmd_wp_page", "ptep_set_access_flags", NULL
	};
	const struct upgrade upgrade = {
		.size = huge_size(),
		.prepare = prepare_thp,
		.functions = functions,
	};
	struct subject s = { };

	if (access("/sys/kernel/mm/transparent_hugepage/enabled", F_OK))
		ktap_skip("the kernel has no transparent huge pages");
	if ((size_t)sysconf(_SC_AVPHYS_PAGES) * page_size < 2 * huge_size())
		ktap_skip("no memory for a transparent huge page of %zu MiB", huge_size() >> 20);
	upgrade_run(&upgrade, &s);
}
