// SPDX-License-Identifier: GPL-2.0-or-later
/* Accesses that must fail: the command that asked for it, and nothing else. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

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

/* Lines that the kernel logs from here on; a device that is refused must not fill its log. */
#define MAX_LOG_LINES	10

static int log_open(void)
{
	int log = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	if (log < 0 || lseek(log, 0, SEEK_END) < 0)
		die_errno("/dev/kmsg");
	return log;
}

static int log_lines(int log)
{
	static char line[8192];
	int lines = 0;

	while (read(log, line, sizeof(line)) >= 0 || errno == EPIPE)
		lines++;
	close(log);
	return lines;
}

/* An access that must fail, and what is the matter with its address. */
struct refusal {
	void *word;
	uint64_t desc;		/* bits of the descriptor that must be as in... */
	uint64_t mask;		/* ... here */
	bool no_table;		/* not an address of the process's page table at all */
	uint64_t *witness;	/* memory that must stay as it is, readable by a CPU */
	struct window window;
	struct view before, after;
	struct sva_testdev_dma write;
	int log_lines;
};

static void play(struct refusal *r)
{
	pthread_t thread;
	int log;

	prove_faults_served();
	other.word = area_map(page_size, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS, -1);
	if (pthread_create(&thread, NULL, other_main, NULL))
		die("pthread_create failed");
	wait_for_other(2);
	log = log_open();

	window_open(&r->window, r->word, page_size);
	if (!r->no_table)
		r->before = view_of(r->word);
	r->write = dma_write(r->word, VALUE_DEVICE);
	wait_for_other(2);
	window_close(&r->window);
	if (!r->no_table)
		r->after = view_of(r->word);
	r->log_lines = log_lines(log);
	other.stop = true;
	pthread_join(thread, NULL);
}

static void prove_table(const struct refusal *r)
{
	if (r->no_table)
		return;
	ktap_point((r->before.pte.desc & r->mask) == r->desc, PRECONDITION,
		   "page table does not allow it (descriptor %#llx)",
		   (unsigned long long)r->before.pte.desc);
	ktap_point(!(r->before.iotlb & SVA_TESTDEV_PROBE_WRITE), PRECONDITION,
		   "the IOTLB does not either (%s)", entry_text(r->before.iotlb));
	ktap_point(r->write.stalls, PRECONDITION, "the device's write faulted (%u stalls)",
		   r->write.stalls);
}

static void refuse(struct refusal *r)
{
	play(r);
	prove_table(r);
	ktap_point(!dma_done(&r->write), STALE, "the device's write %s", dma_end(&r->write));
	ktap_point(!dma_gave_up(&r->write), PROGRESS,
		   "the device was told: write %s after %u stalls (bound %u)",
		   dma_end(&r->write), r->write.stalls, dma_max_stalls);
	ktap_point(r->write.fault_addr == (uintptr_t)r->word, HARNESS,
		   "the process was told where: %#llx", (unsigned long long)r->write.fault_addr);
	if (r->witness)
		ktap_point(READ_ONCE(*r->witness) == VALUE_OLD, STALE,
			   "memory holds %#llx, expected %#llx",
			   (unsigned long long)READ_ONCE(*r->witness), VALUE_OLD);
	ktap_point(!other.failed, PROGRESS,
		   "another engine ran on: %u commands failed", other.failed);
	ktap_point(r->log_lines <= MAX_LOG_LINES, PROGRESS,
		   "the kernel did not fill its log: %d lines (bound %d)", r->log_lines,
		   MAX_LOG_LINES);
	prove_no_evictions(&r->window);
	prove_iotlb_within(&r->after, "afterwards");
	prove_faults_served();
	prove_audit_at_end();
	tell_window(&r->window, &r->write);
	tell_views(&r->before, &r->after);
}

void unmapped(void)
{
	unsigned char resident;
	struct refusal r = {
		.word = area_map(page_size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1),
		.mask = ~0ULL,
	};

	if (munmap(r.word, page_size))
		die_errno("munmap");
	ktap_point(mincore(r.word, page_size, &resident) && errno == ENOMEM,
		   PRECONDITION, "the process has no mapping there");
	refuse(&r);
}

/* A page of a file, which a second mapping shows. */
static void *file_page(struct refusal *r, int prot)
{
	int fd = memfd_create("refused", MFD_CLOEXEC);
	uint64_t value = VALUE_OLD;

	if (fd < 0)
		die_errno("memfd_create");
	if (ftruncate(fd, page_size))
		die_errno("ftruncate");
	if (pwrite(fd, &value, sizeof(value), 0) != sizeof(value))
		die_errno("write");
	r->witness = area_map(page_size, PROT_READ, MAP_SHARED, fd);
	r->word = area_map(page_size, prot, MAP_SHARED, fd);
	close(fd);
	return r->word;
}

void prot_none(void)
{
	struct refusal r = { .mask = DESC_VALID };

	file_page(&r, PROT_NONE);
	refuse(&r);
}

void write_read_only(void)
{
	struct refusal r = {
		.desc = DESC_VALID | DESC_READ_ONLY,
		.mask = DESC_VALID | DESC_READ_ONLY,
	};
	struct sva_testdev_dma read;
	uint64_t *word = file_page(&r, PROT_READ);

	if (READ_ONCE(*word) != VALUE_OLD)
		die("the page holds %#llx", (unsigned long long)*word);
	refuse(&r);
	read = dma_read(word);
	ktap_point(dma_done(&read) && read.data == VALUE_OLD, PROGRESS,
		   "the device can read it: read %s, %#llx", dma_end(&read),
		   (unsigned long long)read.data);
}

#ifndef MADV_GUARD_INSTALL	/* since Linux 6.13 */
#define MADV_GUARD_INSTALL	102
#endif

void guard_page(void)
{
	struct refusal r = {
		.word = area_map(page_size, PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS, -1),
		.mask = DESC_VALID,
	};

	if (madvise(r.word, page_size, MADV_GUARD_INSTALL)) {
		if (errno != EINVAL)
			die_errno("madvise(MADV_GUARD_INSTALL)");
		ktap_skip("the kernel has no guard pages");
	}
	refuse(&r);
}

/* The first address of the other half, which is the kernel's. */
void kernel_address(void)
{
	struct refusal r = { .word = (void *)0xffff800000000000UL, .no_table = true };

	refuse(&r);
}

/* In no half at all: beyond what any page table of 48 or 52 bits reaches. */
void non_canonical(void)
{
	struct refusal r = { .word = (void *)0x0040000000000000UL, .no_table = true };

	refuse(&r);
}
