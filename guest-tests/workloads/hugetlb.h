/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HUGETLB_H
#define HUGETLB_H

#include <stddef.h>

/* How many pages of that size (in bytes) are to be had; -1: the kernel has none of them. */
long hugetlb_free_pages(size_t size);

/*
 * The precondition: each descriptor maps 1 << entry_shift bytes of a page of that size,
 * and those of a page that has several say that they are a contiguous range.
 */
void hugetlb_prove(const void *page, size_t size, unsigned int entry_shift);

#endif
