/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Places in the kernel's code where a page-table entry is raised, one kprobe each.
 * Which ones is told from outside, by `workloads --sites`; in each measured window
 * those that ran become facts: `site_7 1`.
 */
#ifndef SITES_H
#define SITES_H

#include <stddef.h>
#include <stdint.h>

/*
 * Each argument is a number, a place as kprobe_events takes it, and how to see that
 * an event is for the page under test:
 *
 *	7 _text+0x1234 address=%x1;CALLEE;0xRETURN	a register holds the address
 *	8 _text+0x5678 value=%x3			or the entry that is stored
 *	9 _text+0x9abc					or neither
 *
 * Where the kernel refuses a probe in 7's place, one on CALLEE that looks at the
 * return address does as well. Returns an exit status.
 */
int sites_set(char **arguments, int count);

/* An event, from its name on, in a window for [start, end). */
void sites_count(const char *event, uint64_t start, uint64_t end);

/*
 * A fact for each site that ran for the page; its frame before and after, to know
 * it by.
 */
void sites_tell(uint64_t pfn_before, uint64_t pfn_after);

#endif
