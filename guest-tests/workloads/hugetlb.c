// SPDX-License-Identifier: GPL-2.0-or-later
/* Pages of hugetlb: one block, or a contiguous range of pages or blocks. */
#include <linux/mman.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "area.h"
#include "ktap.h"
#include "paths.h"
#include "upgrade.h"

static size_t size;		/* of the page under test */
static unsigned int entry_shift;	/* log2 of what one descriptor maps */
static bool contiguous;

static unsigned int size_shift(void)
{
	return __builtin_ctzl(size);
}

/* How many there are to be had; -1: the kernel has none of that size. */
static long free_pages(void)
{
	char name[96];
	long count = -1;
	FILE *file;

	snprintf(name, sizeof(name),
		 "/sys/kernel/mm/hugepages/hugepages-%zukB/free_hugepages", size >> 10);
	file = fopen(name, "r");
	if (file && fscanf(file, "%ld", &count) != 1)
		die("%s: no number", name);
	if (file)
		fclose(file);
	return count;
}

static void prove_size(const void *page)
{
	struct sva_testdev_pte pte = dma_pte(page);

	ktap_point(pte_valid(&pte) && pte.shift == entry_shift &&
		   !!(pte.desc & DESC_CONTIGUOUS) == contiguous, PRECONDITION,
		   "a page of %zu KiB is mapped %s (descriptor %#llx, level %d)", size >> 10,
		   contiguous ? "by a contiguous range" : "by one entry",
		   (unsigned long long)pte.desc, pte.level);
}

/* Somewhere in the middle, in a descriptor that is not the first of its range. */
static uint64_t *middle(char *page)
{
	return (uint64_t *)(page + size / 2 + size / 8 + 8);
}

static void prepare_forked(struct subject *s)
{
	char *page = area_map(size, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB |
			      size_shift() << MAP_HUGE_SHIFT, -1);

	s->word = middle(page);
	WRITE_ONCE(*s->word, VALUE_OLD);
	s->value = VALUE_OLD;
	prove_size(page);
	area_fork_and_reap();
}

/* First mapped to be read only: clean, though its entry may be written later. */
static void prepare_shared(struct subject *s)
{
	int fd = memfd_create("hugetlb", MFD_CLOEXEC | MFD_HUGETLB | size_shift() << MAP_HUGE_SHIFT);
	char *page;

	if (fd < 0)
		die_errno("memfd_create");
	if (ftruncate(fd, size))
		die_errno("ftruncate");
	page = area_map(size, PROT_READ, MAP_SHARED, fd);
	close(fd);
	s->word = middle(page);
	s->value = READ_ONCE(*s->word);
	prove_size(page);
	if (mprotect(page, size, PROT_READ | PROT_WRITE))
		die_errno("mprotect");
}

static void run(const char * const *functions, void (*prepare)(struct subject *s))
{
	const struct upgrade upgrade = {
		.size = size,
		.prepare = prepare,
		.functions = functions,
	};
	struct subject s = { };
	long pages = free_pages();

	if (pages < 0)
		ktap_skip("the kernel has no hugetlb pages of %zu KiB", size >> 10);
	if (!pages)
		ktap_skip("no memory for a hugetlb page of %zu KiB", size >> 10);
	upgrade_run(&upgrade, &s);
}

static const char * const reuse_functions[] = {
	"hugetlb_wp", "huge_ptep_set_access_flags", "ptep_set_access_flags", NULL
};

static void set_block(void)
{
	size = huge_size();
	entry_shift = size_shift();
}

void hugetlb_reuse(void)
{
	set_block();
	run(reuse_functions, prepare_forked);
}

void hugetlb_shared_clean(void)
{
	static const char * const functions[] = {
		"huge_ptep_set_access_flags", "ptep_set_access_flags", NULL
	};

	set_block();
	run(functions, prepare_shared);
}

/* 16 pages of 4 KiB, 128 of 16 KiB, 32 of 64 KiB (Arm ARM D8.6.1). */
void hugetlb_cont_pte(void)
{
	size = page_size == 4096 ? 16 * page_size : 2UL << 20;
	entry_shift = __builtin_ctzl(page_size);
	contiguous = true;
	run(reuse_functions, prepare_forked);
}

/* 16 blocks of 2 MiB, 32 of 32 MiB, 32 of 512 MiB. */
void hugetlb_cont_pmd(void)
{
	size = huge_size() * (page_size == 4096 ? 16 : 32);
	entry_shift = __builtin_ctzl(huge_size());
	contiguous = true;
	run(reuse_functions, prepare_forked);
}
