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
#include "ktap.h"
#include "paths.h"
#include "upgrade.h"

#define FORKS	4
#define STIRRED_FORKS	2	/* the first one is enough */
#define MAPPINGS	600	/* some dozen pages of the kernel's own, by their descriptions */

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

static void need_pages(void)
{
	long pages = free_pages();

	if (pages < 0)
		ktap_skip("the kernel has no hugetlb pages of %zu KiB", size >> 10);
	if (!pages)
		ktap_skip("no memory for a hugetlb page of %zu KiB", size >> 10);
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
	prove_size(page);
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
	contiguous = true;
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
	prove_size(page);
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
	contiguous = true;
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

/*
 * Two processes whose mappings of one file cover a whole table of blocks share
 * that table. A fault in one raises the entry in the table of both, and tells the
 * TLBs of its own address space: a device of the other one keeps what it cached.
 */
static int ask[2], tell[2];
static uint64_t *shared_word;

static char *map_table(int fd, void *at)
{
	char *area = mmap(at, huge_size() * (page_size / sizeof(uint64_t)), PROT_READ,
			  MAP_SHARED | MAP_NORESERVE | (at ? MAP_FIXED_NOREPLACE : 0), fd, 0);

	if (area == MAP_FAILED)
		die_errno("mmap");
	return area;
}

static void say(int pipe)
{
	if (write(pipe, "!", 1) != 1)
		die_errno("write to the other process");
}

static void wait_for_word(int pipe)
{
	char byte;

	if (read(pipe, &byte, 1) != 1)
		_exit(1);	/* of the other process: this one is done */
}

static void give_write(char *area)
{
	if (mprotect(area, huge_size() * (page_size / sizeof(uint64_t)), PROT_READ | PROT_WRITE))
		die_errno("mprotect");
}

/* The other process: map, read, take the right to write, write, each when asked to. */
static void sharer_main(int fd, char *at)
{
	char *area;

	close(ask[1]);
	close(tell[0]);
	wait_for_word(ask[0]);
	area = map_table(fd, at);
	if (READ_ONCE(*shared_word))
		_exit(2);
	say(tell[1]);
	wait_for_word(ask[0]);
	give_write(area);
	say(tell[1]);
	wait_for_word(ask[0]);
	WRITE_ONCE(*shared_word, VALUE_CPU);
	say(tell[1]);
	wait_for_word(ask[0]);
}

static void ask_sharer(void)
{
	char byte;

	say(ask[1]);
	if (read(tell[0], &byte, 1) != 1)
		die("the other process has ended");
}

/*
 * Read-only in both, in one table. To give write takes this process out of it, and
 * leaves an entry that is clean; the next read brings this process back.
 */
static void prepare_table(struct subject *s)
{
	size_t table = huge_size() * (page_size / sizeof(uint64_t));
	int fd = memfd_create("table", MFD_CLOEXEC | MFD_HUGETLB | size_shift() << MAP_HUGE_SHIFT);
	char *area = area_map(table, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
	pid_t pid;

	if (fd < 0)
		die_errno("memfd_create");
	if (munmap(area, table) || ftruncate(fd, table) || pipe(ask) || pipe(tell))
		die_errno("ftruncate, pipe");
	shared_word = (uint64_t *)(area + 8);
	pid = fork();
	if (pid < 0)
		die_errno("fork");
	if (!pid) {
		sharer_main(fd, area);
		_exit(0);
	}
	close(ask[0]);
	close(tell[1]);
	map_table(fd, area);
	s->word = shared_word;
	s->value = READ_ONCE(*s->word);
	ask_sharer();
	give_write(area);
	ask_sharer();
	s->value = READ_ONCE(*s->word);
	prove_size(area);
}

static void sharer_writes(struct subject *s)
{
	ask_sharer();
	s->value = VALUE_CPU;
}

void hugetlb_shared_table(void)
{
	const struct upgrade upgrade = {
		.size = huge_size(),
		.prepare = prepare_table,
		.act = sharer_writes,
		.functions = clean_functions,
	};
	struct subject s = { };

	set_block();
	if (page_size > 16384)
		ktap_skip("the kernel shares no tables of blocks with pages of 64 KiB");
	if (free_pages() <= 0)
		ktap_skip("no memory for a hugetlb page of %zu KiB", size >> 10);
	upgrade_run(&upgrade, &s);
}
