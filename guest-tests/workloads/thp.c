// SPDX-License-Identifier: GPL-2.0-or-later
/* Transparent huge pages, and folios that a contiguous range of entries maps. */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "area.h"
#include "ktap.h"
#include "paths.h"
#include "thp.h"
#include "trace.h"
#include "upgrade.h"

#ifndef MADV_COLLAPSE		/* since Linux 6.1 */
#define MADV_COLLAPSE	25
#endif

#define COLLAPSE_TRIES	20
#define OFFSET		0x81008		/* somewhere in the middle */
#define SYSFS		"/sys/kernel/mm/transparent_hugepage/"

void thp_need_memory(void)
{
	if (access(SYSFS "enabled", F_OK))
		ktap_skip("the kernel has no transparent huge pages");
	if ((size_t)sysconf(_SC_AVPHYS_PAGES) * page_size < 2 * huge_size())
		ktap_skip("no memory for a transparent huge page of %zu MiB", huge_size() >> 20);
}

void thp_need(void)
{
	char enabled[64] = "";
	FILE *file;

	thp_need_memory();
	file = fopen(SYSFS "enabled", "r");
	if (!file || !fgets(enabled, sizeof(enabled), file))
		die_errno(SYSFS "enabled");
	fclose(file);
	if (strstr(enabled, "[never]"))
		ktap_skip("transparent huge pages are turned off");
}

void thp_touch_small(char *area)
{
	size_t i;

	if (prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0))
		die_errno("prctl(PR_SET_THP_DISABLE)");
	for (i = 0; i < huge_size(); i += page_size)
		WRITE_ONCE(area[i], 1);
	if (prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0))
		die_errno("prctl(PR_SET_THP_DISABLE)");
}

char *thp_map(int flags)
{
	char *page = area_map(huge_size(), PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1);

	if (madvise(page, huge_size(), MADV_HUGEPAGE))
		die_errno("madvise(MADV_HUGEPAGE)");
	return page;
}

void thp_prove(const char *page)
{
	struct sva_testdev_pte pte = dma_pte(page);

	ktap_point(pte_valid(&pte) && 1UL << pte.shift == huge_size(), PRECONDITION,
		   "one entry maps %zu MiB (descriptor %#llx, level %d)",
		   huge_size() >> 20, (unsigned long long)pte.desc, pte.level);
}

static char *written(struct subject *s)
{
	char *page = thp_map(MAP_PRIVATE);

	s->word = (uint64_t *)(page + OFFSET);
	WRITE_ONCE(*s->word, VALUE_OLD);
	s->value = VALUE_OLD;
	thp_prove(page);
	return page;
}

static void prepare_forked(struct subject *s)
{
	written(s);
	area_fork_and_reap();
}

/* The kernel may drop what it holds: clean, though its entry may be written. */
static void prepare_freed(struct subject *s)
{
	if (madvise(written(s), huge_size(), MADV_FREE))
		die_errno("madvise(MADV_FREE)");
}

static void prepare_shmem(struct subject *s)
{
	char *page;

	if (!area_write_file(SYSFS "shmem_enabled", "advise"))
		ktap_skip("the kernel has no huge pages of tmpfs");
	page = thp_map(MAP_SHARED);
	s->word = (uint64_t *)(page + OFFSET);
	s->value = READ_ONCE(*s->word);
	thp_prove(page);
}

static void run(const char * const *functions, void (*prepare)(struct subject *s))
{
	const struct upgrade upgrade = {
		.size = huge_size(),
		.prepare = prepare,
		.functions = functions,
	};
	struct subject s = { };

	upgrade_run(&upgrade, &s);
}

void thp_reuse(void)
{
	static const char * const functions[] = {
		"do_huge_pmd_wp_page", "ptep_set_access_flags", NULL
	};

	thp_need();
	run(functions, prepare_forked);
}

static const char * const clean_functions[] = {
	"huge_pmd_set_accessed", "ptep_set_access_flags", NULL
};

void thp_clean(void)
{
	thp_need();
	run(clean_functions, prepare_freed);
}

void shmem_thp_clean(void)
{
	thp_need_memory();
	run(clean_functions, prepare_shmem);
}

/*
 * Small pages become a huge one, which may be written: where the SMMU has a small
 * one's entry, which may not. (One page must be writable for the kernel to do it.)
 */
static void prepare_small(struct subject *s)
{
	char *area = area_map(huge_size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);

	s->word = (uint64_t *)(area + OFFSET);
	thp_touch_small(area);
	WRITE_ONCE(*s->word, VALUE_OLD);
	s->value = VALUE_OLD;
	area_fork_and_reap();
	WRITE_ONCE(*area, 2);
	area_drain(area);
}

static void collapse(struct subject *s)
{
	void *area = (void *)((uintptr_t)s->word & ~(huge_size() - 1));
	int i;

	for (i = 0; i < COLLAPSE_TRIES; i++) {
		if (!madvise(area, huge_size(), MADV_COLLAPSE))
			return;
		if (errno == EINVAL)
			ktap_skip("the kernel does not collapse when asked");
	}
	die_errno("madvise(MADV_COLLAPSE)");
}

void thp_collapse_upgrade(void)
{
	static const char * const functions[] = { "collapse_huge_page", NULL };
	const struct upgrade upgrade = {
		.size = huge_size(),
		.prepare = prepare_small,
		.act = collapse,
		.frame = FRAME_OTHER,
		.functions = functions,
	};
	struct subject s = { };

	thp_need_memory();
	upgrade_run(&upgrade, &s);
}

/*
 * A folio that a contiguous range maps. All of it is clean, then a CPU
 * writes one page and the hardware marks that entry alone: the kernel, which
 * looks at the range as a whole, must not take the others for dirty too.
 */
static const char * const contpte_functions[] = { "contpte_ptep_set_access_flags", NULL };

static void prepare_sibling(struct subject *s)
{
	struct sva_testdev_pte pte, sibling;
	size_t size = contiguous_size();
	char *folio, enabled[96];

	snprintf(enabled, sizeof(enabled), SYSFS "hugepages-%zukB/enabled", size >> 10);
	if (!area_write_file(enabled, "madvise"))
		ktap_skip("the kernel maps no folios of %zu KiB", size >> 10);
	if (trace_hits(contpte_functions[0]) == TRACE_INLINED)
		ktap_skip("the kernel maps folios page by page");
	folio = area_map(size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	if (madvise(folio, size, MADV_HUGEPAGE))
		die_errno("madvise(MADV_HUGEPAGE)");
	s->word = (uint64_t *)(folio + 9 * page_size + 8);
	WRITE_ONCE(*s->word, VALUE_OLD);
	s->value = VALUE_OLD;
	pte = dma_pte(s->word);
	ktap_point(pte.desc & DESC_CONTIGUOUS, PRECONDITION,
		   "a contiguous range maps the folio (descriptor %#llx)",
		   (unsigned long long)pte.desc);
	if (madvise(folio, size, MADV_FREE))
		die_errno("madvise(MADV_FREE)");
	WRITE_ONCE(*folio, 1);
	/* Read by a CPU: were it the device, the kernel would mark the entries as read, and raise them. */
	if (READ_ONCE(*s->word) != VALUE_OLD)
		die("the page holds %#llx", (unsigned long long)*s->word);
	pte = dma_pte(s->word);
	sibling = dma_pte(folio);
	if (pte_writable(&pte) && pte_writable(&sibling))
		ktap_skip("the CPU does not set dirty bits: the kernel raised the whole range");
	ktap_point(pte_read_only(&pte) && pte_writable(&sibling) && pte.desc & DESC_CONTIGUOUS,
		   PRECONDITION, "one page of the range is dirty, the others are clean (%#llx, %#llx)",
		   (unsigned long long)sibling.desc, (unsigned long long)pte.desc);
}

void contpte_sibling(void)
{
	static const struct upgrade upgrade = {
		.prepare = prepare_sibling,
		.functions = contpte_functions,
	};
	struct subject s = { };

	upgrade_run(&upgrade, &s);
}
