// SPDX-License-Identifier: GPL-2.0-or-later
/* Pages that were swapped out: to compressed memory, which a write to disk cannot delay. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/swap.h>
#include <unistd.h>

#include "area.h"
#include "ktap.h"
#include "swap.h"

#define DISK		"/dev/zram0"
#define CONTROL		"/sys/block/zram0/"
#define SWAP_SIZE	(64UL << 20)
#define PAGEOUT_TRIES	8

/* Layout that swapon() looks for: what a user would have mkswap write. */
struct swap_header {
	char boot[1024];
	uint32_t version;
	uint32_t last_page;
	uint32_t nr_badpages;
};

static void end_swap(void)
{
	swapoff(DISK);
	area_write_file(CONTROL "reset", "1");
}

static void write_header(void)
{
	char *page = area_apart(page_size);
	struct swap_header *header = (struct swap_header *)page;
	int fd = open(DISK, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		die_errno(DISK);
	header->version = 1;
	header->last_page = SWAP_SIZE / page_size - 1;
	memcpy(page + page_size - 10, "SWAPSPACE2", 10);
	if (write(fd, page, page_size) != (ssize_t)page_size)
		die_errno("write to " DISK);
	close(fd);
}

void swap_begin(void)
{
	char size[32];

	if (access(DISK, F_OK))
		ktap_skip("the kernel has no zram");
	end_swap();	/* of a path that was killed */
	snprintf(size, sizeof(size), "%lu", SWAP_SIZE);
	if (!area_write_file(CONTROL "disksize", size))
		die_errno(CONTROL "disksize");
	write_header();
	if (swapon(DISK, 0))
		die_errno("swapon");
	atexit(end_swap);
}

bool swap_out(void *addr, size_t size)
{
	int i;

	for (i = 0; i < PAGEOUT_TRIES && !area_swapped(addr); i++) {
		area_drain(addr);
		if (madvise(addr, size, MADV_PAGEOUT))
			die_errno("madvise(MADV_PAGEOUT)");
	}
	return area_swapped(addr);
}

static long vmstat(const char *name)
{
	FILE *in = fopen("/proc/vmstat", "r");
	char line[128], format[64];
	long value = -1;

	snprintf(format, sizeof(format), "%s %%ld", name);
	while (in && value < 0 && fgets(line, sizeof(line), in))
		if (sscanf(line, format, &value) != 1)
			value = -1;
	if (in)
		fclose(in);
	return value;
}

struct swap_counts swap_counts(void)
{
	return (struct swap_counts) { .out = vmstat("pswpout"), .in = vmstat("pswpin") };
}

void tell_swap(const struct swap_counts *moved, unsigned long long stalls, const struct window *window)
{
	ktap_fact("swapped_out", "%ld", moved->out);
	ktap_fact("swapped_in", "%ld", moved->in);
	ktap_fact("device_faults", "%llu", stalls);
	if (moved->out > 0)
		ktap_fact("tlbi_per_page_out", "%.2f",
			  (double)(window->after.tlbi - window->before.tlbi) / moved->out);
}
