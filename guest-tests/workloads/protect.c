// SPDX-License-Identifier: GPL-2.0-or-later
/* Permissions given and taken by the process itself. */
#include <sys/mman.h>
#include <unistd.h>

#include "area.h"
#include "ktap.h"
#include "paths.h"
#include "upgrade.h"

static void protect(void *page, int prot)
{
	if (mprotect(page, page_size, prot))
		die_errno("mprotect");
}

static void prepare_protected(struct subject *s)
{
	s->word = area_map(page_size, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1);
	WRITE_ONCE(*s->word, VALUE_OLD);
	s->value = VALUE_OLD;
	protect(s->word, PROT_READ);
}

static void give_write(struct subject *s)
{
	protect(s->word, PROT_READ | PROT_WRITE);
}

void mprotect_upgrade(void)
{
	static const char * const functions[] = { "change_protection", NULL };
	static const struct upgrade upgrade = {
		.prepare = prepare_protected,
		.act = give_write,
		.lazy = true,
		.functions = functions,
	};
	struct subject s = { };

	upgrade_run(&upgrade, &s);
}

/*
 * What is taken away: the SMMU caches a writable entry, the system call returns,
 * from then on the device must not get through.
 */
struct taken {
	uint64_t *word;		/* where the device writes */
	uint64_t *witness;	/* the same memory, always readable */
	struct view before, taken;
	struct audit audit;
	struct window window;
	struct sva_testdev_dma write;
};

/* Shared memory, mapped a second time to see what becomes of it. */
static void map_twice(struct taken *t)
{
	int fd = memfd_create("taken", MFD_CLOEXEC);

	if (fd < 0)
		die_errno("memfd_create");
	if (ftruncate(fd, page_size))
		die_errno("ftruncate");
	t->word = area_map(page_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd);
	t->witness = area_map(page_size, PROT_READ, MAP_SHARED, fd);
	close(fd);
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

static void prove_taken(struct taken *t)
{
	struct view after = view_of(t->word);

	ktap_point(pte_writable(&t->before.pte), PRECONDITION,
		   "page table mapped the page writable (descriptor %#llx)",
		   (unsigned long long)t->before.pte.desc);
	prove_cached(t->before.iotlb, true, "right before it is taken away");
	prove_no_evictions(&t->window);
	prove_iotlb_within(&t->taken, "when the system call returned");
	prove_audit(&t->audit, "operation");
	ktap_point(!dma_done(&t->write), STALE,
		   "the device cannot write any more: write %s after %u stalls",
		   dma_end(&t->write), t->write.stalls);
	ktap_point(!dma_gave_up(&t->write), PROGRESS,
		   "the device was told so: write %s after %u stalls (bound %u)",
		   dma_end(&t->write), t->write.stalls, dma_max_stalls);
	ktap_point(READ_ONCE(*t->witness) == VALUE_OLD, STALE, "memory holds %#llx, expected %#llx",
		   (unsigned long long)READ_ONCE(*t->witness), VALUE_OLD);
	prove_audit_at_end();
	tell_window(&t->window, &t->write);
	tell_views(&t->before, &after);
}

static void take_write(struct taken *t)
{
	protect(t->word, PROT_READ);
}

void mprotect_readonly(void)
{
	static const char * const functions[] = { "change_protection", NULL };
	struct sva_testdev_dma read;
	struct taken t = { };

	prove_faults_served();
	map_twice(&t);
	take(&t, take_write);
	read = dma_read(t.word);
	ktap_point(pte_read_only(&t.taken.pte), PRECONDITION,
		   "page table maps the page read-only now (descriptor %#llx)",
		   (unsigned long long)t.taken.pte.desc);
	prove_functions(functions);
	prove_taken(&t);
	ktap_point(dma_done(&read), PROGRESS, "the device can still read: read %s after %u stalls",
		   dma_end(&read), read.stalls);
	if (dma_done(&read))
		ktap_point(read.data == READ_ONCE(*t.witness), DATA, "device read %#llx, memory holds %#llx",
			   (unsigned long long)read.data,
			   (unsigned long long)READ_ONCE(*t.witness));
}

static void take_all(struct taken *t)
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
	ktap_point(READ_ONCE(*t->witness) == VALUE_OLD, STALE, "the old page holds %#llx, expected %#llx",
		   (unsigned long long)READ_ONCE(*t->witness), VALUE_OLD);
}

void munmap_path(void)
{
	static const char * const functions[] = { "unmap_vmas", NULL };
	struct taken t = { };

	prove_faults_served();
	map_twice(&t);
	take(&t, take_all);
	ktap_point(!pte_valid(&t.taken.pte), PRECONDITION,
		   "page table maps nothing now (descriptor %#llx)",
		   (unsigned long long)t.taken.pte.desc);
	prove_functions(functions);
	prove_taken(&t);
	prove_replaced(&t);
}
