/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Marks in the kernel log, so that what the kernel says can be charged to a path or a test. */
#ifndef KMSG_H
#define KMSG_H

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

#define KMSG	"/dev/kmsg"

/* False, with errno, if the kernel did not take it; a machine without that file needs none. */
static inline bool kmsg_note(const char *what, const char *name)
{
	char line[128];
	int length = snprintf(line, sizeof(line), "<6>faultloop: %s %s\n", what, name);
	int log = open(KMSG, O_WRONLY | O_CLOEXEC);
	bool ok;

	if (log < 0)
		return true;
	/* Not dprintf(): it asks for the position first, and this file has none. */
	ok = write(log, line, length) == length;
	close(log);
	return ok;
}

#endif
