/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A second subscriber to this process's memory, of the start and end kind as KVM
 * is one: what a fix of the SMMU's trouble makes it pay.
 */
#ifndef SUBSCRIBER_H
#define SUBSCRIBER_H

#include "sva_testsub.h"

/* Subscribe; counts are 0 for a process that did not. */
void subscriber_open(void);

struct sva_testsub_counts subscriber_counts(void);

/* Facts: calls between the two. */
void subscriber_tell(const struct sva_testsub_counts *before,
		     const struct sva_testsub_counts *after);

#endif
