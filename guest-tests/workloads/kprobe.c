// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ktap.h"
#include "trace.h"

static bool write_file(const char *path, int flags, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC | flags, 0600);
	ssize_t length = strlen(text);
	int error;
	bool ok;

	if (fd < 0)
		return false;
	ok = write(fd, text, length) == length;
	error = errno;
	close(fd);
	errno = error;
	return ok;
}

bool trace_set(const char *name, const char *where)
{
	char line[256];

	snprintf(line, sizeof(line), "p:" TRACE_GROUP "/%s %s", name, where);
	return write_file(TRACEFS "/kprobe_events", O_APPEND, line);
}

bool trace_enable(const char *name, const char *filter)
{
	char path[128];

	snprintf(path, sizeof(path), TRACE_EVENTS "/%s/filter", name);
	if (!write_file(path, 0, filter))
		return false;
	snprintf(path, sizeof(path), TRACE_EVENTS "/%s/enable", name);
	return write_file(path, 0, "1");
}

int trace_also(char **arguments, int count)
{
	char name[64];
	int i;

	for (i = 0; i < count; i++) {
		size_t length = strcspn(arguments[i], " +");

		snprintf(name, sizeof(name), TRACE_ALSO "%.*s", (int)length, arguments[i]);
		if (!trace_set(name, arguments[i]) || !trace_enable(name, TRACE_FILTER))
			printf("not probed: %.*s: %s\n", (int)length, arguments[i],
			       strerror(errno));
	}
	return KTAP_EXIT_OK;
}
