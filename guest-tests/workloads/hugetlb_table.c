// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Two processes whose mappings of one file of hugetlb cover a whole table of blocks
 * share that table. A fault in one raises the entry in the table of both, and tells the
 * TLBs of its own address space: a device of the other one keeps what it cached.
 */
#include <linux/mman.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "area.h"
#include "hugetlb.h"
#include "ktap.h"
#include "paths.h"
#include "upgrade.h"

static const char * const functions[] = {
	"huge_ptep_set_access_flags", "ptep_set_access_flags", NULL
};

static int ask[2], tell[2];
static uint64_t *shared_word;

/* What a whole table of blocks maps, in bytes. */
static size_t table_size(void)
{
	return huge_size() * (page_size / sizeof(uint64_t));
}

static char *map_table(int fd, void *at)
{
	char *area = mmap(at, table_size(), PROT_READ,
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
	if (mprotect(area, table_size(), PROT_READ | PROT_WRITE))
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
	unsigned int shift = __builtin_ctzl(huge_size());
	size_t table = table_size();
	int fd = memfd_create("table", MFD_CLOEXEC | MFD_HUGETLB | shift << MAP_HUGE_SHIFT);
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
	hugetlb_prove(area, huge_size(), shift);
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
		.functions = functions,
	};
	struct subject s = { };

	if (page_size > 16384)
		ktap_skip("the kernel shares no tables of blocks with pages of 64 KiB");
	if (hugetlb_free_pages(huge_size()) <= 0)
		ktap_skip("no memory for a hugetlb page of %zu KiB", huge_size() >> 10);
	upgrade_run(&upgrade, &s);
}
