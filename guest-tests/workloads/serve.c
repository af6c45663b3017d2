// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A shell, a program to load and all its pages cost an emulated CPU more than most
 * paths do. So the process that serves SSH is this program, and a path is a fork.
 * What it holds is small and is not written while a path runs.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ktap.h"
#include "serve.h"

#define LONGEST		(128UL << 10)	/* what Linux takes as one argument (MAX_ARG_STRLEN) */
#define MOST_WORDS	4096

/* What the other side leaves unquoted (Python's shlex.quote()). */
static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@%+=:,./-_ ";

/* Two lines with one meaning each: "MARK begin", and on both streams "MARK end STATUS". */
static void mark_begin(const char *mark)
{
	dprintf(STDOUT_FILENO, "%s begin\n", mark);
}

static void mark_end(const char *mark, int status)
{
	dprintf(STDOUT_FILENO, "\n%s end %d\n", mark, status);
	dprintf(STDERR_FILENO, "\n%s end %d\n", mark, status);
}

/*
 * The next line, without its end; NULL when there is none. Whoever asks waits for the
 * answer before the next command: nothing is read ahead.
 */
static char *read_line(char *line)
{
	size_t used = 0;

	for (;;) {
		ssize_t got = read(STDIN_FILENO, line + used, LONGEST - used);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return NULL;
		used += got;
		if (line[used - 1] == '\n')
			break;
		if (used == LONGEST) {
			fprintf(stderr, "workloads: a command of more than %lu bytes\n", LONGEST);
			return NULL;
		}
	}
	line[used - 1] = '\0';
	return line;
}

__noreturn static void in_shell(char *line)
{
	/* `exec`: a program, not a word of the shell's; `n` stands for a line's end inside of a word. */
	execl("/bin/sh", "sh", "-c", "n=$1; eval \"exec $2\"", "sh", "\n", line, NULL);
	fprintf(stderr, "workloads: /bin/sh: %s\n", strerror(errno));
	_exit(127);
}

/* Only if no word is quoted: a word is what is between spaces then. */
static bool is_own(const char *line, const char *self)
{
	size_t length = strlen(self);

	return !strncmp(line, self, length) && line[length] == ' ' && !line[strspn(line, plain)];
}

__noreturn static void in_child(char *line, const char *self, int (*run)(int argc, char **argv))
{
	char *argv[MOST_WORDS + 1], *rest;
	int argc, null = open("/dev/null", O_RDONLY);

	dup2(null, STDIN_FILENO);
	close(null);
	if (!is_own(line, self))
		in_shell(line);
	for (argc = 0; argc < MOST_WORDS; argc++, line = NULL) {
		argv[argc] = strtok_r(line, " ", &rest);
		if (!argv[argc])
			exit(run(argc, argv));
	}
	fprintf(stderr, "workloads: more than %d words\n", MOST_WORDS);
	_exit(KTAP_EXIT_HARNESS);
}

int serve(const char *mark, const char *self, int (*run)(int argc, char **argv))
{
	char *buffer = mmap(NULL, LONGEST, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *line;

	if (buffer == MAP_FAILED)
		die_errno("mmap of %lu bytes", LONGEST);
	prctl(PR_SET_NAME, "serve");
	while ((line = read_line(buffer))) {
		int status;
		pid_t child;

		mark_begin(mark);
		child = fork();
		if (!child)
			in_child(line, self, run);
		if (child < 0 || waitpid(child, &status, 0) != child) {
			fprintf(stderr, "workloads: %s\n", strerror(errno));
			return KTAP_EXIT_HARNESS;
		}
		/* As a shell tells it. */
		mark_end(mark, WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
	}
	return KTAP_EXIT_OK;
}
