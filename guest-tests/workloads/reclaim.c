// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Pages that go to swap and come back all the time, in two processes, while the
 * device writes them; and a file that is written to disk meanwhile. In the end all
 * that the device wrote must be there. (A guest with less memory than that does
 * the same, but spends its time on looking for memory: reclaim is asked for here.)
 */
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <fcntl.h>
#include <unistd.h>

#include "area.h"
#include "ktap.h"
#include "paths.h"
#include "swap.h"
#include "upgrade.h"
#include "users.h"

#define PROCESSES	2
#define PAGES		48
#define ROUNDS		3
#define EACH		16		/* accesses: all pages go to swap */

static uint64_t value_of(size_t page, unsigned int round)
{
	return VALUE_DEVICE + page * 0x10001 + ((uint64_t)round << 32);
}

static sem_t due;

/* To the end of the process: whatever is there goes to swap, while the device goes on. */
static void *reclaim_main(void *area)
{
	while (!sem_wait(&due) && !madvise(area, PAGES * page_size, MADV_PAGEOUT))
		;
	return NULL;
}

/* Each page in each round: the device finds what it wrote before, and writes anew. */
static struct loss write_rounds(char *area)
{
	struct loss loss = { };
	unsigned int round;
	size_t i;

	for (round = 1; round <= ROUNDS; round++)
		for (i = 0; i < PAGES; i++) {
			uint64_t *word = (uint64_t *)(area + i * page_size);
			struct sva_testdev_dma dma;

			if (round > 1) {
				dma = dma_read(word);
				loss.failed += !dma_done(&dma);
				loss.device_lost += dma_done(&dma) && dma.data != value_of(i, round - 1);
			}
			dma = dma_write(word, value_of(i, round));
			loss.failed += !dma_done(&dma);
			loss.stalls += dma.stalls;
			if (loss.failed >= USERS_ENOUGH)
				return loss;
			if (i % EACH == 0)
				sem_post(&due);
		}
	for (i = 0; i < PAGES; i++)
		loss.lost += READ_ONCE(*(uint64_t *)(area + i * page_size)) != value_of(i, ROUNDS);
	return loss;
}

static struct loss use(size_t size)
{
	char *area = area_map(size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	pthread_t thread;

	sem_init(&due, 0, 0);
	if (pthread_create(&thread, NULL, reclaim_main, area))
		_exit(3);
	return write_rounds(area);
}

void reclaim(void)
{
	struct sva_testdev_dma dma;
	struct audit audit;
	struct window window;
	struct loss loss;
	void *scratch;
	struct swap_counts before, after;

	swap_begin();
	prove_faults_served();
	scratch = area_map(page_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	dma = dma_write(scratch, 1);
	before = swap_counts();
	window_open(&window, scratch, page_size);
	users_start(PROCESSES, use, PAGES * page_size);
	loss = users_end();
	audit = dma_audit();
	window_close(&window);
	after = swap_counts();
	after.out -= before.out;
	after.in -= before.in;

	ktap_point(after.out >= PAGES && (after.in >= PAGES || loss.failed), PRECONDITION,
		   "pages went to swap and came back: %ld out, %ld in, of %d", after.out,
		   after.in, PROCESSES * PAGES);
	ktap_point(!loss.failed, PROGRESS, "%u accesses of the device failed", loss.failed);
	ktap_point(!loss.device_lost && !loss.lost, DATA,
		   "what the device wrote is there: %u pages were not for the device, %u not in the end",
		   loss.device_lost, loss.lost);
	prove_no_evictions(&window);
	ktap_point(!audit.all.permissive && !audit.all.wrong_page && !audit.all.unmapped, STALE,
		   "the IOTLB holds nothing that no table allows (permissive %u, wrong page %u, unmapped %u)",
		   audit.all.permissive, audit.all.wrong_page, audit.all.unmapped);
	tell_swap(&after, loss.stalls, &window);
	tell_window(&window, &dma);
}

/* A file on disk. */
#define DISK_FILE	"/mnt/disk/writeback"
#define FILE_PAGES	16
#define FILE_ROUNDS	6
#define MOST_ROUNDS	40		/* until the file was cleaned often enough under the device */
#define ENOUGH_FAULTS	(2 * FILE_PAGES)

static atomic_bool done;
static atomic_uint syncs;

static void *sync_main(void *arg)
{
	int *file = arg;

	while (!done) {
		if (fdatasync(*file))
			die_errno("fdatasync of " DISK_FILE);
		syncs++;
	}
	return NULL;
}

static unsigned int lost_on_disk(int file, size_t size, unsigned int round)
{
	unsigned int lost = 0;
	uint64_t found;
	size_t i;

	if (!area_write_file("/proc/sys/vm/drop_caches", "3"))
		die_errno("/proc/sys/vm/drop_caches");
	for (i = 0; i < size / page_size; i++) {
		if (pread(file, &found, sizeof(found), i * page_size) != sizeof(found))
			die_errno("read of " DISK_FILE);
		lost += found != value_of(i, round);
	}
	return lost;
}

/* To clean a page is to take the right to write away; what is written after that must be seen. */
void writeback(void)
{
	size_t size = FILE_PAGES * page_size, i;
	unsigned int round = 0, failed = 0, lost, faults = 0;
	int file = open(DISK_FILE, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	struct sva_testdev_dma dma;
	struct window window;
	struct audit audit;
	pthread_t thread;
	char *area;

	if (file < 0 || unlink(DISK_FILE))
		die_errno(DISK_FILE);
	if (ftruncate(file, size))
		die_errno("ftruncate");
	prove_faults_served();
	area = area_map(size, PROT_READ | PROT_WRITE, MAP_SHARED, file);
	window_open(&window, area, size);
	if (pthread_create(&thread, NULL, sync_main, &file))
		die("pthread_create failed");
	while (round < FILE_ROUNDS || (round < MOST_ROUNDS && !failed && faults <= ENOUGH_FAULTS)) {
		round++;
		for (i = 0; i < FILE_PAGES; i++) {
			dma = dma_write(area + i * page_size, value_of(i, round));
			failed += !dma_done(&dma);
			faults += dma.stalls;
		}
	}
	done = true;
	pthread_join(thread, NULL);
	if (fsync(file))
		die_errno("fsync of " DISK_FILE);
	audit = dma_audit();
	window_close(&window);
	if (munmap(area, size))
		die_errno("munmap");
	lost = lost_on_disk(file, size, round);

	ktap_point(syncs >= 2 && faults > ENOUGH_FAULTS, PRECONDITION,
		   "the file was written to disk meanwhile: %u times, %u faults of the device",
		   syncs, faults);
	ktap_point(!failed, PROGRESS, "%u accesses of the device failed", failed);
	ktap_point(!lost, DATA, "%u pages on disk do not hold what the device wrote last", lost);
	prove_no_evictions(&window);
	prove_audit(&audit, "operation");
	prove_audit_at_end();
	ktap_fact("device_faults", "%u", faults);
	tell_window(&window, &dma);
}
