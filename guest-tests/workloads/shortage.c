// SPDX-License-Identifier: GPL-2.0-or-later
/* A machine with little memory, made of one with more: the rest is put where reclaim does not look. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "area.h"
#include "compiler.h"
#include "ktap.h"
#include "shortage.h"

/* Put aside in pages that reclaim does not look at: of 2 MiB, which are not cleared before they are used. */
#define HUGE		(2UL << 20)
#define HUGE_2M		(21 << MAP_HUGE_SHIFT)
#define OVERCOMMIT	"/sys/kernel/mm/hugepages/hugepages-2048kB/nr_overcommit_hugepages"
#define LOCK_TRIES	8
#define SLACK		(64UL << 10)
#define RAGGED		(8UL << 20)	/* memory that may be in smaller pieces: locked, page by page */

/*
 * What the kernel keeps free, in KiB: its own choice for half a gigabyte. Huge pages
 * raise that, and memory in pieces does for a while, to more than is in use here.
 */
static struct setting {
	const char *file, *value;
	char before[32];
} settings[] = {
	{ "/proc/sys/vm/min_free_kbytes", "2884", "" },
	{ "/proc/sys/vm/watermark_boost_factor", "0", "" },
};

static struct {
	void *addr;
	size_t size;
} aside[32];

static unsigned int nr_aside;

/* Memory first: with the kernel's own reserve back there may not be enough for anything. */
static void end_shortage(void)
{
	size_t i;

	while (nr_aside--)
		munmap(aside[nr_aside].addr, aside[nr_aside].size);
	for (i = 0; i < ARRAY_SIZE(settings); i++)
		area_write_file(settings[i].file, settings[i].before);
}

static void lower_reserve(void)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(settings); i++) {
		struct setting *setting = &settings[i];
		FILE *in = fopen(setting->file, "r");

		if (!in || !fgets(setting->before, sizeof(setting->before), in))
			die_errno(setting->file);
		fclose(in);
	}
	atexit(end_shortage);
	for (i = 0; i < ARRAY_SIZE(settings); i++)
		if (!area_write_file(settings[i].file, settings[i].value))
			die_errno(settings[i].file);
}

/* Free pages above the mark at which reclaim begins, and those that CPUs have in hand, in bytes. */
static unsigned long memory_left(void)
{
	FILE *in = fopen("/proc/zoneinfo", "r");
	unsigned long left = 0, free = 0, low, in_hand;
	char line[128];

	while (in && fgets(line, sizeof(line), in)) {
		if (sscanf(line, " pages free %lu", &free) == 1)
			continue;
		if (sscanf(line, " low %lu", &low) == 1 && free > low)
			left += (free - low) * page_size;
		if (sscanf(line, " count: %lu", &in_hand) == 1)
			left += in_hand * page_size;
	}
	if (in)
		fclose(in);
	return left;
}

static bool put_aside(size_t size, int flags)
{
	void *addr;

	if (nr_aside == ARRAY_SIZE(aside))
		return false;
	addr = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | flags, -1, 0);
	if (addr == MAP_FAILED)
		return false;
	aside[nr_aside].addr = addr;
	aside[nr_aside++].size = size;
	if (madvise(addr, size, MADV_DONTFORK))
		die_errno("madvise(MADV_DONTFORK)");
	return true;
}

/* Reserved, never touched: in one piece, or in smaller ones. */
static void put_aside_huge(size_t wanted)
{
	unsigned long left = memory_left(), pages;
	char number[32];

	if (left < wanted + RAGGED + HUGE)
		return;
	snprintf(number, sizeof(number), "%lu", left / HUGE);
	if (!area_write_file(OVERCOMMIT, number))
		ktap_skip("the kernel has no hugetlb pages of 2 MiB");
	for (pages = (left - wanted - RAGGED) / HUGE; pages;) {
		if (!put_aside(pages * HUGE, MAP_SHARED | MAP_HUGETLB | HUGE_2M))
			pages /= 2;
		left = memory_left();
		if (left < wanted + RAGGED + HUGE)
			break;
		if (pages > (left - wanted - RAGGED) / HUGE)
			pages = (left - wanted - RAGGED) / HUGE;
	}
	if (!area_write_file(OVERCOMMIT, "0"))
		die_errno(OVERCOMMIT);
}

/*
 * Until so much is left. What others do not need goes to swap meanwhile, so it takes
 * more than one try. The end of this process, however it comes, gives it all back.
 */
unsigned long shortage_begin(size_t wanted)
{
	unsigned long left;
	int i;

	lower_reserve();
	if (!area_write_file("/proc/sys/vm/drop_caches", "3"))
		die_errno("/proc/sys/vm/drop_caches");
	put_aside_huge(wanted);
	for (i = 0; i < LOCK_TRIES; i++) {
		left = memory_left();
		if (left <= wanted + SLACK || !shortage_more((left - wanted) & -page_size))
			break;
	}
	return memory_left();
}

bool shortage_more(size_t size)
{
	return put_aside(size, MAP_PRIVATE | MAP_LOCKED | MAP_POPULATE);
}
