// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * More memory in use than there is: three processes, each bound to the device, use
 * half as much again as is left, and the kernel chooses what goes to swap. In one half
 * of each process's memory an engine reads all over what was written once; another
 * writes the other half anew in each round. (Memory is put aside first: to fill half a
 * gigabyte takes an emulated CPU longer than all paths together.)
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
#define LEFT		(320 * page_size)
#define UNIT		(64UL << 10)	/* a page of each size divides it */
#define PIECE		64		/* of a page: the rest is zero, so that swap takes little of what is left */
#define READS		24		/* of the engine that reads meanwhile, of each process */
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

static void count_dma(const struct sva_testdev_dma *dma, struct loss *loss)
{
	loss->failed += !dma_done(dma);
	loss->device_lost += dma->bad_count;
	loss->stalls += dma->stalls;
}

/* A piece of each page, unless the page was written before and its entry is stale. */
static void fill(char *area, size_t size, unsigned int round, struct loss *loss)
{
	char *page;

	for (page = area; page < area + size; page += page_size) {
		struct sva_testdev_dma dma;

		loss->stale += entry_is_stale(page);
		if (enough(loss))
			return;
		dma = dma_fill(page, PIECE, seed_of(round));
		count_dma(&dma, loss);
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
		count_dma(&dma, loss);
	}
}

/* What a CPU finds of what the device wrote: a word of each page. */
static void look(const char *area, size_t size, unsigned int round, struct loss *loss)
{
	const char *page;

	for (page = area; page < area + size; page += page_size)
		loss->lost += READ_ONCE(*(uint64_t *)page) != SVA_TESTDEV_PATTERN((uintptr_t)page, seed_of(round));
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

		random = random * 1664525 + 1013904223;
		page = reader->area + (random >> 8) % reader->pages * page_size;
		dma = dma_verify(page, PIECE, seed_of(0));
		count_dma(&dma, &reader->loss);
	}
	return NULL;
}

static struct loss use(size_t size)
{
	size_t half = size / 2;
	struct reader reader = { .pages = half / page_size };
	struct loss loss = { };
	unsigned int round;
	pthread_t thread;
	char *area;

	area = area_map(size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	madvise(area, size, MADV_NOHUGEPAGE);	/* not there: no huge pages */
	fill(area, half, 0, &loss);
	reader.area = area;
	if (pthread_create(&thread, NULL, reader_main, &reader))
		_exit(3);
	for (round = 1; round <= ROUNDS; round++) {
		fill(area + half, half, round, &loss);
		users_meet();
	}
	pthread_join(thread, NULL);
	loss_add(&loss, &reader.loss);
	verify(area + half, half, ROUNDS, &loss);
	if (!enough(&loss))	/* else the last round was not ended */
		look(area + half, half, ROUNDS, &loss);
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

/* All users have come to the end of a round; none goes on before the TLB was compared. */
static unsigned int sync_users(unsigned int *entries)
{
	struct audit audit;
	unsigned int stale;

	users_gather();
	stale = audit_settled(&audit);
	*entries += audit.all.entries;
	users_release();
	return stale;
}

void over_ram(void)
{
	unsigned int stale = 0, entries = 0, round;
	struct swap_counts before, after;
	struct sva_testdev_dma dma;
	struct window window = { .untraced = true };
	unsigned long left, size;
	struct loss loss;
	void *scratch;
	long over;

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
	for (round = 0; round < ROUNDS; round++)
		stale += sync_users(&entries);
	loss = users_end();
	stale += loss.stale;
	after = swap_counts();
	window_close(&window);
	after.out -= before.out;
	after.in -= before.in;

	ktap_point(after.out >= over && (after.in >= over / 2 || enough(&loss)), PRECONDITION,
		   "pages went to swap and came back: %ld out, %ld in, %ld are over what there is",
		   after.out, after.in, over);
	ktap_point(!loss.failed, PROGRESS, "%u accesses of the device failed", loss.failed);
	/* What a device finds by a stale entry is no news. */
	ktap_point((!loss.device_lost || stale) && !loss.lost, DATA,
		   "what the device wrote is there: %u words were not for the device, %u pages not for a CPU",
		   loss.device_lost, loss.lost);
	prove_no_evictions(&window);
	ktap_point(!stale, STALE,
		   "the IOTLB holds nothing that no table allows: %u that it does, %u compared", stale, entries);
	ktap_fact("memory_left_kib", "%lu", left >> 10);
	ktap_fact("memory_used_kib", "%lu", PROCESSES * size >> 10);
	tell_swap(&after, loss.stalls, &window);
	tell_window(&window, &dma);
}
