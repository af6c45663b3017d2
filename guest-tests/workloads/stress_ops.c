// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "area.h"
#include "ktap.h"
#include "stress_ops.h"
#include "upgrade.h"

#ifndef MADV_COLLAPSE		/* since Linux 6.1 */
#define MADV_COLLAPSE		25
#endif

enum access { NOTHING, READABLE, WRITABLE };

struct page_state {
	uint64_t value;
	enum access access;
	bool droppable;		/* MADV_FREE: it may be empty by now */
};

static struct {
	char *at;
	struct page_state pages[PAGES];
} areas[AREAS];

struct failure failure;
static unsigned int current_op;

__printf(2, 3)
static void fail(enum ktap_class class, const char *format, ...)
{
	va_list args;

	if (failure.class)
		return;
	failure.op = current_op;
	failure.class = class + 1;
	va_start(args, format);
	vsnprintf(failure.what, sizeof(failure.what), format, args);
	va_end(args);
}

/* splitmix64: each number has random ones of its own. */
static uint64_t random_of(uint64_t seed, unsigned int op, unsigned int nth)
{
	uint64_t x = seed + 0x9e3779b97f4a7c15ULL * (op * 16ULL + nth + 1);

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
	return x ^ (x >> 31);
}

static uint64_t *word_of(unsigned int area, unsigned int page)
{
	return (uint64_t *)(areas[area].at + page * page_size);
}

static char *start_of(const struct target *t)
{
	return (char *)word_of(t->area, t->first);
}

static void check_value(struct page_state *page, uint64_t found, const char *who, unsigned int number)
{
	if (page->droppable && !found)
		page->value = 0;
	else if (found != page->value)
		fail(DATA, "%s found %#llx in page %u, %#llx was written", who,
		     (unsigned long long)found, number, (unsigned long long)page->value);
}

static void cpu_write(const struct target *t)
{
	struct page_state *page = &areas[t->area].pages[t->first];

	if (page->access != WRITABLE)
		return;
	WRITE_ONCE(*word_of(t->area, t->first), t->value);
	page->value = t->value;
	page->droppable = false;
}

static void cpu_read(const struct target *t)
{
	struct page_state *page = &areas[t->area].pages[t->first];

	if (page->access != NOTHING)
		check_value(page, READ_ONCE(*word_of(t->area, t->first)), "a CPU", t->first);
}

static void device_write(const struct target *t)
{
	struct page_state *page = &areas[t->area].pages[t->first];
	struct sva_testdev_dma dma = dma_write(word_of(t->area, t->first), t->value);

	if (dma_gave_up(&dma))
		fail(PROGRESS, "device write of page %u gave up after %u stalls", t->first, dma.stalls);
	else if (page->access == WRITABLE && !dma_done(&dma))
		fail(PROGRESS, "device write of page %u %s", t->first, dma_end(&dma));
	else if (page->access != WRITABLE && dma_done(&dma))
		fail(STALE, "device write of page %u was done", t->first);
	if (dma_done(&dma)) {
		page->value = t->value;
		page->droppable = false;
	}
}

static void device_read(const struct target *t)
{
	struct page_state *page = &areas[t->area].pages[t->first];
	struct sva_testdev_dma dma = dma_read(word_of(t->area, t->first));

	if (dma_gave_up(&dma))
		fail(PROGRESS, "device read of page %u gave up after %u stalls", t->first, dma.stalls);
	else if (page->access != NOTHING && !dma_done(&dma))
		fail(PROGRESS, "device read of page %u %s", t->first, dma_end(&dma));
	else if (page->access == NOTHING && dma_done(&dma))
		fail(STALE, "device read of page %u was done", t->first);
	else if (dma_done(&dma))
		check_value(page, dma.data, "the device", t->first);
}

static void protect(const struct target *t, int prot, enum access access)
{
	unsigned int i;

	if (mprotect(start_of(t), t->count * page_size, prot))
		die_errno("mprotect");
	for (i = 0; i < t->count; i++)
		areas[t->area].pages[t->first + i].access = access;
}

static void make_readable(const struct target *t)
{
	protect(t, PROT_READ, READABLE);
}

static void make_writable(const struct target *t)
{
	protect(t, PROT_READ | PROT_WRITE, WRITABLE);
}

static void take_access(const struct target *t)
{
	protect(t, PROT_NONE, NOTHING);
}

static void advise(const struct target *t, int advice)
{
	/* Some kernels have it not, or cannot do it now: then nothing has changed. */
	if (madvise(start_of(t), t->count * page_size, advice) && errno != EINVAL &&
	    errno != EAGAIN && errno != EBUSY && errno != ENOMEM)
		die_errno("madvise(%d)", advice);
}

static void drop(const struct target *t)
{
	unsigned int i;

	advise(t, MADV_DONTNEED);
	for (i = 0; t->area == PRIVATE && i < t->count; i++) {
		areas[PRIVATE].pages[t->first + i].value = 0;
		areas[PRIVATE].pages[t->first + i].droppable = false;
	}
}

static void may_drop(const struct target *t)
{
	unsigned int i;

	if (t->area != PRIVATE)
		return;
	advise(t, MADV_FREE);
	for (i = 0; i < t->count; i++)
		areas[PRIVATE].pages[t->first + i].droppable = true;
}

static void page_out(const struct target *t)
{
	advise(t, MADV_PAGEOUT);
}

static void collapse(const struct target *t)
{
	struct target all = { .area = t->area, .count = huge_size() / page_size };

	advise(&all, MADV_COLLAPSE);
}

static void fork_and_reap(const struct target *t)
{
	(void)t;
	area_fork_and_reap();
}

/* The child writes its own copy; the parent's stays. */
static void fork_and_write(const struct target *t)
{
	struct page_state *page = &areas[t->area].pages[t->first];
	int status;
	pid_t pid;

	if (t->area != PRIVATE || page->access != WRITABLE)
		return;
	pid = fork();
	if (pid < 0)
		die_errno("fork");
	if (!pid) {
		WRITE_ONCE(*word_of(t->area, t->first), ~t->value);
		_exit(0);
	}
	if (waitpid(pid, &status, 0) != pid || status)
		die("the child ended with status %#x", status);
}

static void make_old(const struct target *t)
{
	(void)t;
	if (!area_write_file("/proc/self/clear_refs", "1"))
		die_errno("/proc/self/clear_refs");
}

/* To another address and back: the entries are new, the pages the same. */
static void move_about(const struct target *t)
{
	size_t size = t->count * page_size;
	void *away = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (away == MAP_FAILED)
		die_errno("mmap");
	if (areas[t->area].pages[t->first].access != areas[t->area].pages[t->first + t->count - 1].access) {
		munmap(away, size);
		return;		/* several mappings do not move as one */
	}
	if (mremap(start_of(t), size, size, MREMAP_MAYMOVE | MREMAP_FIXED, away) == MAP_FAILED) {
		munmap(away, size);
		if (errno != EFAULT)
			die_errno("mremap");
		return;
	}
	if (mremap(away, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, start_of(t)) != start_of(t))
		die_errno("mremap");
}

static const struct operation {
	const char *name;
	void (*run)(const struct target *t);
	unsigned int weight;
} operations[] = {
	{ "cpu-write", cpu_write, 6 },
	{ "cpu-read", cpu_read, 3 },
	{ "device-write", device_write, 8 },
	{ "device-read", device_read, 6 },
	{ "readable", make_readable, 2 },
	{ "writable", make_writable, 4 },
	{ "no-access", take_access, 1 },
	{ "dontneed", drop, 2 },
	{ "free", may_drop, 2 },
	{ "pageout", page_out, 1 },
	{ "collapse", collapse, 1 },
	{ "fork", fork_and_reap, 2 },
	{ "fork-and-write", fork_and_write, 2 },
	{ "old", make_old, 1 },
	{ "move", move_about, 1 },
};

static const struct operation *chosen(uint64_t seed, unsigned int op)
{
	unsigned int all = 0, at;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(operations); i++)
		all += operations[i].weight;
	at = random_of(seed, op, 0) % all;
	for (i = 0; at >= operations[i].weight; i++)
		at -= operations[i].weight;
	return &operations[i];
}

struct target stress_target(uint64_t seed, unsigned int op)
{
	struct target t = {
		.area = random_of(seed, op, 1) % AREAS,
		.first = random_of(seed, op, 2) % PAGES,
		.value = random_of(seed, op, 4) | 1,
	};

	t.count = 1 + random_of(seed, op, 3) % (PAGES - t.first);
	return t;
}

void stress_run(uint64_t seed, unsigned int op)
{
	struct target t = stress_target(seed, op);

	current_op = op;
	chosen(seed, op)->run(&t);
}

const char *stress_name(uint64_t seed, unsigned int op)
{
	return chosen(seed, op)->name;
}

char *stress_area(unsigned int area)
{
	return areas[area].at;
}

void stress_check(void)
{
	struct audit audit = dma_audit();
	struct target t = { };

	if (audit_stale(&audit))
		fail(STALE, "the IOTLB holds what no table allows: permissive %u, wrong page %u, unmapped %u",
		     audit.permissive, audit.wrong_page, audit.unmapped);
	for (t.area = 0; t.area < AREAS; t.area++)
		for (t.first = 0; t.first < PAGES; t.first++)
			cpu_read(&t);
}

void stress_map(void)
{
	unsigned int area, page;

	for (area = 0; area < AREAS; area++) {
		areas[area].at = area_map(huge_size(), PROT_READ | PROT_WRITE,
					  MAP_ANONYMOUS | (area == PRIVATE ? MAP_PRIVATE : MAP_SHARED), -1);
		for (page = 0; page < PAGES; page++)
			areas[area].pages[page].access = WRITABLE;
	}
}
