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
static void run(size_t bytes)
{
	static const char * const functions[] = { "ptep_set_access_flags", NULL };
	const struct upgrade upgrade = {
		.size = bytes,
		.prepare = prepare,
		.functions = functions,
	};
	int fd = open(DEVICE, O_RDWR | O_CLOEXEC);
	struct subject s = { };
	void *probe;

	size = bytes;
	if (fd < 0)
		die_errno(DEVICE);
	probe = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
	if (probe == MAP_FAILED && errno == EOPNOTSUPP)
		ktap_skip("the kernel lets no driver map a block");
	if (probe == MAP_FAILED)
		die_errno("mmap of " DEVICE);
	munmap(probe, size);
	s.word = area_map(size, PROT_READ | PROT_WRITE, MAP_SHARED, fd);
	close(fd);
	upgrade_run(&upgrade, &s);
}

void pfnmap(void)
{
	run(page_size);
}

void pfnmap_pmd(void)
{
	run(huge_size());
}
