// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Nothing here allocates: a path's own memory must not change its page tables
 * while it measures.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "area.h"
#include "compiler.h"
#include "ktap.h"

#define MOMENTS_SIZE	49152

static const char * const class_names[] = {
	[PRECONDITION] = "precondition",
	[PROGRESS] = "progress",
	[STALE] = "stale",
	[DATA] = "data",
	[HARNESS] = "harness",
};

struct text {
	char *bytes;
	size_t size, used;
};

/* No larger than it has to be: area_settle() writes all of it, anew after each fork. */
#define TEXT(name, length)				\
	static char name##_bytes[length];		\
	static struct text name = { name##_bytes, length, 0 }

TEXT(points, 16384);
TEXT(facts, 16384);
TEXT(said, 1024);	/* last words: what could not be done, or why not */
TEXT(plan, 1024);
static int count, failed, harness_failed;

static char *moments;	/* apart: large, and of no use before the window is closed */
static size_t moments_used;
static unsigned int moments_lost;

static void append_va(struct text *text, const char *format, va_list args)
{
	size_t left = text->size - text->used;
	int length = vsnprintf(text->bytes + text->used, left, format, args);

	if (length < 0 || (size_t)length >= left)
		abort();
	text->used += length;
}

static void __printf(2, 3) append(struct text *text, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	append_va(text, format, args);
	va_end(args);
}

static void point_va(bool ok, enum ktap_class class, const char *format,
		     va_list args)
{
	append(&points, "%sok %d %s: ", ok ? "" : "not ", ++count,
	       class_names[class]);
	append_va(&points, format, args);
	append(&points, "\n");
	failed += !ok;
	harness_failed += !ok && class == HARNESS;
}

void ktap_point(bool ok, enum ktap_class class, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	point_va(ok, class, format, args);
	va_end(args);
}

void ktap_fact(const char *key, const char *format, ...)
{
	va_list args;

	append(&facts, "# %s ", key);
	va_start(args, format);
	append_va(&facts, format, args);
	va_end(args);
	append(&facts, "\n");
}

void ktap_moment(const char *format, ...)
{
	size_t left = MOMENTS_SIZE - moments_used;
	char line[256];
	va_list args;
	int length;

	if (!moments)
		moments = area_apart(MOMENTS_SIZE);
	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	length = snprintf(moments + moments_used, left, "#@ %s\n", line);
	if (length < 0 || (size_t)length >= left)
		moments_lost++;
	else
		moments_used += length;
}

/* The plan, then all that is known: at once, for each write is a packet of its own to whoever reads over SSH. */
static void __printf(1, 2) put_all(const char *format, ...)
{
	struct iovec parts[] = {
		{ plan.bytes, 0 }, { points.bytes, points.used }, { facts.bytes, facts.used }, { moments, moments_used },
	};
	struct iovec *part = parts;
	va_list args;

	append(&plan, "KTAP version 1\n1..");
	va_start(args, format);
	append_va(&plan, format, args);
	va_end(args);
	append(&plan, "\n");
	parts[0].iov_len = plan.used;
	while (part < parts + ARRAY_SIZE(parts)) {
		ssize_t done = writev(STDOUT_FILENO, part, parts + ARRAY_SIZE(parts) - part);

		if (done < 0 && errno != EINTR)
			exit(KTAP_EXIT_HARNESS);
		for (; part < parts + ARRAY_SIZE(parts) && done >= (ssize_t)part->iov_len; part++)
			done -= part->iov_len;
		if (done > 0) {
			part->iov_base = (char *)part->iov_base + done;
			part->iov_len -= done;
		}
	}
}

int ktap_finish(void)
{
	if (moments_lost)
		ktap_fact("moments_lost", "%u", moments_lost);
	put_all("%d", count);
	if (harness_failed)
		return KTAP_EXIT_HARNESS;
	return failed ? KTAP_EXIT_NOT_OK : KTAP_EXIT_OK;
}

void ktap_skip(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	append_va(&said, format, args);
	va_end(args);
	points.used = facts.used = moments_used = 0;	/* a plan of none has no points */
	put_all("0 # SKIP %s", said.bytes);
	exit(KTAP_EXIT_SKIP);
}

void die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	point_va(false, HARNESS, format, args);
	va_end(args);
	exit(ktap_finish());
}

void die_errno(const char *format, ...)
{
	int error = errno;
	va_list args;

	va_start(args, format);
	append_va(&said, format, args);
	va_end(args);
	die("%s: %s", said.bytes, strerror(error));
}
