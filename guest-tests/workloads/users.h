/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Processes that use the device, each with memory of its own, and what they lost in the end. */
#ifndef USERS_H
#define USERS_H

#include <stdbool.h>
#include <stddef.h>

#define USERS_MOST	3
#define USERS_ENOUGH	8	/* accesses that failed: each takes its time */

struct loss {
	unsigned int failed;		/* accesses of the device */
	unsigned int lost;		/* pages that a CPU does not find as the device wrote them */
	unsigned int device_lost;	/* that the device does not */
	unsigned int stale;		/* entries of the IOTLB that lead to where a page was */
	unsigned int returned;		/* pages that the device found in swap: no loss */
	unsigned long long stalls;
};

void loss_add(struct loss *sum, const struct loss *loss);

/* Forked, the device opened: what `use` returns is its loss. Once in a program's life. */
void users_start(unsigned int number, struct loss (*use)(size_t size), size_t size);

struct swapped {
	unsigned int now;		/* pages of a user that are in swap */
	unsigned int returned;		/* that were, so far: the device had to ask for them */
	unsigned int enough;		/* users that lost something, and go on no more */
};

/*
 * Of a user: it has come to where the parent looks at all of them, and waits to be let
 * go on; whether there is one more round.
 */
bool users_meet(const struct swapped *swapped);

/* Of the parent: wait until all have come there, and what they say in all; let all go on. */
struct swapped users_gather(void);
void users_release(bool more);

/* All have ended. */
struct loss users_end(void);

#endif
