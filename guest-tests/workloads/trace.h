/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Kernel functions that ran for the memory under test, counted by kprobes.
 *
 * The probes are set once, when the guest boots. They record only page-fault
 * workers and workloads, and only while a window is open: to read what comes
 * otherwise costs more than the path itself. Each workload counts what lies
 * between its two marks: other processes cannot be mistaken for the fault under
 * test. (A trace instance of their own would be tidier, but takes Linux 6.1 a
 * second to make.)
 */
#ifndef TRACE_H
#define TRACE_H

#include <stdbool.h>
#include <stddef.h>

/* Workers of the I/O page fault queue and of writeback, who merges pages, and the workloads. */
#define TRACE_FILTER	"comm ~ \"kworker*\" || comm ~ \"jbd2*\" || comm == \"ksmd\" || comm == \"workloads\""

#define TRACEFS		"/sys/kernel/tracing"
#define TRACE_GROUP	"faultloop"
#define TRACE_EVENTS	TRACEFS "/events/" TRACE_GROUP
#define TRACE_ALSO	"also_"	/* begins the names of what trace_also() sets */

/* Instead of a count: */
#define TRACE_INLINED	(-1)	/* the kernel has no function of that name */
#define TRACE_NOTRACE	(-2)	/* it has, but lets nobody probe it */

/* Set the probes, unless that has been done; no other workload runs from here on. */
void trace_prepare(void);

/* A kprobe of that name at a place as kprobe_events takes it; both say why not in errno. */
bool trace_set(const char *name, const char *where);
bool trace_enable(const char *name, const char *filter);

/*
 * More functions for the timeline, which count for nothing: a symbol and its
 * arguments each, as kprobe_events takes them. Returns an exit status.
 */
int trace_also(char **arguments, int count);

/* A line of our own in the trace. */
void trace_mark(const char *text);

/* Forget all events so far; begin and end of what is counted. */
void trace_open(void);
void trace_close(void);

/*
 * How often a function ran for [start, start + size) between the two. Functions
 * that are told the address are counted for that range alone, others for the
 * process and the page-fault workers. "notifier" is the SMMU driver's callback,
 * whatever its name.
 */
void trace_count(const void *start, size_t size);
int trace_hits(const char *function);

/* For functions that are told an address: how often for other ranges. */
int trace_elsewhere(const char *function);

#endif
