// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Run a program that knows nothing of the device, with its memory bound to it: the
 * program is stopped when it has been put into place and has not run yet (ptrace),
 * and its new address space is bound then; so is that of each process that it forks.
 * The device reads what their page tables map (primer), so that the IOTLB is full of
 * entries: every now and then, and before each system call that may change them. All
 * that the IOTLB holds is compared with the page tables after such a call, after each
 * result that the program prints, and right before a process's end.
 *
 * What the program prints goes to standard output, untouched. What is said here
 * goes to standard error: a line for each audit that found something, and one at
 * the end.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "../workloads/kmsg.h"
#include "launch.h"

#define POLL_MS		20
#define PRIME_MS	250		/* between passes: the program needs the CPU as well */
#define STATUS_OURS	125

static pid_t child;

void die(const char *what)
{
	fprintf(stderr, "launch: error: %s: %s\n", what, strerror(errno));
	if (child > 0)
		kill(child, SIGKILL);
	exit(STATUS_OURS);
}

uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000ULL + now.tv_nsec / 1000000;
}

/* "ok 3 ..." or "not ok 3 ...", of any depth. */
static bool is_result(const char *line)
{
	line += strspn(line, " \t");
	return !strncmp(line, "ok ", 3) || !strncmp(line, "not ok ", 7);
}

static void take(const char *data, ssize_t length)
{
	static char line[256];
	static size_t used;
	ssize_t i;

	if (write(STDOUT_FILENO, data, length) != length)
		die("standard output");
	for (i = 0; i < length; i++) {
		if (data[i] != '\n') {
			if (used < sizeof(line) - 1)
				line[used++] = data[i];
			continue;
		}
		line[used] = '\0';
		used = 0;
		if (is_result(line))
			audit_stopped(line);
	}
}

/* Anything that the test printed, or nothing within POLL_MS, or a process stopped. */
static bool wait_for(struct pollfd *poller, const sigset_t *mask)
{
	const struct timespec wait = { .tv_nsec = POLL_MS * 1000000L };

	if (poller->fd >= 0)
		return ppoll(poller, 1, &wait, mask) > 0;
	ppoll(NULL, 0, &wait, mask);
	return false;
}

static int run_on(int output, const sigset_t *mask)
{
	struct pollfd poller = { .fd = output, .events = POLLIN };
	uint64_t primed = 0;
	char data[4096];
	int status;

	while (poller.fd >= 0 || !first_ended(&status)) {
		struct process *process;
		ssize_t length = 0;

		if (wait_for(&poller, mask)) {
			length = read(output, data, sizeof(data));
			if (length > 0)
				take(data, length);
			else
				poller.fd = -1;
		}
		look_after();
		process = first_process();
		if (process && now_ms() - primed >= PRIME_MS && look_affordable()) {
			prime_all(process);
			primed = now_ms();
		}
		/* What the program started may hold the terminal open for ever. */
		if (!process && length <= 0)
			break;
	}
	first_ended(&status);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Some tests run themselves by name: where they lie is where they are. */
static void become(char **argv, int output, const sigset_t *mask)
{
	char folder[256];

	snprintf(folder, sizeof(folder), "%s", argv[0]);
	dup2(output, STDOUT_FILENO);
	dup2(output, STDERR_FILENO);
	sigprocmask(SIG_SETMASK, mask, NULL);
	chmod(argv[0], 0755);	/* an archive of modules has no programs */
	if (!chdir(dirname(folder)) && !ptrace(PTRACE_TRACEME, 0, NULL, NULL) && follow_filter())
		execv(argv[0], argv);
	dprintf(output, "launch: %s: %s\n", argv[0], strerror(errno));
	_exit(STATUS_OURS);
}

static void note(const char *what, const char *name)
{
	if (!kmsg_note(what, name))
		die(KMSG);
}

/* A terminal, so that the program's C library passes on each line as it comes: raw, as nobody types. */
static void open_terminal(int *ends)
{
	struct termios mode;

	ends[0] = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (ends[0] < 0 || grantpt(ends[0]) || unlockpt(ends[0]))
		die("a terminal");
	ends[1] = open(ptsname(ends[0]), O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (ends[1] < 0 || tcgetattr(ends[1], &mode))
		die("a terminal");
	cfmakeraw(&mode);
	if (tcsetattr(ends[1], TCSANOW, &mode))
		die("a terminal");
}

static int start(char **argv, const sigset_t *mask)
{
	int ends[2];

	open_terminal(ends);
	child = fork();
	if (child < 0)
		die("fork");
	if (!child)
		become(argv, ends[1], mask);
	close(ends[1]);
	follow_first(child);
	return ends[0];
}

static void ignore(int signal)
{
	(void)signal;
}

/* The test takes too long: what was found until then is told all the same. */
static void end_child(int signal)
{
	(void)signal;
	kill(child, SIGKILL);
}

/* SIGCHLD ends a wait, and comes at no other time. Returns what was blocked before. */
static sigset_t expect_signals(void)
{
	const struct sigaction stops = { .sa_handler = ignore };
	const struct sigaction late = { .sa_handler = end_child, .sa_flags = SA_RESTART };
	sigset_t block, before;

	sigemptyset(&block);
	sigaddset(&block, SIGCHLD);
	if (sigaction(SIGCHLD, &stops, NULL) || sigprocmask(SIG_BLOCK, &block, &before))
		die("SIGCHLD");
	if (sigaction(SIGTERM, &late, NULL))
		die("SIGTERM");
	return before;
}

int main(int argc, char **argv)
{
	sigset_t mask;
	int output, status;

	if (argc < 3) {
		fputs("usage: launch NAME PROGRAM [ARGUMENT...]\n", stderr);
		return STATUS_OURS;
	}
	look_begin();
	note("begin", argv[1]);
	mask = expect_signals();
	output = start(argv + 2, &mask);
	status = run_on(output, &mask);
	note("end", argv[1]);
	fprintf(stderr, "launch: done: primed=%" PRIu64 " passes=%" PRIu64 " audits=%" PRIu64
		" entries=%" PRIu64 " stale=%" PRIu64 " restrictive=%" PRIu64
		" processes=%" PRIu64 " calls=%" PRIu64 "\n",
		count.primed, count.passes, count.audits, count.entries, count.stale, count.restrictive,
		count.processes, count.calls);
	return status;
}
