// SPDX-License-Identifier: GPL-2.0-or-later
/* Memory that a driver maps by itself, as DAX does: read-only until it is written. */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "area.h"
#include "ktap.h"
#include "paths.h"
#include "upgrade.h"

#define DEVICE	"/dev/sva_testmap"

#ifndef MADV_POPULATE_WRITE	/* since Linux 5.14 */
#define MADV_POPULATE_WRITE	23
#endif

static size_t size;

static void prepare(struct subject *s)
{
	struct sva_testdev_pte pte;

	s->value = READ_ONCE(*s->word);
	pte = dma_pte(s->word);
	ktap_point(pte_valid(&pte) && 1UL << pte.shift == size, PRECONDITION,
		   "one entry maps %zu KiB (descriptor %#llx, level %d)", size >> 10,
		   (unsigned long long)pte.desc, pte.level);
}

/* area_map() ends the path when there is no such mapping: that is asked here first. */
static void run(size_t bytes, off_t offset, void (*act)(struct subject *s),
		const char * const *functions)
{
	const struct upgrade upgrade = {
		.size = bytes,
		.prepare = prepare,
		.act = act,
		.functions = functions,
	};
	int fd = open(DEVICE, O_RDWR | O_CLOEXEC);
	struct subject s = { };
	void *probe;

	size = bytes;
	if (fd < 0)
		die_errno(DEVICE);
	probe = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, offset);
	if (probe == MAP_FAILED && errno == EOPNOTSUPP)
		ktap_skip("the kernel lets no driver map a block");
	if (probe == MAP_FAILED && errno == ENOMEM)
		ktap_skip("no memory for a block of %zu MiB", size >> 20);
	if (probe == MAP_FAILED)
		die_errno("mmap of " DEVICE);
	munmap(probe, size);
	s.word = area_map_at(size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, offset);
	close(fd);
	upgrade_run(&upgrade, &s);
}

static const char * const raise_functions[] = { "ptep_set_access_flags", NULL };

void pfnmap(void)
{
	run(page_size, 0, NULL, raise_functions);
}

void pfnmap_pmd(void)
{
	run(huge_size(), 0, NULL, raise_functions);
}

/* As if it had been written, though nothing was: GUP marks the entry dirty by itself. */
static void populate(struct subject *s)
{
	void *page = (void *)((uintptr_t)s->word & ~(page_size - 1));

	if (madvise(page, page_size, MADV_POPULATE_WRITE))
		die_errno("madvise(MADV_POPULATE_WRITE)");
}

void pfnmap_populate(void)
{
	static const char * const functions[] = { "follow_page_pte", "follow_page_mask", NULL };

	run(page_size, page_size, populate, functions);
}
