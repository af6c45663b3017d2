// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Two processes, each with engines of its own: operations that change page tables,
 * in an order that a seed decides, with accesses by CPU and device in between.
 * What each page holds and who may use it is known at any time, and checked.
 *
 * A reader goes over all pages meanwhile, whatever it meets: the IOTLB is full of
 * entries that ought to be gone.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "area.h"
#include "ktap.h"
#include "stress.h"
#include "stress_ops.h"
#include "swap.h"
#include "upgrade.h"

#define PROCESSES	2
#define AUDIT_EACH	8		/* operations */
#define MOST_TOLD	64

/* Whether the number is in "0,3,17". */
static bool listed(const char *list, unsigned int number)
{
	char *end;

	while (list && *list) {
		if (strtoul(list, &end, 10) == number)
			return true;
		list = *end ? end + 1 : end;
	}
	return !list;
}

static struct failure run_process(uint64_t seed, unsigned int ops, const char *only)
{
	uint32_t readers[AREAS];
	unsigned int op, area;

	dma_open();
	stress_map();
	for (area = 0; area < AREAS; area++)
		readers[area] = dma_hammer(stress_area(area), PAGES * page_size, SVA_TESTDEV_HAMMER_READ,
					   SVA_TESTDEV_EXPECT_ANY, seed + area);
	for (op = 0; op < ops && !failure.class; op++) {
		if (listed(only, op))
			stress_run(seed, op);
		if (op % AUDIT_EACH == 0)
			stress_check();
	}
	stress_check();
	for (area = 0; area < AREAS; area++)
		dma_stop(readers[area]);
	return failure;
}

static struct failure result_of(pid_t pid, int from, unsigned int number)
{
	struct failure found;
	int status;

	if (read(from, &found, sizeof(found)) != sizeof(found))
		die("process %u ended early", number);
	if (waitpid(pid, &status, 0) != pid || status)
		die("process %u ended with status %#x", number, status);
	return found;
}

/* What was asked for by number, in words. */
static void tell_ops(uint64_t seed, unsigned int number, unsigned int ops, const char *only)
{
	static const char * const names[] = { "private", "shared" };
	static char keys[PROCESSES][MOST_TOLD][32];
	unsigned int op, told = 0;

	for (op = 0; only && op < ops && told < MOST_TOLD; op++) {
		struct target t = stress_target(seed + number, op);
		char *key = keys[number][told];

		if (!listed(only, op))
			continue;
		snprintf(key, sizeof(keys[0][0]), "op_%u_%u", number, op);
		ktap_fact(key, "%s:%s,page=%u,pages=%u", stress_name(seed + number, op),
			  names[t.area], t.first, t.count);
		told++;
	}
}

static void tell(uint64_t seed, unsigned int number, const struct failure *found)
{
	static char key[PROCESSES][32];

	if (!found->class) {
		ktap_point(true, DATA, "process %u: all as it should be", number);
		return;
	}
	snprintf(key[number], sizeof(key[number]), "failed_%u", number);
	ktap_fact(key[number], "%u", found->op);
	ktap_point(false, found->class - 1, "process %u, operation %u (%s): %s", number, found->op,
		   stress_name(seed + number, found->op), found->what);
}

void stress(uint64_t seed, unsigned int ops, const char *only)
{
	struct sva_testdev_counters before, after;
	struct failure found;
	int ends[PROCESSES][2];
	pid_t pids[PROCESSES];
	unsigned int i;

	if (!access("/dev/zram0", F_OK))
		swap_begin();
	prove_faults_served();
	before = dma_counters();
	for (i = 0; i < PROCESSES; i++) {
		if (pipe(ends[i]))
			die_errno("pipe");
		pids[i] = fork();
		if (pids[i] < 0)
			die_errno("fork");
		if (!pids[i]) {
			found = run_process(seed + i, ops, only);
			_exit(write(ends[i][1], &found, sizeof(found)) != sizeof(found));
		}
		close(ends[i][1]);
	}
	for (i = 0; i < PROCESSES; i++) {
		found = result_of(pids[i], ends[i][0], i);
		tell(seed, i, &found);
		tell_ops(seed, i, ops, only);
	}
	after = dma_counters();
	ktap_point(after.full_flushes == before.full_flushes, PRECONDITION,
		   "IOTLB lost no entry to its own size");
	ktap_fact("operations", "%u", ops);
	ktap_fact("stalls", "%llu", (unsigned long long)(after.stalls - before.stalls));
	ktap_fact("tlbi", "%llu", (unsigned long long)(after.tlbi - before.tlbi));
}
