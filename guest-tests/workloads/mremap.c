// SPDX-License-Identifier: GPL-2.0-or-later
/* Entries that go to another address, page and all. */
#include <sys/mman.h>

#include "area.h"
#include "ktap.h"
#include "paths.h"
#include "taken.h"
#include "upgrade.h"

static const char * const functions[] = { "move_page_tables", NULL };

/* The same page at another address: the old one must not lead there any more. */
static uint64_t *moved_to;

static void move_away(struct taken *t)
{
	moved_to = area_map(page_size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	if (mremap(t->word, page_size, page_size, MREMAP_MAYMOVE | MREMAP_FIXED, moved_to) != moved_to)
		die_errno("mremap");
}

void mremap_path(void)
{
	static const struct taking taking = {
		.act = move_away,
		.functions = functions,
	};
	struct sva_testdev_dma write;
	struct taken t = { };
	struct view there;

	taken_run(&taking, &t);
	taken_prove_witness(&t, VALUE_OLD);
	there = view_of(moved_to);
	ktap_point(pte_pfn(&there.pte) == pte_pfn(&t.before.pte), PRECONDITION,
		   "the page itself is the same (frame %#llx)",
		   (unsigned long long)pte_pfn(&there.pte));
	write = dma_write(moved_to, VALUE_CPU);
	ktap_point(dma_done(&write), PROGRESS,
		   "the device can write at the new address: write %s after %u stalls",
		   dma_end(&write), write.stalls);
	taken_prove_witness(&t, dma_done(&write) ? VALUE_CPU : VALUE_OLD);
	prove_audit_at_end();
}

/*
 * The other way about: a page that may be written comes to an address whose entry
 * is read-only, and which leads to another page.
 */
static uint64_t *source;

static void prepare_destination(struct subject *s)
{
	source = area_map(page_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	s->word = area_map(page_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	WRITE_ONCE(*s->word, VALUE_OLD);
	s->value = VALUE_OLD;
	area_fork_and_reap();
	WRITE_ONCE(*source, VALUE_CPU);
}

static void move_there(struct subject *s)
{
	if (mremap(source, page_size, page_size, MREMAP_MAYMOVE | MREMAP_FIXED, s->word) != s->word)
		die_errno("mremap");
	s->value = VALUE_CPU;
}

void mremap_upgrade(void)
{
	static const struct upgrade upgrade = {
		.prepare = prepare_destination,
		.act = move_there,
		.frame = FRAME_OTHER,
		.functions = functions,
	};
	struct subject s = { };

	upgrade_run(&upgrade, &s);
}
