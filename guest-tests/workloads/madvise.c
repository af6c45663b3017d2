// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A private page that the kernel may drop is clean, though its entry may be
 * written. A CPU without hardware dirty bits faults to write it. One with them
 * clears AP[2] by itself: no kernel function runs, nobody is told, and the
 * SMMU's read-only entry is stale by right. The device's own fault must mend it.
 */
#include <sys/mman.h>

#include "area.h"
#include "ktap.h"
#include "paths.h"
#include "upgrade.h"

static const char * const functions[] = { "ptep_set_access_flags", NULL };

static void prepare(struct subject *s)
{
	void *page = area_map(page_size, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS, -1);

	s->word = page;
	WRITE_ONCE(*s->word, VALUE_OLD);
	s->value = VALUE_OLD;
	ktap_point(area_drain(page), PRECONDITION,
		   "the page is on its LRU list, in no CPU's batch");
	if (madvise(page, page_size, MADV_FREE))
		die_errno("madvise(MADV_FREE)");
}

void madv_free(void)
{
	static const struct upgrade upgrade = {
		.prepare = prepare,
		.functions = functions,
	};
	struct subject s = { };

	upgrade_run(&upgrade, &s);
}
