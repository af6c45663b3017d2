/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One line of ftrace, and how it gets into the path's timeline. */
#ifndef EVENT_H
#define EVENT_H

#include <stdbool.h>

/* "  kworker/0:1-12   [000] d..1.  1.234567: name: (symbol+0x0/0x10) ..." */
struct event {
	const char *task, *time, *name, *arguments;
	int task_length, time_length, name_length;
};

/* False for what is no event. */
bool event_parse(const char *line, struct event *event);

/* Time, task and function, and what was noted of its arguments. */
void event_tell(const struct event *event);

/* A mark, when the line has it: its time, what to call it, and what follows the mark. */
void event_tell_mark(const char *line, const char *mark, const char *what);

#endif
