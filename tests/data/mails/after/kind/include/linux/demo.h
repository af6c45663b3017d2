/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef _LINUX_DEMO_H
#define _LINUX_DEMO_H

struct demo_table {
	unsigned long	entry;
	unsigned long	flags;
};

#define DEMO_WRITE	0x1
#define DEMO_DIRTY	0x2

int demo_upgrade(struct demo_table *table, unsigned long address);
void demo_notify(struct demo_table *table, unsigned long start, unsigned long end);

#endif
