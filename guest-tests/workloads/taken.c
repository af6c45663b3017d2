// SPDX-License-Identifier: GPL-2.0-or-later
/* What system calls take away. */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "area.h"
#include "ktap.h"
#include "paths.h"
#include "swap.h"
#include "taken.h"
#include "upgrade.h"

/* Shared memory, mapped a second time to see what becomes of it. */
static void map_twice(struct taken *t)
{
	t->fd = memfd_create("taken", MFD_CLOEXEC);
	if (t->fd < 0)
		die_errno("memfd_create");
	if (ftruncate(t->fd, page_size))
		die_errno("ftruncate");
	t->word = area_map(page_size, PROT_READ | PROT_WRITE, MAP_SHARED, t->fd);
	t->witness = area_map(page_size, PROT_READ, MAP_SHARED, t->fd);
}

static void take(struct taken *t, void (*act)(struct taken *t))
{
	void *word = t->word;
	struct sva_testdev_dma first;

	first = dma_write(word, VALUE_OLD);
	if (dma_done(&first))
		first = dma_write(word, VALUE_OLD);
	ktap_point(dma_done(&first) && READ_ONCE(*t->witness) == VALUE_OLD, PRECONDITION,
		   "the device can write the page at first: write %s, memory holds %#llx",
		   dma_end(&first), (unsigned long long)READ_ONCE(*t->witness));

	window_open(&t->window, word, page_size);
	t->before = view_of(word);
	act(t);
	t->taken = view_of(word);
	t->audit = dma_audit();
	t->write = dma_write(word, VALUE_DEVICE);
	window_close(&t->window);
}

static void prove_refused(struct taken *t)
{
	ktap_point(!dma_done(&t->write), STALE,
		   "the device cannot write any more: write %s after %u stalls",
		   dma_end(&t->write), t->write.stalls);
	ktap_point(!dma_gave_up(&t->write), PROGRESS,
		   "the device was told so: write %s after %u stalls (bound %u)",
		   dma_end(&t->write), t->write.stalls, dma_max_stalls);
}

static void prove_served(struct taken *t)
{
	ktap_point(t->write.stalls, STALE,
		   "the device had to ask for the page: write %s after %u stalls",
		   dma_end(&t->write), t->write.stalls);
	ktap_point(dma_done(&t->write), PROGRESS, "device write %s after %u stalls (bound %u)",
		   dma_end(&t->write), t->write.stalls, dma_max_stalls);
	if (dma_done(&t->write))
		ktap_point(READ_ONCE(*t->word) == VALUE_DEVICE, STALE,
			   "memory holds %#llx, expected %#llx",
			   (unsigned long long)READ_ONCE(*t->word), VALUE_DEVICE);
}

static void prove_taken(const struct taking *taking, struct taken *t)
{
	struct view after = view_of(t->word);

	ktap_point(pte_writable(&t->before.pte), PRECONDITION,
		   "page table mapped the page writable (descriptor %#llx)",
		   (unsigned long long)t->before.pte.desc);
	if (taking->readable)
		ktap_point(pte_read_only(&t->taken.pte), PRECONDITION,
			   "page table maps the page read-only now (descriptor %#llx)",
			   (unsigned long long)t->taken.pte.desc);
	else
		ktap_point(!pte_valid(&t->taken.pte), PRECONDITION,
			   "page table maps nothing now (descriptor %#llx)",
			   (unsigned long long)t->taken.pte.desc);
	prove_cached(t->before.iotlb, true, "right before it is taken away");
	prove_functions(taking->functions);
	prove_no_evictions(&t->window);
	prove_iotlb_within(&t->taken, "when the system call returned");
	prove_audit(&t->audit, "operation");
	if (taking->then == REFUSED)
		prove_refused(t);
	else
		prove_served(t);
	tell_views(&t->before, &after);
}

void taken_run(const struct taking *taking, struct taken *t)
{
	prove_faults_served();
	if (!t->word)
		map_twice(t);
	take(t, taking->act);
	prove_taken(taking, t);
	tell_window(&t->window, &t->write);
}

void taken_prove_witness(struct taken *t, uint64_t expected)
{
	ktap_point(READ_ONCE(*t->witness) == expected, STALE,
		   "the old page holds %#llx, expected %#llx",
		   (unsigned long long)READ_ONCE(*t->witness), (unsigned long long)expected);
}

void taken_run_private(const struct taking *taking)
{
	struct taken t = {
		.word = area_map(page_size, PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS, -1),
	};
	struct sva_testdev_dma mark;

	t.witness = t.word;
	mark = dma_write(&t.word[1], VALUE_DEVICE);
	area_drain(t.word);
	taken_run(taking, &t);
	if (dma_done(&mark))
		ktap_point(t.word[1] == VALUE_DEVICE, DATA,
			   "what the device wrote before is there: %#llx",
			   (unsigned long long)t.word[1]);
	prove_audit_at_end();
}

static const char * const change_functions[] = { "change_protection", NULL };
static const char * const zap_functions[] = {
	"unmap_vmas", "zap_page_range_single", "zap_vma_range_batched",
	"unmap_mapping_range", NULL
};

static void take_write(struct taken *t)
{
	if (mprotect(t->word, page_size, PROT_READ))
		die_errno("mprotect");
}

void mprotect_readonly(void)
{
	static const struct taking taking = {
		.readable = true,
		.act = take_write,
		.functions = change_functions,
	};
	struct sva_testdev_dma read;
	struct taken t = { };

	taken_run(&taking, &t);
	taken_prove_witness(&t, VALUE_OLD);
	read = dma_read(t.word);
	ktap_point(dma_done(&read), PROGRESS, "the device can still read: read %s after %u stalls",
		   dma_end(&read), read.stalls);
	if (dma_done(&read))
		ktap_point(read.data == READ_ONCE(*t.witness), DATA, "device read %#llx, memory holds %#llx",
			   (unsigned long long)read.data,
			   (unsigned long long)READ_ONCE(*t.witness));
	prove_audit_at_end();
}

static void take_access(struct taken *t)
{
	if (mprotect(t->word, page_size, PROT_NONE))
		die_errno("mprotect");
}

void mprotect_none(void)
{
	static const struct taking taking = {
		.act = take_access,
		.functions = change_functions,
	};
	struct taken t = { };

	taken_run(&taking, &t);
	taken_prove_witness(&t, VALUE_OLD);
	prove_audit_at_end();
}

static void take_mapping(struct taken *t)
{
	if (munmap(t->word, page_size))
		die_errno("munmap");
}

/* Another page at the same address is the one that the device reaches from now on. */
static void prove_replaced(struct taken *t)
{
	uint64_t *word;
	struct sva_testdev_dma write;

	word = mmap(t->word, page_size, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	if (word == MAP_FAILED)
		die_errno("mmap");
	write = dma_write(word, VALUE_DEVICE);
	ktap_point(dma_done(&write), PROGRESS,
		   "the device can write a new page there: write %s after %u stalls",
		   dma_end(&write), write.stalls);
	ktap_point(READ_ONCE(*word) == (dma_done(&write) ? VALUE_DEVICE : 0), STALE,
		   "the new page holds %#llx", (unsigned long long)READ_ONCE(*word));
}

void munmap_path(void)
{
	static const struct taking taking = {
		.act = take_mapping,
		.functions = zap_functions,
	};
	struct taken t = { };

	taken_run(&taking, &t);
	prove_replaced(&t);
	taken_prove_witness(&t, VALUE_OLD);
	prove_audit_at_end();
}

static void take_pages(struct taken *t)
{
	if (madvise(t->word, page_size, MADV_DONTNEED))
		die_errno("madvise(MADV_DONTNEED)");
}

/* Private memory: the page is gone, and the next one is empty. */
void dontneed(void)
{
	static const struct taking taking = {
		.then = NEW_PAGE,
		.act = take_pages,
		.functions = zap_functions,
	};
	struct taken t = {
		.word = area_map(page_size, PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS, -1),
	};

	t.witness = t.word;
	taken_run(&taking, &t);
	ktap_point(!t.word[1], STALE, "the rest of the new page is empty (%#llx)",
		   (unsigned long long)t.word[1]);
	prove_audit_at_end();
}

static void cut(struct taken *t)
{
	if (ftruncate(t->fd, 0))
		die_errno("ftruncate");
}

void truncate_path(void)
{
	static const struct taking taking = {
		.act = cut,
		.functions = zap_functions,
	};
	struct taken t = { };

	taken_run(&taking, &t);
	prove_audit_at_end();
}

static void punch(struct taken *t)
{
	if (fallocate(t->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, page_size))
		die_errno("fallocate");
}

void punch_hole(void)
{
	static const struct taking taking = {
		.then = NEW_PAGE,
		.act = punch,
		.functions = zap_functions,
	};
	struct taken t = { };

	taken_run(&taking, &t);
	ktap_point(pte_pfn(&t.before.pte), PRECONDITION, "the page had a frame");
	taken_prove_witness(&t, dma_done(&t.write) ? VALUE_DEVICE : 0);
	prove_audit_at_end();
}

static void page_out(struct taken *t)
{
	ktap_point(swap_out(t->word, page_size), PRECONDITION, "the page went to swap");
}

/* What the device wrote must come back from there. */
void pageout(void)
{
	static const char * const functions[] = { "try_to_unmap", NULL };
	static const struct taking taking = {
		.then = SAME_PAGE,
		.act = page_out,
		.functions = functions,
	};

	swap_begin();
	taken_run_private(&taking);
}
