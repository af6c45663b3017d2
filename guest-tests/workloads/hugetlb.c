// SPDX-License-Identifier: GPL-2.0-or-later
/* Pages of hugetlb: one block, or a contiguous range of pages or blocks. */
#include <linux/mman.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "area.h"
#include "hugetlb.h"
#include "ktap.h"
#include "paths.h"
#include "upgrade.h"

#define FORKS	4
#define STIRRED_FORKS	2	/* the first one is enough */
#define MAPPINGS	600	/* some dozen pages of the kernel's own, by their descriptions */

long hugetlb_free_pages(size_t size)
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

void hugetlb_prove(const void *page, size_t size, unsigned int entry_shift)
{
	struct sva_testdev_pte pte = dma_pte(page);
	bool contiguous = size >> entry_shift > 1;

	ktap_point(pte_valid(&pte) && pte.shift == entry_shift &&
		   !!(pte.desc & DESC_CONTIGUOUS) == contiguous, PRECONDITION,
		   "a page of %zu KiB is mapped %s (descriptor %#llx, level %d)", size >> 10,
		   contiguous ? "by a contiguous range" : "by one entry",
		   (unsigned long long)pte.desc, pte.level);
}

static size_t size;		/* of the page under test */
static unsigned int entry_shift;	/* log2 of what one descriptor maps */

static unsigned int size_shift(void)
{
	return __builtin_ctzl(size);
}

static void need_pages(void)
{
	long pages = hugetlb_free_pages(size);

	if (pages < 0)
		ktap_skip("the kernel has no hugetlb pages of %zu KiB", size >> 10);
	if (!pages)
		ktap_skip("no memory for a hugetlb page of %zu KiB", size >> 10);
}

/* Somewhere in the middle, in a descriptor that is not the first of its range. */
static uint64_t *middle(char *page)
{
	return (uint64_t *)(page + size / 2 + size / 8 + 8);
}

static char *map_private(void)
{
	return area_map(size, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB |
			size_shift() << MAP_HUGE_SHIFT, -1);
}

/*
 * A kernel may leave out a page of a contiguous range (hugetlb_fork()), and its entry
 * as it was. A child that missed it keeps the table that led to that, so that the next
 * one gets another.
 */
static void fork_and_reap(const void *word)
{
	pid_t children[FORKS];
	unsigned int count = 0;
	struct sva_testdev_pte pte;

	do {
		pid_t pid = fork();

		if (pid < 0)
			die_errno("fork");
		if (!pid)
			for (;;)
				pause();
		children[count++] = pid;
		pte = dma_pte(word);
	} while (!pte_read_only(&pte) && count < FORKS);
	ktap_fact("forks", "%u", count);
	while (count--)
		if (kill(children[count], SIGKILL) || waitpid(children[count], NULL, 0) < 0)
			die_errno("kill, wait");
}

static void prepare_forked(struct subject *s)
{
	char *page = map_private();

	s->word = middle(page);
	WRITE_ONCE(*s->word, VALUE_OLD);
	s->value = VALUE_OLD;
	hugetlb_prove(page, size, entry_shift);
	fork_and_reap(s->word);
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
	hugetlb_prove(page, size, entry_shift);
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

	need_pages();
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

static const char * const clean_functions[] = {
	"huge_ptep_set_access_flags", "ptep_set_access_flags", NULL
};

void hugetlb_shared_clean(void)
{
	set_block();
	run(clean_functions, prepare_shared);
}

static void set_contiguous(void)
{
	size = contiguous_size();
	entry_shift = __builtin_ctzl(page_size);
}

void hugetlb_cont_pte(void)
{
	set_contiguous();
	run(reuse_functions, prepare_forked);
}

/* So that the next tables are pages that the kernel had used for its own objects. */
static void stir_kernel_pages(void)
{
	size_t all = 2 * MAPPINGS * page_size;
	char *area = mmap(NULL, all, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	char *at;

	if (area == MAP_FAILED)
		die_errno("mmap");
	for (at = area; at < area + all; at += 2 * page_size)
		if (mprotect(at, page_size, PROT_READ))
			die_errno("mprotect");
	if (munmap(area, all))
		die_errno("munmap");
}

static bool child_finds(const uint64_t *word, uint64_t value)
{
	pid_t pid = fork();
	int status;

	if (pid < 0)
		die_errno("fork");
	if (!pid)
		_exit(READ_ONCE(*word) != value);
	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		die("a child came to no end of its own");
	return !WEXITSTATUS(status);
}

/*
 * copy_hugetlb_page_range() asks whether the child's table is one that it shares. That is
 * counted in struct page, for tables of blocks; a table of pages has there what its page's
 * last user left, and is then passed over: the child has no page, the parent's entry stays
 * writable.
 */
void hugetlb_fork(void)
{
	struct sva_testdev_dma write, reread;
	struct window window;
	unsigned int i;
	bool lost = false;
	uint64_t *word;
	char *page;

	set_contiguous();
	need_pages();
	prove_faults_served();
	page = map_private();
	word = middle(page);
	write = dma_write(word, VALUE_DEVICE);
	hugetlb_prove(page, size, entry_shift);
	window_open(&window, page, size);
	for (i = 0; i < STIRRED_FORKS && !lost; i++) {
		stir_kernel_pages();
		lost = !child_finds(word, VALUE_DEVICE);
	}
	reread = dma_read(word);
	window_close(&window);

	ktap_point(dma_done(&write), PRECONDITION, "device write %s", dma_end(&write));
	ktap_point(!lost, DATA, "a child has what the device wrote (child %u %s)", i,
		   lost ? "has not" : "has");
	ktap_point(dma_done(&reread) && reread.data == VALUE_DEVICE, DATA,
		   "the device reads %#llx, memory holds %#llx", (unsigned long long)reread.data,
		   (unsigned long long)READ_ONCE(*word));
	prove_audit_at_end();
	tell_window(&window, &reread);
}

void hugetlb_cont_pte_clean(void)
{
	set_contiguous();
	run(clean_functions, prepare_shared);
}

/* 16 blocks of 2 MiB, 32 of 32 MiB, 32 of 512 MiB. */
static void set_cont_pmd(void)
{
	size = huge_size() * (page_size == 4096 ? 16 : 32);
	entry_shift = __builtin_ctzl(huge_size());
}

void hugetlb_cont_pmd(void)
{
	set_cont_pmd();
	run(reuse_functions, prepare_forked);
}

void hugetlb_cont_pmd_clean(void)
{
	set_cont_pmd();
	run(clean_functions, prepare_shared);
}
