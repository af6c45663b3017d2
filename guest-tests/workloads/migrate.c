// SPDX-License-Identifier: GPL-2.0-or-later
/* Pages that the kernel moves, merges, splits and collapses. */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "area.h"
#include "ktap.h"
#include "move.h"
#include "paths.h"
#include "thp.h"

#ifndef MADV_SOFT_OFFLINE
#define MADV_SOFT_OFFLINE	101
#endif
#ifndef MADV_COLLAPSE		/* since Linux 6.1 */
#define MADV_COLLAPSE		25
#endif

#define TRIES	20

static void touch(char *area, size_t size)
{
	size_t i;

	for (i = 0; i < size; i += page_size)
		WRITE_ONCE(area[i], 1);
}

static void prepare_page(struct moved *m)
{
	m->area = area_map(page_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	touch(m->area, page_size);
	ktap_point(area_drain(m->area), PRECONDITION,
		   "the page is on its LRU list, in no CPU's batch");
}

/*
 * Take the frame out of use: its content moves to another one. A fault that is
 * being served refers to the page for a moment, and that makes the kernel give up.
 */
static void offline(struct moved *m)
{
	int i;

	for (i = 0; i < TRIES; i++) {
		if (!madvise(m->area, page_size, MADV_SOFT_OFFLINE))
			return;
		if (errno == EINVAL || errno == EPERM || errno == EOPNOTSUPP)
			ktap_skip("the kernel takes no page out of use (soft offline)");
	}
	die_errno("madvise(MADV_SOFT_OFFLINE)");
}

static const char * const migrate_functions[] = {
	"try_to_migrate", "migrate_pages", NULL
};

void soft_offline(void)
{
	static const struct move move = {
		.to = OTHER_FRAME,
		.prepare = prepare_page,
		.act = offline,
		.functions = migrate_functions,
	};

	move_run(&move);
}

/*
 * A page that somebody else refers to cannot move: the kernel takes it out of the
 * page table, finds that out, and puts it back.
 */
static void prepare_pinned(struct moved *m)
{
	struct iovec page = { .iov_len = 1 };
	int ends[2];

	prepare_page(m);
	page.iov_base = m->area;
	if (pipe(ends) || vmsplice(ends[1], &page, 1, 0) != 1)
		die_errno("vmsplice");
}

static void offline_in_vain(struct moved *m)
{
	if (!madvise(m->area, page_size, MADV_SOFT_OFFLINE))
		die("a page that a pipe refers to was taken out of use");
	if (errno == EINVAL || errno == EPERM || errno == EOPNOTSUPP)
		ktap_skip("the kernel takes no page out of use (soft offline)");
}

void migrate_back(void)
{
	static const char * const functions[] = { "try_to_migrate", NULL };
	static const struct move move = {
		.to = SAME_FRAME,
		.prepare = prepare_pinned,
		.act = offline_in_vain,
		.functions = functions,
	};

	move_run(&move);
}

/*
 * Compaction fills holes near the end of memory with pages from its beginning, but
 * leaves alone what is free in blocks. So there are blocks of which one page each
 * is in use, some from before the area and some from after it, as nobody knows at
 * which end the kernel begins. (A CPU keeps what it frees on lists of its own, until
 * they are too long.)
 */
#define AREA_PAGES	256
#define BLOCKS		4		/* before, and after */
#define LISTS		"/proc/sys/vm/percpu_pagelist_high_fraction"

static void end_short_lists(void)
{
	area_write_file(LISTS, "0");
}

static void split_range(const char *start, size_t size)
{
	char range[96];

	snprintf(range, sizeof(range), "%d,%#lx,%#lx", getpid(), (unsigned long)start,
		 (unsigned long)start + size);
	if (!area_write_file("/sys/kernel/debug/split_huge_pages", range))
		die_errno("/sys/kernel/debug/split_huge_pages");
}

static char *map_block(void)
{
	char *block = thp_map(MAP_PRIVATE);

	WRITE_ONCE(*block, 1);
	return block;
}

static void leave_one_page(char *block)
{
	split_range(block, huge_size());
	if (madvise(block + page_size, huge_size() - page_size, MADV_DONTNEED))
		die_errno("madvise(MADV_DONTNEED)");
}

static void prepare_holes(struct moved *m)
{
	size_t size = AREA_PAGES * page_size;
	char *blocks[2 * BLOCKS];
	int i;

	for (i = 0; i < BLOCKS; i++)
		blocks[i] = map_block();
	m->area = area_map(size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	touch(m->area, size);
	for (; i < 2 * BLOCKS; i++)
		blocks[i] = map_block();
	ktap_point(area_drain(m->area), PRECONDITION,
		   "the page is on its LRU list, in no CPU's batch");
	atexit(end_short_lists);
	if (!area_write_file(LISTS, "1000000"))
		die_errno(LISTS);
	for (i = 0; i < 2 * BLOCKS; i++)
		leave_one_page(blocks[i]);
}

/* Which pages it takes, and when it has had enough, is the kernel's choice: one that moved is looked at. */
static bool find_moved(struct moved *m, const struct view *before)
{
	struct sva_testdev_pte pte;
	char *page = m->area;
	int i;

	for (i = 0; i < AREA_PAGES; i++, page += page_size) {
		pte = dma_pte(page);
		if (!pte_pfn(&pte) || pte_pfn(&pte) == pte_pfn(&before[i].pte))
			continue;
		m->word = (uint64_t *)page;
		m->before = before[i];
		return true;
	}
	return false;
}

static void compact(struct moved *m)
{
	struct view *before = area_apart(AREA_PAGES * sizeof(*before));
	int i;

	for (i = 0; i < AREA_PAGES; i++)
		before[i] = view_of(m->area + i * page_size);
	for (i = 0; i < TRIES && !find_moved(m, before); i++)
		if (!area_write_file("/proc/sys/vm/compact_memory", "1"))
			ktap_skip("the kernel has no compaction");
}

void compaction(void)
{
	static const char * const functions[] = { "compact_zone", NULL };
	const struct move move = {
		.size = AREA_PAGES * page_size,
		.to = OTHER_FRAME,
		.prepare = prepare_holes,
		.act = compact,
		.functions = functions,
	};

	if (page_size != 4096)
		ktap_skip("blocks of pages are too large here to make holes in several");
	thp_need();
	move_run(&move);
}

/* A folio split into pages, as reclaim does: unmapped, and mapped again. */
static void prepare_thp(struct moved *m)
{
	m->area = thp_map(MAP_PRIVATE);
	touch(m->area, huge_size());
	thp_prove(m->area);
	area_drain(m->area);
}

static void split(struct moved *m)
{
	split_range(m->area, huge_size());
}

void thp_split(void)
{
	static const char * const functions[] = { "__split_huge_pmd", "split_huge_pmd_locked", "unmap_folio", NULL };
	const struct move move = {
		.size = huge_size(),
		.to = OTHER_LEVEL,
		.prepare = prepare_thp,
		.act = split,
		.functions = functions,
	};

	thp_need();
	move_run(&move);
}

static void prepare_small(struct moved *m)
{
	m->area = area_map(huge_size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	thp_touch_small(m->area);
	area_drain(m->area);
}

static void collapse(struct moved *m)
{
	int i;

	for (i = 0; i < TRIES; i++) {
		if (!madvise(m->area, huge_size(), MADV_COLLAPSE))
			return;
		if (errno == EINVAL)
			ktap_skip("the kernel does not collapse when asked");
	}
	die_errno("madvise(MADV_COLLAPSE)");
}

void thp_collapse(void)
{
	static const char * const functions[] = { "collapse_huge_page", NULL };
	const struct move move = {
		.size = huge_size(),
		.to = OTHER_LEVEL,
		.prepare = prepare_small,
		.act = collapse,
		.functions = functions,
	};

	thp_need_memory();
	move_run(&move);
}
