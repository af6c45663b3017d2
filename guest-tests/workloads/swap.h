/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SWAP_H
#define SWAP_H

#include <stdbool.h>
#include <stddef.h>

#include "proof.h"

/* Swap on until this process ends; skips the path where there is nowhere to swap to. */
void swap_begin(void);

/* Whether the first page of it has gone there. */
bool swap_out(void *addr, size_t size);

/* Pages that went there and came back, since the machine started. */
struct swap_counts {
	long out, in;
};

struct swap_counts swap_counts(void);

/* Facts: what moved in the window, and what it cost the device. */
void tell_swap(const struct swap_counts *moved, unsigned long long stalls, const struct window *window);

#endif
