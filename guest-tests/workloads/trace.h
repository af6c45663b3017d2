/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Kernel functions that ran for the memory under test, counted by kprobes.
 *
 * The probes are set once, when the guest boots, in a trace instance of their
 * own. They record only page-fault workers and workloads, and each workload
 * counts what lies between its two marks: other processes cannot be mistaken
 * for the fault under test.
 */
#ifndef TRACE_H
#define TRACE_H

#include <stddef.h>

#define TRACE_INLINED	(-1)	/* no function of that name: nothing to count */

/* Set the probes, unless that has been done. */
void trace_prepare(void);

/* Forget all events so far; begin and end of what is counted. */
void trace_open(void);
void trace_close(void);

/*
 * How often a function ran for [start, start + size) between the two. Functions
 * that are told the address are counted for that range alone, others for the
 * process and the page-fault workers.
 */
void trace_count(const void *start, size_t size);
int trace_hits(const char *function);

/* The same for the SMMU driver's notifier callback, for other ranges too. */
int trace_notified(void);
int trace_notified_elsewhere(void);

#endif
