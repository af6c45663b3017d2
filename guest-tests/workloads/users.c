// SPDX-License-Identifier: GPL-2.0-or-later
#include <sys/wait.h>
#include <unistd.h>

#include "area.h"
#include "dma.h"
#include "ktap.h"
#include "users.h"

static struct user {
	pid_t pid;
	int from, to;		/* its ends of two pipes */
} users[USERS_MOST];

static unsigned int number_of_users;
static int to_parent, from_parent;	/* of a user */

void loss_add(struct loss *sum, const struct loss *loss)
{
	sum->failed += loss->failed;
	sum->lost += loss->lost;
	sum->device_lost += loss->device_lost;
	sum->stale += loss->stale;
	sum->returned += loss->returned;
	sum->stalls += loss->stalls;
}

void users_start(unsigned int number, struct loss (*use)(size_t size), size_t size)
{
	int up[2], down[2];

	while (number_of_users < number) {
		struct user *user = &users[number_of_users++];

		if (pipe(up) || pipe(down))
			die_errno("pipe");
		*user = (struct user) { .from = up[0], .to = down[1], .pid = fork() };
		if (user->pid < 0)
			die_errno("fork");
		if (!user->pid) {
			struct loss loss;

			to_parent = up[1];
			from_parent = down[0];
			/* Should memory end, it is a user's fault. */
			area_write_file("/proc/self/oom_score_adj", "1000");
			dma_open();
			loss = use(size);
			_exit(write(to_parent, &loss, sizeof(loss)) != sizeof(loss));
		}
		close(up[1]);
		close(down[0]);
	}
}

bool users_meet(const struct swapped *swapped)
{
	bool more;

	if (write(to_parent, swapped, sizeof(*swapped)) != sizeof(*swapped) ||
	    read(from_parent, &more, sizeof(more)) != sizeof(more))
		_exit(4);
	return more;
}

struct swapped users_gather(void)
{
	struct swapped all = { }, one;
	unsigned int i;

	for (i = 0; i < number_of_users; i++) {
		if (read(users[i].from, &one, sizeof(one)) != sizeof(one))
			die("a process ended early");
		all.now += one.now;
		all.returned += one.returned;
		all.enough += one.enough;
	}
	return all;
}

void users_release(bool more)
{
	unsigned int i;

	for (i = 0; i < number_of_users; i++)
		if (write(users[i].to, &more, sizeof(more)) != sizeof(more))
			die_errno("pipe");
}

struct loss users_end(void)
{
	struct loss all = { }, loss;
	unsigned int i;
	int status;

	for (i = 0; i < number_of_users; i++) {
		if (read(users[i].from, &loss, sizeof(loss)) != sizeof(loss))
			die("a process ended early");
		if (waitpid(users[i].pid, &status, 0) != users[i].pid)
			die_errno("waitpid");
		loss_add(&all, &loss);
	}
	return all;
}
