// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * To learn which node uses a page the kernel takes it out of the page table for a
 * while (NUMA hint), and gives it back to whoever faults. One node is enough for
 * that; a process of one thread, whose pages are on its own node, is left alone.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "area.h"
#include "ktap.h"
#include "paths.h"
#include "taken.h"

#define BALANCING	"/proc/sys/kernel/numa_balancing"
#define TUNING		"/sys/kernel/debug/sched/numa_balancing/"
#define POLL_NS		2000000
#define POLLS		5000	/* the kernel waits for a second of CPU time before it looks at a process */

static atomic_bool hinted;

/* The kernel goes through the address space on the time of a thread that runs. */
static void *run_on(void *arg)
{
	while (!hinted)
		;
	return arg;
}

/* It need not be a second, where the kernel lets that be said: its own is "1000" for both. */
static void set_pace(const char *milliseconds)
{
	area_write_file(TUNING "scan_delay_ms", milliseconds);
	area_write_file(TUNING "scan_period_min_ms", milliseconds);
}

static void stop_balancing(void)
{
	area_write_file(BALANCING, "0");
	set_pace("1000");
}

static void hint(struct taken *t)
{
	const struct timespec poll = { .tv_nsec = POLL_NS };
	struct sva_testdev_pte pte;
	pthread_t thread;
	int i;

	atexit(stop_balancing);
	set_pace("1");
	if (pthread_create(&thread, NULL, run_on, NULL))
		die("pthread_create failed");
	if (!area_write_file(BALANCING, "1"))
		die_errno(BALANCING);
	for (i = 0; i < POLLS; i++) {
		pte = dma_pte(t->word);
		if (!pte_valid(&pte))
			break;
		nanosleep(&poll, NULL);
	}
	hinted = true;
	pthread_join(thread, NULL);
	stop_balancing();
}

void numa_hint(void)
{
	static const char * const functions[] = { "change_prot_numa", NULL };
	static const struct taking taking = {
		.then = SAME_PAGE,
		.act = hint,
		.functions = functions,
	};

	if (access(BALANCING, F_OK))
		ktap_skip("the kernel does not balance NUMA nodes");
	taken_run_private(&taking);
}
