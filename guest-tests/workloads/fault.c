// SPDX-License-Identifier: GPL-2.0-or-later
/* Accesses that must fail: the command that asked for it, and nothing else. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/mman.h>

#include "area.h"
#include "ktap.h"
#include "paths.h"
#include "upgrade.h"

/* Another engine, kept busy meanwhile by another thread. */
static struct {
	uint64_t *word;
	atomic_uint done, failed;
	atomic_bool stop;
} other;

static void *other_main(void *arg)
{
	uint64_t value;

	for (value = 1; !other.stop; value++) {
		struct sva_testdev_dma dma = dma_write(other.word, value);

		if (!dma_done(&dma) || READ_ONCE(*other.word) != value)
			other.failed++;
		other.done++;
	}
	return arg;
}

/* Every wait here ends: each command of the other engine has its own bound. */
static void wait_for_other(unsigned int commands)
{
	unsigned int from = other.done;

	while (other.done - from < commands)
		sched_yield();
}

static void *nothing_mapped(void)
{
	unsigned char resident;
	void *page = area_map(page_size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1);

	if (munmap(page, page_size))
		die_errno("munmap");
	ktap_point(mincore(page, page_size, &resident) && errno == ENOMEM,
		   PRECONDITION, "the process has no mapping there");
	return page;
}

void unmapped(void)
{
	struct window window;
	struct sva_testdev_dma write;
	struct view before, after;
	pthread_t thread;
	void *word;

	prove_faults_served();
	word = nothing_mapped();
	other.word = area_map(page_size, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS, -1);
	if (pthread_create(&thread, NULL, other_main, NULL))
		die("pthread_create failed");
	wait_for_other(2);

	window_open(&window, word, page_size);
	before = view_of(word);
	write = dma_write(word, VALUE_DEVICE);
	wait_for_other(2);
	window_close(&window);
	after = view_of(word);
	other.stop = true;
	pthread_join(thread, NULL);

	ktap_point(!before.pte.desc && !before.iotlb, PRECONDITION,
		   "page table and IOTLB hold nothing (descriptor %#llx, %s)",
		   (unsigned long long)before.pte.desc, entry_text(before.iotlb));
	ktap_point(write.stalls, PRECONDITION, "the device's write faulted (%u stalls)",
		   write.stalls);
	ktap_point(!dma_done(&write), STALE, "the device's write %s", dma_end(&write));
	ktap_point(!dma_gave_up(&write), PROGRESS,
		   "the device was told: write %s after %u stalls (bound %u)",
		   dma_end(&write), write.stalls, dma_max_stalls);
	ktap_point(write.fault_addr == (uintptr_t)word, HARNESS,
		   "the process was told where: %#llx", (unsigned long long)write.fault_addr);
	ktap_point(!other.failed, PROGRESS,
		   "another engine ran on: %u commands failed", other.failed);
	prove_no_evictions(&window);
	prove_iotlb_within(&after, "afterwards");
	prove_faults_served();
	prove_audit_at_end();
	tell_window(&window, &write);
	tell_views(&before, &after);
}
