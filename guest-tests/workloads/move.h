/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The shape of what leads an address to another page, or to the same one by
 * another entry: the SMMU has cached the old entry, and the device reads on
 * meanwhile. At no time may it see anything but what the memory holds.
 */
#ifndef MOVE_H
#define MOVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proof.h"

struct moved {
	char *area;
	uint64_t *word;				/* in the middle, unless act() says another and views it before */
	struct view before, moved, after;	/* of it */
	struct audit audit;			/* right after act() */
	struct window window;
	struct sva_testdev_stop reader;
	struct sva_testdev_dma fill, verify, write;
};

enum moved_to { OTHER_FRAME, OTHER_LEVEL, SAME_FRAME };

struct move {
	size_t size;				/* of the area; 0: a base page */
	enum moved_to to;
	void (*prepare)(struct moved *m);	/* map m->area */
	void (*act)(struct moved *m);
	const char * const *functions;
};

void move_run(const struct move *move);

#endif
