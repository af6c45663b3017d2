/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SHORTAGE_H
#define SHORTAGE_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Put memory aside until about so many bytes are left, until this process ends, in
 * whatever way. Returns what is left then; skips the path where that cannot be done.
 */
unsigned long shortage_begin(size_t left);

/* So many bytes more: the kernel has to find them, in what somebody uses. Whether it did. */
bool shortage_more(size_t size);

#endif
