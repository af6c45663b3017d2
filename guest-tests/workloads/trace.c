// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "area.h"
#include "clock.h"
#include "event.h"
#include "ktap.h"
#include "probes.h"
#include "sites.h"
#include "trace.h"

#define STATE		"/run/faultloop-probes"
#define LOCK_SECONDS	60

#define MARK_OPEN	"faultloop window opens"
#define MARK_CLOSE	"faultloop window closes"

#define BUFFER_SIZE	(1 << 16)

static char *buffer;
static int pipe_fd = -1, marker_fd = -1, switch_fd = -1;

static bool set_symbol(const struct probe *probe, const char *symbol,
		       const char *suffix)
{
	char where[192];

	snprintf(where, sizeof(where), "%s%s%s", symbol, suffix,
		 probe->arguments ?: "");
	return trace_set(probe->name, where);
}

/* What tracefs says of the last probe that it refused. */
static bool is_unknown(void)
{
	char *last = buffer, *next;
	int fd = open(TRACEFS "/error_log", O_RDONLY | O_CLOEXEC);
	ssize_t used = 0, got;

	if (fd < 0)
		return false;
	while ((got = read(fd, buffer + used, BUFFER_SIZE - 1 - used)) > 0)
		used += got;
	close(fd);
	buffer[used] = '\0';
	while ((next = strstr(last, "error: ")))
		last = next + 1;
	return strstr(last, "Invalid probed address or symbol");
}

/*
 * EINVAL: functions declared inline are notrace, and the kernel refuses them
 * unless it has CONFIG_KPROBE_EVENTS_ON_NOTRACE. Newer kernels say so, too, of a
 * function that they do not have.
 *
 * A static function may have been cloned by the compiler. Its arguments are then
 * no longer where they were, so only those are tried whose arguments do not count.
 */
static bool set_probe(struct probe *probe)
{
	static const char * const clones[] = { ".isra.0", ".constprop.0" };
	size_t i;

	if (!probe->symbols[0]) {
		if (set_symbol(probe, probe->name, ""))
			return true;
		probe->notrace = errno == EINVAL && !is_unknown();
		if (probe->notrace)
			return false;
		for (i = 0; i < ARRAY_SIZE(clones); i++)
			if (set_symbol(probe, probe->name, clones[i]))
				return true;
		return false;
	}
	for (i = 0; i < ARRAY_SIZE(probe->symbols) && probe->symbols[i]; i++)
		if (set_symbol(probe, probe->symbols[i], ""))
			return true;
	return false;
}

static void set_probes(int state)
{
	size_t i;

	if (!area_write_file(TRACEFS "/buffer_size_kb", "256"))
		die_errno(TRACEFS "/buffer_size_kb");
	for (i = 0; i < NR_PROBES; i++) {
		struct probe *probe = &probes[i];

		if (set_probe(probe)) {
			if (!trace_enable(probe->name, TRACE_FILTER))
				die_errno(TRACE_EVENTS "/%s", probe->name);
		} else if (!probe->notrace) {
			continue;
		}
		if (dprintf(state, "%s%s\n", probe->notrace ? "!" : "",
			    probe->name) < 0)
			die_errno(STATE);
	}
	/* The last line: whoever finds it need not look for probes any more. */
	if (dprintf(state, ".\n") < 0)
		die_errno(STATE);
}

/* Names of the probes that are set (those with a "!" could not be), as noted. */
static bool read_state(int state)
{
	ssize_t length = pread(state, buffer, BUFFER_SIZE - 1, 0);
	char *line, *rest;
	size_t i;

	if (length < 0)
		die_errno(STATE);
	buffer[length] = '\0';
	for (line = strtok_r(buffer, "\n", &rest); line;
	     line = strtok_r(NULL, "\n", &rest)) {
		if (!strcmp(line, "."))
			return true;
		for (i = 0; i < NR_PROBES; i++)
			if (!strcmp(line, probes[i].name))
				probes[i].set = true;
			else if (*line == '!' && !strcmp(line + 1, probes[i].name))
				probes[i].notrace = true;
	}
	return false;
}

/* One workload at a time: windows that overlap would count each other's events. */
static int lock_state(void)
{
	int state = open(STATE, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	int seconds;

	if (state < 0)
		die_errno(STATE);
	for (seconds = 0; flock(state, LOCK_EX | LOCK_NB); seconds++) {
		if (errno != EWOULDBLOCK)
			die_errno("lock of " STATE);
		if (seconds == LOCK_SECONDS)
			die("another workload has been running for %d seconds",
			    LOCK_SECONDS);
		sleep(1);
	}
	return state;
}

static void record(const char *on)
{
	if (write(switch_fd, on, 1) != 1)
		die_errno(TRACEFS "/tracing_on");
}

void trace_prepare(void)
{
	int state = lock_state();	/* until this process ends */

	buffer = area_apart(BUFFER_SIZE);
	if (!read_state(state)) {
		set_probes(state);
		read_state(state);
	}
	pipe_fd = open(TRACEFS "/trace_pipe", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (pipe_fd < 0)
		die_errno(TRACEFS "/trace_pipe");
	marker_fd = open(TRACEFS "/trace_marker", O_WRONLY | O_CLOEXEC);
	if (marker_fd < 0)
		die_errno(TRACEFS "/trace_marker");
	switch_fd = open(TRACEFS "/tracing_on", O_WRONLY | O_CLOEXEC);
	if (switch_fd < 0)
		die_errno(TRACEFS "/tracing_on");
	record("0");	/* of a path that was killed in its window */
}

/* More events, added to those in the buffer; 0 at their end. */
static size_t read_events(size_t used)
{
	ssize_t length;

	do {
		length = read(pipe_fd, buffer + used, BUFFER_SIZE - 1 - used);
	} while (length < 0 && errno == EINTR);
	if (length < 0 && errno != EAGAIN)
		die_errno(TRACEFS "/trace_pipe");
	return length < 0 ? 0 : length;
}

/* The kernel copies it without taking faults, which fails on a page that was just made old. */
void trace_mark(const char *text)
{
	const volatile char *touched = text;

	(void)touched[0];
	(void)touched[strlen(text)];
	if (write(marker_fd, text, strlen(text)) < 0)
		die_errno(TRACEFS "/trace_marker");
}

void trace_open(void)
{
	while (read_events(0))
		;
	record("1");
	clock_mark();
	trace_mark(MARK_OPEN);
}

void trace_close(void)
{
	trace_mark(MARK_CLOSE);
	record("0");
}

static uint64_t argument(const char *line, const char *name)
{
	const char *found = strstr(line, name);

	return found ? strtoull(found + strlen(name), NULL, 16) : 0;
}

static bool concerns(const struct probe *probe, const char *line,
		     uint64_t start, uint64_t end)
{
	uint64_t address;

	switch (probe->scope) {
	case BY_ADDRESS:
		address = argument(line, " address=0x");
		return address >= start && address < end;
	case BY_RANGE:
		return argument(line, " start=0x") < end &&
		       argument(line, " end=0x") > start;
	default:
		return true;
	}
}

/* Those that were told an address are of interest for that of the page alone. */
static void tell_also(const struct event *event, uint64_t start, uint64_t end)
{
	struct probe as = { .scope = BY_TASK };

	if (strstr(event->arguments, " address=0x"))
		as.scope = BY_ADDRESS;
	else if (strstr(event->arguments, " start=0x"))
		as.scope = BY_RANGE;
	if (concerns(&as, event->arguments, start, end))
		event_tell(event);
}

static void count_line(const char *line, uint64_t start, uint64_t end)
{
	struct event event;
	size_t i;

	if (!event_parse(line, &event))
		return;
	if (!strncmp(event.name, TRACE_ALSO, strlen(TRACE_ALSO))) {
		tell_also(&event, start, end);
		return;
	}
	for (i = 0; i < NR_PROBES; i++) {
		if (strlen(probes[i].name) != (size_t)event.name_length ||
		    strncmp(probes[i].name, event.name, event.name_length))
			continue;
		if (concerns(&probes[i], event.name, start, end)) {
			probes[i].hits++;
			event_tell(&event);
		} else {
			probes[i].elsewhere++;
		}
		return;
	}
	sites_count(event.name, start, end);
}

void trace_count(const void *start, size_t size)
{
	uint64_t from = (uintptr_t)start, to = from + size;
	bool counting = false, closed = false;
	char *line, *newline;
	size_t used = 0, more;

	ktap_moment("page %#llx %#zx", (unsigned long long)from, size);
	clock_tell();
	while ((more = read_events(used))) {
		used += more;
		buffer[used] = '\0';
		for (line = buffer; (newline = strchr(line, '\n')); line = newline + 1) {
			*newline = '\0';
			if (strstr(line, "LOST"))
				die("trace events were lost: %s", line);
			closed |= !!strstr(line, MARK_CLOSE);
			event_tell_mark(line, CLOCK_MARK, "tick ");
			event_tell_mark(line, MARK_OPEN, "open");
			event_tell_mark(line, MARK_CLOSE, "close");
			if (counting && !closed)
				count_line(line, from, to);
			counting |= !!strstr(line, MARK_OPEN);
		}
		used -= line - buffer;
		memmove(buffer, line, used);
	}
	if (!counting || !closed)
		die("the marks are missing in the trace");
}

static const struct probe *find(const char *name)
{
	size_t i;

	for (i = 0; i < NR_PROBES; i++)
		if (!strcmp(probes[i].name, name))
			return &probes[i];
	die("no probe for %s", name);
}

int trace_hits(const char *function)
{
	const struct probe *probe = find(function);

	if (probe->set)
		return probe->hits;
	return probe->notrace ? TRACE_NOTRACE : TRACE_INLINED;
}

int trace_elsewhere(const char *function)
{
	const struct probe *probe = find(function);

	return probe->set ? probe->elsewhere : TRACE_INLINED;
}
