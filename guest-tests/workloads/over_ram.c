// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * More memory in use than there is: three processes, each bound to the device, use
 * half as much again as is left, and the kernel chooses what goes to swap. In one half
 * of each process's memory an engine reads all over what was written once; another
 * writes the other half anew in each round. (Memory is put aside first: to fill half a
 * gigabyte takes an emulated CPU longer than all paths together.) The kernel finds what
 * they need in what other processes do not use, as much as there is of that: after each
 * round more is put aside, until the device has met enough of its own pages in swap.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "area.h"
#include "ktap.h"
#include "paths.h"
#include "shortage.h"
#include "swap.h"
#include "upgrade.h"
#include "users.h"

#define PROCESSES	3
#define ROUNDS		2
#define MOST_ROUNDS	12
#define LEFT		(320 * page_size)
#define UNIT		(64UL << 10)	/* a page of each size divides it */
#define PIECE		64		/* of a page: the rest is zero, so that swap takes little of what is left */
#define READS		48		/* of the engine that reads meanwhile, of each process and round */
#define VERIFY_EACH	16		/* pages, in the end, by the device; all by a CPU */

#define AUDITS		5		/* what is still there after so many is not on its way out */
#define AUDIT_WAIT_NS	10000000

static uint64_t seed_of(unsigned int round)
{
	return 0x5eed + round;
}

/* A stale entry is left alone: what the device writes by it may be anybody's by now. */
static bool enough(const struct loss *loss)
{
	return loss->failed >= USERS_ENOUGH || loss->stale;
}

/* The page has gone to swap, and the IOTLB still leads to where it was: for good, not on its way out. */
static bool entry_is_stale(const char *page)
{
	const struct timespec wait = { .tv_nsec = AUDIT_WAIT_NS };
	int i;

	for (i = 0; i < AUDITS; i++) {
		if (!area_swapped(page) || !dma_probe(page))
			return false;
		nanosleep(&wait, NULL);
	}
	return true;
}

/* `swapped`: the page was in swap before. */
static void count_dma(const struct sva_testdev_dma *dma, bool swapped, struct loss *loss)
{
	loss->failed += !dma_done(dma);
	loss->device_lost += dma->bad_count;
	loss->stalls += dma->stalls;
	loss->returned += swapped && dma_done(dma) && dma->stalls;
}

/* A piece of each page, unless the page was written before and its entry is stale. */
static void fill(char *area, size_t size, unsigned int round, struct loss *loss)
{
	char *page;

	for (page = area; page < area + size; page += page_size) {
		bool swapped = area_swapped(page);
		struct sva_testdev_dma dma;

		loss->stale += swapped && entry_is_stale(page);
		if (enough(loss))
			return;
		dma = dma_fill(page, PIECE, seed_of(round));
		count_dma(&dma, swapped, loss);
	}
}

static void verify(const char *area, size_t size, unsigned int round, struct loss *loss)
{
	const char *page;

	for (page = area; page < area + size; page += VERIFY_EACH * page_size) {
		struct sva_testdev_dma dma;

		loss->stale += entry_is_stale(page);
		if (enough(loss))
			return;
		dma = dma_verify(page, PIECE, seed_of(round));
		count_dma(&dma, false, loss);	/* the rounds have ended */
	}
}

/* What a CPU finds of what the device wrote: a word of each page. */
static void look(const char *area, size_t size, unsigned int round, struct loss *loss)
{
	const char *page;

	for (page = area; page < area + size; page += page_size)
		loss->lost += READ_ONCE(*(uint64_t *)page) != SVA_TESTDEV_PATTERN((uintptr_t)page, seed_of(round));
}

static unsigned int pages_in_swap(const char *area, size_t size)
{
	unsigned int number = 0;
	const char *page;

	for (page = area; page < area + size; page += page_size)
		number += area_swapped(page);
	return number;
}

/* Another engine of the same process: it reads all over what was written once. */
struct reader {
	const char *area;
	size_t pages;
	struct loss loss;
};

static void *reader_main(void *arg)
{
	struct reader *reader = arg;
	uint32_t random = getpid();
	int i;

	for (i = 0; i < READS && !reader->loss.failed; i++) {
		const char *page;
		struct sva_testdev_dma dma;
		bool swapped;

		random = random * 1664525 + 1013904223;
		page = reader->area + (random >> 8) % reader->pages * page_size;
		swapped = area_swapped(page);
		dma = dma_verify(page, PIECE, seed_of(0));
		count_dma(&dma, swapped, &reader->loss);
	}
	return NULL;
}

static struct loss use(size_t size)
{
	size_t half = size / 2;
	struct reader reader = { .pages = half / page_size };
	struct swapped swapped = { };
	struct loss loss = { };
	unsigned int round = 0;
	pthread_t thread;
	char *area;

	area = area_map(size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	madvise(area, size, MADV_NOHUGEPAGE);	/* not there: no huge pages */
	fill(area, half, 0, &loss);
	reader.area = area;
	do {
		if (pthread_create(&thread, NULL, reader_main, &reader))
			_exit(3);
		fill(area + half, half, ++round, &loss);
		pthread_join(thread, NULL);
		swapped.returned = loss.returned + reader.loss.returned;
		swapped.now = pages_in_swap(area, size);
		swapped.enough = enough(&loss);
	} while (users_meet(&swapped));
	loss_add(&loss, &reader.loss);
	verify(area + half, half, round, &loss);
	if (!enough(&loss))	/* else the last round was not ended */
		look(area + half, half, round, &loss);
	look(area, half, 0, &loss);
	return loss;
}

/* The kernel goes on reclaiming: what is between a page table and its invalidation is gone a little later. */
static unsigned int audit_settled(struct audit *audit)
{
	const struct timespec wait = { .tv_nsec = AUDIT_WAIT_NS };
	unsigned int stale = 0, i;

	for (i = 0; i < AUDITS; i++) {
		*audit = dma_audit();
		stale = audit->all.permissive + audit->all.wrong_page + audit->all.unmapped;
		if (!stale)
			break;
		nanosleep(&wait, NULL);
	}
	return stale;
}

struct rounds {
	unsigned int number, entries;
	struct swapped swapped;
};

/*
 * All users have come to the end of a round: some of their pages, which the device has
 * just written, have to go. None goes on before the TLB was compared.
 */
static unsigned int run_rounds(unsigned int over, struct rounds *rounds)
{
	unsigned int stale = 0;
	bool more;

	do {
		struct audit audit;

		rounds->swapped = users_gather();
		more = ++rounds->number < ROUNDS ||
		       (rounds->swapped.returned < over / 4 && !rounds->swapped.enough &&
			rounds->number < MOST_ROUNDS);
		if (more && rounds->swapped.now < over)
			shortage_more((over - rounds->swapped.now) * page_size);
		stale += audit_settled(&audit);
		rounds->entries += audit.all.entries;
		users_release(more);
	} while (more);
	return stale;
}

void over_ram(void)
{
	struct rounds rounds = { };
	struct swap_counts before, after;
	struct sva_testdev_dma dma;
	struct window window = { .untraced = true };
	unsigned int stale, over;
	unsigned long left, size;
	struct loss loss;
	void *scratch;

	if (page_size != 4096)
		ktap_skip("with larger pages what the kernel keeps free would be all there is");
	swap_begin();
	prove_faults_served();
	scratch = area_map(page_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	dma = dma_write(scratch, 1);
	/* Less than LEFT: something else took it meanwhile, and can be made to give it back. */
	left = shortage_begin(LEFT);
	if (left < LEFT)
		left = LEFT;
	size = (left / 2 * 3 / PROCESSES + 2 * UNIT) & -(2 * UNIT);
	over = (PROCESSES * size - left) / page_size;
	window_open(&window, scratch, page_size);
	before = swap_counts();
	users_start(PROCESSES, use, size);
	stale = run_rounds(over, &rounds);
	loss = users_end();
	stale += loss.stale;
	after = swap_counts();
	window_close(&window);
	after.out -= before.out;
	after.in -= before.in;

	ktap_point(after.out >= over && (rounds.swapped.returned >= over / 4 || enough(&loss)), PRECONDITION,
		   "the device's pages went to swap and came back: %u did in %u rounds, %u are over what there is",
		   rounds.swapped.returned, rounds.number, over);
	ktap_point(!loss.failed, PROGRESS, "%u accesses of the device failed", loss.failed);
	/* What a device finds by a stale entry is no news. */
	ktap_point((!loss.device_lost || stale) && !loss.lost, DATA,
		   "what the device wrote is there: %u words were not for the device, %u pages not for a CPU",
		   loss.device_lost, loss.lost);
	prove_no_evictions(&window);
	ktap_point(!stale, STALE,
		   "the IOTLB holds nothing that no table allows: %u that it does, %u compared",
		   stale, rounds.entries);
	ktap_fact("memory_left_kib", "%lu", left >> 10);
	ktap_fact("memory_used_kib", "%lu", PROCESSES * size >> 10);
	tell_swap(&after, loss.stalls, &window);
	tell_window(&window, &dma);
}
