/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The shape of what takes a page away: the SMMU has cached a writable entry, the
 * system call returns, from then on the device must not get through to that page.
 */
#ifndef TAKEN_H
#define TAKEN_H

#include <stdbool.h>
#include <stdint.h>

#include "proof.h"

struct taken {
	int fd;			/* the memory as a file */
	uint64_t *word;		/* where the device writes; NULL: taken_run() maps it, twice */
	uint64_t *witness;	/* the same memory, mapped elsewhere */
	struct view before, taken;
	struct audit audit;
	struct window window;
	struct sva_testdev_dma write;
};

/* What the device meets after that. */
enum then {
	REFUSED,	/* it is told that it may not */
	SAME_PAGE,	/* a fault, and the page is there again */
	NEW_PAGE,	/* a fault, and another page is there */
};

struct taking {
	enum then then;
	bool readable;		/* the page is still mapped, read-only */
	void (*act)(struct taken *t);
	const char * const *functions;
};

/* Run it and make all points but those of the memory itself, and of the audit at the end. */
void taken_run(const struct taking *taking, struct taken *t);

/*
 * The same with a private page: what the device wrote before must be there in the
 * end. Makes all points.
 */
void taken_run_private(const struct taking *taking);

/* The page as the other mapping shows it. */
void taken_prove_witness(struct taken *t, uint64_t expected);

#endif
