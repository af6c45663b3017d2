/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SWAP_H
#define SWAP_H

#include <stdbool.h>
#include <stddef.h>

/* Swap on until this process ends; skips the path where there is nowhere to swap to. */
void swap_begin(void);

/* Whether the first page of it has gone there. */
bool swap_out(void *addr, size_t size);

#endif
