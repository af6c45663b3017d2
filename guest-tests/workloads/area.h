/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Memory to test with, and what keeps everything else out of the picture. */
#ifndef AREA_H
#define AREA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

extern size_t page_size;

/* What one entry of the level above the last maps: 2, 32 or 512 MiB. */
static inline size_t huge_size(void)
{
	return page_size * (page_size / sizeof(uint64_t));
}

/* What a contiguous range of pages maps: 16 of 4 KiB, 128 of 16 KiB, 32 of 64 KiB (Arm ARM D8.6.1). */
static inline size_t contiguous_size(void)
{
	return page_size == 4096 ? 16 * page_size : 2UL << 20;
}

/*
 * Stay on one CPU: what the kernel batches for a CPU (pages on their way to the
 * LRU lists) is then where area_drain() can reach it.
 */
void area_init(void);

/*
 * New mapping at an address that no other process uses, in a table of its own,
 * aligned to huge_size(), or to its own size if that is more (a power of two).
 */
void *area_map(size_t size, int prot, int flags, int fd);
void *area_map_at(size_t size, int prot, int flags, int fd, off_t offset);

/* The linker's: from the first byte of this program's data to the last. */
extern char __data_start[], _end[];

/* Memory of our own, which no path under test touches: a fork leaves it out, and area_settle(). */
void *area_apart(size_t size);

/* Have this process write its own data and stack, so that it has no faults later. */
void area_settle(void);

/* Get a page out of the batches; whether it is on its LRU list afterwards. */
bool area_drain(const void *addr);

/* What the kernel says of the page that is mapped there: bits KPF_*. */
uint64_t area_flags(const void *addr);

/* Whether the page there has gone to swap. */
bool area_swapped(const void *addr);

/* One write() to a file of /proc or /sys; false, with errno, if that fails. */
bool area_write_file(const char *name, const char *text);

/* Fork a child that does nothing and is gone. */
void area_fork_and_reap(void);

#endif
