// SPDX-License-Identifier: GPL-2.0-or-later
#include <string.h>

#include "event.h"
#include "ktap.h"

bool event_parse(const char *line, struct event *event)
{
	const char *name = strstr(line, ": "), *cpu = strstr(line, " ["), *time;

	if (!name || !cpu || cpu > name)
		return false;
	for (time = name; time > line && time[-1] != ' '; time--)
		;
	line += strspn(line, " ");
	while (cpu > line && cpu[-1] == ' ')
		cpu--;
	*event = (struct event) {
		.task = line,
		.task_length = cpu - line,
		.time = time,
		.time_length = name - time,
		.name = name + 2,
		.name_length = strcspn(name + 2, ":"),
	};
	event->arguments = strstr(event->name, ") ");
	event->arguments = event->arguments ? event->arguments + 1 : "";
	return true;
}

void event_tell(const struct event *event)
{
	ktap_moment("%.*s %.*s %.*s%s", event->time_length, event->time,
		    event->task_length, event->task, event->name_length,
		    event->name, event->arguments);
}

void event_tell_mark(const char *line, const char *mark, const char *what)
{
	const char *found = strstr(line, mark);
	struct event event;

	if (found && event_parse(line, &event))
		ktap_moment("%.*s mark %s%s", event.time_length, event.time, what,
			    found + strlen(mark));
}
