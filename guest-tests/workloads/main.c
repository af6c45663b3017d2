// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "area.h"
#include "dma.h"
#include "kmsg.h"
#include "ktap.h"
#include "proof.h"
#include "selftest.h"
#include "serve.h"
#include "sites.h"
#include "stress.h"
#include "subscriber.h"
#include "table.h"
#include "trace.h"

static char running[64];

static const char usage[] =
	"usage: workloads [-s STALLS] [-u] [--hold] PATH | --all | --list | --prepare | --selftest |\n"
	"                 --stress SEED[:OPERATIONS[:LIST]]\n"
	"  -s, --max-stalls STALLS  stalls on one page that count as endless (50)\n"
	"  -u, --uncached           the IOTLB is off: expect nothing to be cached\n"
	"  --hold                   stay, for ever, at the first loop or stale translation\n"
	"  --all                    every path, each in a process of its own\n"
	"  --list                   names of the paths\n"
	"  --prepare                only set the kernel probes, once after boot\n"
	"  --stress SEED:N:LIST     N random operations, or of those the listed ones (0,3,17)\n"
	"  --selftest               test the driver, no path of the kernel\n"
	"  --sites SITE...          probe places of the kernel's code, see sites.h\n"
	"  --also PROBE...          more functions for the timeline: SYMBOL [NAME=FETCH...]\n"
	"  --serve MARK             run the commands that standard input names, see serve.h\n";

static void note(const char *what)
{
	if (!kmsg_note(what, running))
		die_errno(KMSG);
}

static void note_end(void)
{
	note("end");
}

/* What is there to be charged to a path begins with it. */
static void note_begin(const char *name)
{
	snprintf(running, sizeof(running), "%s", name);
	note("begin");
	atexit(note_end);
}

static int run_path(const char *name)
{
	void (*run)(void) = table_find(name);

	if (!run) {
		fprintf(stderr, "workloads: unknown path '%s'; --list names them\n", name);
		return KTAP_EXIT_HARNESS;
	}
	note_begin(name);
	trace_prepare();
	area_init();
	dma_open();
	subscriber_open();
	run();
	return ktap_finish();
}

static void print_indented(int fd, const char *name)
{
	FILE *in = fdopen(fd, "r");
	static char line[4096];

	printf("    # Subtest: %s\n", name);
	while (in && fgets(line, sizeof(line), in))
		printf("    %s", line);
	if (in)
		fclose(in);
}

static int run_in_child(const char *name)
{
	int out[2], status;
	pid_t child;

	if (pipe(out))
		die_errno("pipe");
	fflush(stdout);
	child = fork();
	if (child < 0)
		die_errno("fork");
	if (!child) {
		dup2(out[1], STDOUT_FILENO);
		close(out[0]);
		close(out[1]);
		exit(run_path(name));
	}
	close(out[1]);
	print_indented(out[0], name);
	if (waitpid(child, &status, 0) != child)
		die_errno("waitpid");
	return WIFEXITED(status) ? WEXITSTATUS(status) : KTAP_EXIT_HARNESS;
}

static bool count_name(const char *name, void *data)
{
	++*(unsigned int *)data;
	return name;
}

static bool print_name(const char *name, void *data)
{
	(void)data;
	return puts(name) >= 0;
}

struct all {
	unsigned int number;
	int worst;
};

static bool run_name(const char *name, void *data)
{
	struct all *all = data;
	int status = run_in_child(name);
	bool skipped = status == KTAP_EXIT_SKIP;

	printf("%sok %u %s%s\n", status && !skipped ? "not " : "", ++all->number, name,
	       skipped ? " # SKIP" : "");
	if (!skipped && status > all->worst)
		all->worst = status;
	return true;
}

/* Nested KTAP: a subtest for each path. The worst status is that of all. */
static int run_all(void)
{
	struct all all = { .worst = KTAP_EXIT_OK };
	unsigned int count = 0;

	table_each(count_name, &count);
	printf("KTAP version 1\n1..%u\n", count);
	table_each(run_name, &all);
	return all.worst;
}

static int list(void)
{
	table_each(print_name, NULL);
	return 0;
}

static int misused(void);

static int run_stress(const char *what)
{
	char *end;
	uint64_t seed = strtoull(what, &end, 0);
	unsigned long ops = STRESS_OPS;
	const char *only = NULL;

	if (*end == ':')
		ops = strtoul(end + 1, &end, 10);
	if (*end == ':')
		only = end + 1;
	else if (*end)
		return misused();
	if (!ops || ops > 1000000)
		return misused();
	note_begin("stress");
	area_init();
	dma_open();
	stress(seed, ops, only);
	return ktap_finish();
}

static int misused(void)
{
	fputs(usage, stderr);
	return KTAP_EXIT_HARNESS;
}

static unsigned int stalls_of(const char *text)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (*end || !value || value > 1000000)
		exit(misused());
	return value;
}

static int run(int argc, char **argv)
{
	static const struct option options[] = {
		{ "max-stalls", required_argument, NULL, 's' },
		{ "uncached", no_argument, NULL, 'u' },
		{ "all", no_argument, NULL, 'a' },
		{ "list", no_argument, NULL, 'l' },
		{ "prepare", no_argument, NULL, 'p' },
		{ "selftest", no_argument, NULL, 't' },
		{ "stress", required_argument, NULL, 'r' },
		{ "sites", no_argument, NULL, 'k' },
		{ "also", no_argument, NULL, 'o' },
		{ "hold", no_argument, NULL, 'h' },
		{ }
	};
	const char *random = NULL;
	int what = 0, option;

	/* The name that the probes' filter looks for, whatever this was called as. */
	prctl(PR_SET_NAME, "workloads");
	while ((option = getopt_long(argc, argv, "s:u", options, NULL)) != -1) {
		switch (option) {
		case 's':
			dma_max_stalls = stalls_of(optarg);
			break;
		case 'u':
			uncached = true;
			break;
		case 'h':
			dma_hold = true;
			break;
		case 'a':
		case 'l':
		case 'p':
		case 't':
		case 'k':
		case 'o':
			what = option;
			break;
		case 'r':
			random = optarg;
			what = option;
			break;
		default:
			return misused();
		}
	}
	if (what == 'k')
		return sites_set(argv + optind, argc - optind);
	if (what == 'o')
		return trace_also(argv + optind, argc - optind);
	if (optind != argc - !what)
		return misused();
	switch (what) {
	case 'a':
		return run_all();
	case 'l':
		return list();
	case 'p':
		trace_prepare();
		return 0;
	case 't':
		return selftest();
	case 'r':
		return run_stress(random);
	default:
		return run_path(argv[optind]);
	}
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "--serve"))
		return serve(argv[2], argv[0], run);
	return run(argc, argv);
}
