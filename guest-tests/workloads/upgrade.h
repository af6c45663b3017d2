/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The shape that most paths have: the SMMU caches an entry that is read-only,
 * the page becomes writable, the device writes. If the kernel does not tell the
 * SMMU, the device faults for ever.
 */
#ifndef UPGRADE_H
#define UPGRADE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proof.h"

/* What memory holds before, what a CPU writes, what the device writes. */
#define VALUE_OLD	0x0123456789abcdefULL
#define VALUE_CPU	0x1032547698badcfeULL
#define VALUE_DEVICE	0xfedcba9876543210ULL

struct subject {
	uint64_t *word;		/* what the device reads and writes */
	uint64_t value;			/* that it holds now */
	struct view before;		/* right before the upgrade */
	struct view upgraded;		/* after act(), if there is one */
	struct audit audit;		/* at that moment */
	uint64_t audit_stalls;		/* in the window, by then */
	struct view after;		/* when the device has written */
	struct window window;
	uint64_t cpu_read;		/* instead of the device's, if never_cached */
	struct sva_testdev_dma read, write, reread;
};

/*
 * Form of the path: a CPU writes the page before the device does; the SMMU has
 * not cached its entry before that.
 */
extern bool cpu_first, never_cached;

enum frame { FRAME_REUSED, FRAME_OTHER };

struct upgrade {
	size_t size;			/* of the page under test; 0: a base page */
	/* Leaves a page whose entry is read-only, with s->value in s->word. */
	void (*prepare)(struct subject *s);
	/* What makes it writable; NULL: the first write does, by a CPU if cpu_first. */
	void (*act)(struct subject *s);
	bool lazy;			/* act() may leave it to a fault to do so */
	enum frame frame;
	const char * const *functions;	/* one of them ran; NULL at the end */
};

/* Run it and make all points that are common to such paths. */
void upgrade_run(const struct upgrade *upgrade, struct subject *s);

#endif
