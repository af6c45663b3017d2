// SPDX-License-Identifier: GPL-2.0-or-later
/* Pages of the same content: the kernel makes them one, read-only, and two again when one is written. */
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#include "area.h"
#include "ktap.h"
#include "paths.h"
#include "upgrade.h"

#define SYSFS		"/sys/kernel/mm/ksm/"
#define MERGE_POLLS	2000
#define MERGE_POLL_NS	1000000

static uint64_t *twin;

static void set(const char *name, const char *value)
{
	if (!area_write_file(name, value))
		ktap_skip("the kernel does not merge pages (%s)", name);
}

static void stop_merging(void)
{
	area_write_file(SYSFS "run", "0");
}

static void map_twins(struct subject *s)
{
	char *pages = area_map(2 * page_size, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1);
	size_t i;

	for (i = 0; i < 2 * page_size / sizeof(uint64_t); i++)
		((uint64_t *)pages)[i] = VALUE_OLD + i % (page_size / sizeof(uint64_t));
	s->word = (uint64_t *)pages;
	twin = (uint64_t *)(pages + page_size);
	s->value = VALUE_OLD;
	ktap_point(area_drain(pages) && area_drain(twin), PRECONDITION,
		   "the pages are on their LRU list, in no CPU's batch");
}

static bool merged(const struct subject *s)
{
	struct sva_testdev_pte one = dma_pte(s->word), other = dma_pte(twin);

	return pte_pfn(&one) && pte_pfn(&one) == pte_pfn(&other);
}

/* The kernel's thread does it, within two of its rounds. */
static void merge(struct subject *s)
{
	const struct timespec poll = { .tv_nsec = MERGE_POLL_NS };
	int i;

	set(SYSFS "sleep_millisecs", "1");
	set(SYSFS "pages_to_scan", "1000");
	if (madvise(s->word, 2 * page_size, MADV_MERGEABLE))
		ktap_skip("the kernel does not merge pages");
	atexit(stop_merging);
	set(SYSFS "run", "1");
	for (i = 0; i < MERGE_POLLS && !merged(s); i++)
		nanosleep(&poll, NULL);
	stop_merging();
}

static void prove_apart(struct subject *s)
{
	ktap_point(READ_ONCE(*s->word) == (dma_done(&s->write) ? VALUE_DEVICE : VALUE_OLD), DATA,
		   "the page holds %#llx", (unsigned long long)READ_ONCE(*s->word));
	ktap_point(READ_ONCE(*twin) == VALUE_OLD, STALE,
		   "the other page holds %#llx, expected %#llx",
		   (unsigned long long)READ_ONCE(*twin), VALUE_OLD);
}

/* The device can write both pages; when they are one it must not, until it has its own again. */
void ksm_merge(void)
{
	static const char * const functions[] = { "try_to_merge_one_page", "wp_page_copy", NULL };
	struct sva_testdev_dma first;
	struct subject s = { };

	prove_faults_served();
	map_twins(&s);
	first = dma_write(s.word, VALUE_OLD);
	if (dma_done(&first))
		first = dma_write(twin, VALUE_OLD);
	window_open(&s.window, s.word, 2 * page_size);
	s.before = view_of(s.word);
	merge(&s);
	s.upgraded = view_of(s.word);
	s.audit = dma_audit();
	ktap_point(merged(&s), PRECONDITION, "the two pages are one (frame %#llx)",
		   (unsigned long long)pte_pfn(&s.upgraded.pte));
	s.write = dma_write(s.word, VALUE_DEVICE);
	window_close(&s.window);
	s.after = view_of(s.word);

	ktap_point(dma_done(&first), PRECONDITION, "device write before the merge %s",
		   dma_end(&first));
	prove_cached(s.before.iotlb, true, "before the merge");
	ktap_point(pte_read_only(&s.upgraded.pte), PRECONDITION,
		   "page table maps it read-only then (descriptor %#llx)",
		   (unsigned long long)s.upgraded.pte.desc);
	prove_functions(functions);
	prove_iotlb_within(&s.upgraded, "when the pages were one");
	ktap_point(dma_done(&s.write), PROGRESS, "device write %s after %u stalls (bound %u)",
		   dma_end(&s.write), s.write.stalls, dma_max_stalls);
	prove_apart(&s);
	prove_ending(&(struct ending){ &s.before, &s.after, &s.audit, &s.window, &s.write });
}

static void prepare_merged(struct subject *s)
{
	map_twins(s);
	merge(s);
	ktap_point(merged(s), PRECONDITION, "the two pages are one");
}

void ksm_break(void)
{
	static const char * const functions[] = { "wp_page_copy", NULL };
	static const struct upgrade upgrade = {
		.prepare = prepare_merged,
		.frame = FRAME_OTHER,
		.functions = functions,
	};
	struct subject s = { };

	upgrade_run(&upgrade, &s);
	prove_apart(&s);
}

static void unmerge(struct subject *s)
{
	if (madvise(s->word, 2 * page_size, MADV_UNMERGEABLE))
		die_errno("madvise(MADV_UNMERGEABLE)");
}

/* Two again, because they are asked to be: newer kernels leave the copies read-only. */
void ksm_unmerge(void)
{
	static const char * const functions[] = { "wp_page_copy", NULL };
	static const struct upgrade upgrade = {
		.prepare = prepare_merged,
		.act = unmerge,
		.lazy = true,
		.frame = FRAME_OTHER,
		.functions = functions,
	};
	struct subject s = { };

	upgrade_run(&upgrade, &s);
	prove_apart(&s);
}
