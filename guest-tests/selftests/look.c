// SPDX-License-Identifier: GPL-2.0-or-later
/* The device reads what a process maps, and what the IOTLB then holds is compared with the page tables. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "launch.h"
#include "sva_testdev.h"

#define MOST_PAGES	512		/* of a pass */
#define BATCH		512
#define MAX_STALLS	50
#define PAGE_PRESENT	(1ULL << 63)
#define AUDITS		5		/* what is still there after so many is not on its way out */
#define AUDIT_WAIT_NS	10000000
#define MOST_SHOWN	64

/* Of the time that the test takes, at most one part in so many is ours: it is the test that is to run. */
#define SHARE		3

struct counts count;
size_t page_size;
static int device;
static uint64_t begun_us, spent_us;

static uint64_t now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000ULL + now.tv_nsec / 1000;
}

bool look_affordable(void)
{
	return spent_us * SHARE <= now_us() - begun_us;
}

void look_begin(void)
{
	begun_us = now_us();
	page_size = sysconf(_SC_PAGESIZE);
	device = open(DEVICE, O_RDWR | O_CLOEXEC);
	if (device < 0)
		die(DEVICE);
}

void bind_process(struct process *process)
{
	struct sva_testdev_bind_pid bind = { .pid = process->pid };

	process->device = open(DEVICE, O_RDWR | O_CLOEXEC);
	if (process->device < 0)
		die(DEVICE);
	if (ioctl(process->device, SVA_TESTDEV_IOC_BIND_PID, &bind))
		die("the device cannot be bound to the program");
	process->pasid = bind.pasid;
}

void unbind_process(struct process *process)
{
	close(process->device);
}

/* The device reads a little of each page. What it cannot read is not what this is about. */
static void prime(const struct process *process, uint64_t addr, size_t size)
{
	struct sva_testdev_dma dma = {
		.addr = addr,
		.len = size,
		.op = SVA_TESTDEV_PRIME,
		.max_stalls = MAX_STALLS,
	};

	if (ioctl(process->device, SVA_TESTDEV_IOC_DMA, &dma) && errno != EINTR)
		die("primer");
	count.primed += dma.bytes_done / page_size;
}

/* Only what is there: to fault in what the program has not touched would be to test another program. */
static unsigned int prime_present(const struct process *process, int pagemap, uint64_t start,
				  uint64_t end, unsigned int left)
{
	static uint64_t entries[BATCH];
	uint64_t at, run = 0;
	ssize_t got, i;

	for (at = start; at < end && left; at += got * page_size) {
		size_t want = (end - at) / page_size;

		got = pread(pagemap, entries, (want < BATCH ? want : BATCH) * sizeof(*entries),
			    at / page_size * sizeof(*entries)) / (ssize_t)sizeof(*entries);
		if (got <= 0)
			break;
		for (i = 0; i < got && left; i++) {
			if (entries[i] & PAGE_PRESENT) {
				run++;
				left--;
				continue;
			}
			if (run)
				prime(process, at + (i - run) * page_size, run * page_size);
			run = 0;
		}
		if (run)
			prime(process, at + (i - run) * page_size, run * page_size);
		run = 0;
	}
	return left;
}

/* What of its readable mappings lies there. */
void prime_range(const struct process *process, uint64_t addr, uint64_t size)
{
	char name[64], line[512], access;
	uint64_t start, end, last = addr + size < addr ? UINT64_MAX : addr + size;
	uint64_t from = now_us();
	unsigned int left = MOST_PAGES;
	int pagemap;
	FILE *maps;

	snprintf(name, sizeof(name), "/proc/%d/maps", process->pid);
	maps = fopen(name, "re");
	snprintf(name, sizeof(name), "/proc/%d/pagemap", process->pid);
	pagemap = open(name, O_RDONLY | O_CLOEXEC);
	while (maps && pagemap >= 0 && left && fgets(line, sizeof(line), maps)) {
		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %c", &start, &end, &access) != 3 ||
		    access != 'r' || strstr(line, "[v"))
			continue;
		start = start < addr ? addr & -page_size : start;
		end = end > last ? last : end;
		if (start < end)
			left = prime_present(process, pagemap, start, end, left);
	}
	if (maps)
		fclose(maps);
	if (pagemap >= 0)
		close(pagemap);
	count.passes++;
	spent_us += now_us() - from;
}

void prime_all(const struct process *process)
{
	prime_range(process, 0, UINT64_MAX);
}

static bool is_ours(uint32_t pasid)
{
	int i;

	for (i = 0; i < MOST_PROCESSES; i++)
		if (processes[i].pid && processes[i].pasid == pasid)
			return true;
	return false;
}

/* Differences of the test's processes that allow too much, into *found; returns how many. */
static unsigned int audit_once(struct sva_testdev_difference *found)
{
	struct sva_testdev_audit audit;
	unsigned int stale = 0;
	uint32_t i;

	if (ioctl(device, SVA_TESTDEV_IOC_AUDIT, &audit))
		die("audit");
	count.entries += audit.entries;
	for (i = 0; i < audit.shown; i++) {
		struct sva_testdev_difference diff = { .number = audit.number, .index = i };

		if (ioctl(device, SVA_TESTDEV_IOC_DIFFERENCE, &diff) || !is_ours(diff.pasid))
			continue;
		if (diff.kind == SVA_TESTDEV_RESTRICTIVE)
			count.restrictive++;
		else
			found[stale++] = diff;
	}
	return stale;
}

/* Of those in *found, the ones that are in *again as well; returns how many. */
static unsigned int keep_both(struct sva_testdev_difference *found, unsigned int many,
			      const struct sva_testdev_difference *again, unsigned int others)
{
	unsigned int kept = 0, i, j;

	for (i = 0; i < many; i++)
		for (j = 0; j < others; j++)
			if (found[i].pasid == again[j].pasid && found[i].addr == again[j].addr &&
			    found[i].cached_desc == again[j].cached_desc) {
				found[kept++] = found[i];
				break;
			}
	return kept;
}

/* Another thread or process of the test may be in the middle of a change: what is wrong stays wrong. */
void audit(const char *when)
{
	static const char * const kinds[] = { "none", "restrictive", "permissive", "wrong-page", "unmapped" };
	static struct sva_testdev_difference found[MOST_SHOWN], again[MOST_SHOWN];
	const struct timespec wait = { .tv_nsec = AUDIT_WAIT_NS };
	uint64_t from = now_us();
	unsigned int stale = audit_once(found);
	int i;

	count.audits++;
	for (i = 1; i < AUDITS && stale; i++) {
		nanosleep(&wait, NULL);
		stale = keep_both(found, stale, again, audit_once(again));
	}
	spent_us += now_us() - from;
	if (!stale)
		return;
	count.stale += stale;
	fprintf(stderr, "launch: stale: %s: %u, first %s address=%#llx size=%#llx cached=%#llx walked=%#llx\n",
		when, stale, kinds[found->kind], (unsigned long long)found->addr,
		(unsigned long long)found->size, (unsigned long long)found->cached_desc,
		(unsigned long long)found->walked_desc);
}
