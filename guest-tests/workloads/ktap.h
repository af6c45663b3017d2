/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Test points and facts of one path, printed as KTAP when all is known. */
#ifndef KTAP_H
#define KTAP_H

#include <stdbool.h>

#include "compiler.h"

/* What a failed point says about the kernel. */
enum ktap_class {
	PRECONDITION,	/* nothing: the path did not happen as it should have */
	PROGRESS,	/* the device came no further: LOOP */
	STALE,		/* the device could do what the tables forbid: STALE */
	DATA,		/* memory holds something else: CORRUPT */
	HARNESS,	/* nothing: trouble of our own */
};

enum {
	KTAP_EXIT_OK = 0,
	KTAP_EXIT_NOT_OK = 1,
	KTAP_EXIT_HARNESS = 4,
	KTAP_EXIT_SKIP = 77,
};

__printf(3, 4)
void ktap_point(bool ok, enum ktap_class class, const char *format, ...);
__printf(2, 3)
void ktap_fact(const char *key, const char *format, ...);

/*
 * A line of the path's timeline, `#@ ...`: a comment to readers of KTAP, read by
 * harness/oracle/timeline.py. Those for which there is no room are counted.
 */
__printf(1, 2)
void ktap_moment(const char *format, ...);

/* Print everything; returns the exit status. */
int ktap_finish(void);

/* Nothing of this path applies here. */
__noreturn __printf(1, 2)
void ktap_skip(const char *format, ...);

/* Our own trouble: print what is known so far and a failed HARNESS point. */
__noreturn __printf(1, 2)
void die(const char *format, ...);

/* The same, with what errno says. */
__noreturn __printf(1, 2)
void die_errno(const char *format, ...);

#endif
