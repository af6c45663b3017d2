// SPDX-License-Identifier: GPL-2.0-or-later
/* Pages that the kernel moves, merges, splits and collapses. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
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
	char range[96];

	snprintf(range, sizeof(range), "%d,%#lx,%#lx", getpid(), (unsigned long)m->area,
		 (unsigned long)m->area + huge_size());
	if (!area_write_file("/sys/kernel/debug/split_huge_pages", range))
		die_errno("/sys/kernel/debug/split_huge_pages");
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
	touch(m->area, huge_size());
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

	thp_need();
	move_run(&move);
}
