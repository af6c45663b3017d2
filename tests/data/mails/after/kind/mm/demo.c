// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Something with the looks of a fault handler. Café.
 */
#include <linux/demo.h>

static int demo_lock(struct demo_table *table)
{
	if (table->flags & DEMO_DIRTY)
		return -1;

	table->flags |= DEMO_DIRTY;
	return 0;
}

static void demo_unlock(struct demo_table *table)
{
	table->flags &= ~DEMO_DIRTY;
}

int demo_upgrade(struct demo_table *table, unsigned long address)
{
	int ret;

	ret = demo_lock(table);
	if (ret)
		return ret;

	if (table->entry & DEMO_WRITE)
		goto out;

	/*
	 * The entry is ours now: nobody else may change it before the
	 * lock is dropped. A device that has a copy of it may still use
	 * that copy, which allows less than the entry does: such a device
	 * asks again, finds the copy again, and so on for ever.
	 */
	table->entry |= DEMO_WRITE;
out:
	demo_unlock(table);
	return ret;
}

int demo_downgrade(struct demo_table *table, unsigned long address)
{
	int ret;

	ret = demo_lock(table);
	if (ret)
		return ret;

	table->entry &= ~DEMO_WRITE;
	demo_notify(table, address, address + 1);

	demo_unlock(table);
	return ret;
}
