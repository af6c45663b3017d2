// SPDX-License-Identifier: GPL-2.0-or-later
/* Pages of 2 MiB. */
#include <linux/mman.h>
#include <sys/mman.h>
#include <unistd.h>

#include "area.h"
#include "ktap.h"
#include "paths.h"
#include "upgrade.h"

#define HUGE_SHIFT	21
#define OFFSET		0x81008		/* somewhere in the middle */

static void write_and_fork(struct subject *s, char *page)
{
	struct sva_testdev_pte pte;

	s->word = (uint64_t *)(page + OFFSET);
	WRITE_ONCE(*s->word, VALUE_OLD);
	s->value = VALUE_OLD;
	pte = dma_pte(page);
	ktap_point(pte_valid(&pte) && pte.shift == HUGE_SHIFT, PRECONDITION,
		   "one entry maps 2 MiB (descriptor %#llx, level %d)",
		   (unsigned long long)pte.desc, pte.level);
	area_fork_and_reap();
}

static void prepare_hugetlb(struct subject *s)
{
	write_and_fork(s, area_map(HUGE_SIZE, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB |
				   MAP_HUGE_2MB, -1));
}

void hugetlb_reuse(void)
{
	static const char * const functions[] = {
		"hugetlb_wp", "ptep_set_access_flags", NULL
	};
	static const struct upgrade upgrade = {
		.size = HUGE_SIZE,
		.prepare = prepare_hugetlb,
		.functions = functions,
	};
	struct subject s = { };

	if (access("/sys/kernel/mm/hugepages/hugepages-2048kB", F_OK))
		ktap_skip("the kernel has no 2 MiB hugetlb pages");
	upgrade_run(&upgrade, &s);
}

static void prepare_thp(struct subject *s)
{
	void *page = area_map(HUGE_SIZE, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS, -1);

	if (madvise(page, HUGE_SIZE, MADV_HUGEPAGE))
		die_errno("madvise(MADV_HUGEPAGE)");
	write_and_fork(s, page);
}

void thp_reuse(void)
{
	static const char * const functions[] = {
		"do_huge_pmd_wp_page", "ptep_set_access_flags", NULL
	};
	static const struct upgrade upgrade = {
		.size = HUGE_SIZE,
		.prepare = prepare_thp,
		.functions = functions,
	};
	struct subject s = { };

	if (access("/sys/kernel/mm/transparent_hugepage/enabled", F_OK))
		ktap_skip("the kernel has no transparent huge pages");
	upgrade_run(&upgrade, &s);
}
