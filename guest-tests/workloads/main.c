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
#include "ktap.h"
#include "paths.h"
#include "proof.h"
#include "selftest.h"
#include "trace.h"

static const struct path {
	const char *name;
	void (*run)(void);
} paths[] = {
	{ "first-touch", first_touch },
	{ "zero-page-cow", zero_page_cow },
	{ "anon-reuse", anon_reuse },
	{ "anon-reuse-cpu-first", anon_reuse_cpu_first },
	{ "shmem-clean", shmem_clean },
	{ "file-mkwrite", file_mkwrite },
	{ "madv-free", madv_free },
	{ "madv-free-cpu-first", madv_free_cpu_first },
	{ "hugetlb-reuse", hugetlb_reuse },
	{ "thp-reuse", thp_reuse },
	{ "mprotect-upgrade", mprotect_upgrade },
	{ "mprotect-readonly", mprotect_readonly },
	{ "munmap", munmap_path },
	{ "fork-child-alive", fork_child_alive },
	{ "unmapped", unmapped },
};

#define NR_PATHS	ARRAY_SIZE(paths)

static const struct path *running;

static const char usage[] =
	"usage: workloads [-s STALLS] [-u] PATH | --all | --list | --prepare | --selftest\n"
	"  -s, --max-stalls STALLS  stalls on one page that count as endless (50)\n"
	"  -u, --uncached           the IOTLB is off: expect nothing to be cached\n"
	"  --all                    every path, each in a process of its own\n"
	"  --list                   names of the paths\n"
	"  --prepare                only set the kernel probes, once after boot\n"
	"  --selftest               test the driver, no path of the kernel\n";

/* In the kernel log, so that what the kernel says can be charged to a path. */
static void note(const char *what, const char *name)
{
	int log = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);

	if (log < 0)
		return;
	dprintf(log, "<6>faultloop: %s %s\n", what, name);
	close(log);
}

static void note_end(void)
{
	note("end", running->name);
}

static int run_path(const char *name)
{
	size_t i;

	for (i = 0; i < NR_PATHS; i++)
		if (!strcmp(paths[i].name, name))
			running = &paths[i];
	if (!running) {
		fprintf(stderr, "workloads: unknown path '%s'; --list names them\n", name);
		return KTAP_EXIT_HARNESS;
	}
	note("begin", name);
	atexit(note_end);
	trace_prepare();
	area_init();
	dma_open();
	running->run();
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

/* Nested KTAP: a subtest for each path. The worst status is that of all. */
static int run_all(void)
{
	int worst = KTAP_EXIT_OK;
	size_t i;

	printf("KTAP version 1\n1..%zu\n", NR_PATHS);
	for (i = 0; i < NR_PATHS; i++) {
		int status = run_in_child(paths[i].name);
		bool skipped = status == KTAP_EXIT_SKIP;

		printf("%sok %zu %s%s\n", status && !skipped ? "not " : "", i + 1,
		       paths[i].name, skipped ? " # SKIP" : "");
		if (!skipped && status > worst)
			worst = status;
	}
	return worst;
}

static int list(void)
{
	size_t i;

	for (i = 0; i < NR_PATHS; i++)
		puts(paths[i].name);
	return 0;
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

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "max-stalls", required_argument, NULL, 's' },
		{ "uncached", no_argument, NULL, 'u' },
		{ "all", no_argument, NULL, 'a' },
		{ "list", no_argument, NULL, 'l' },
		{ "prepare", no_argument, NULL, 'p' },
		{ "selftest", no_argument, NULL, 't' },
		{ }
	};
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
		case 'a':
		case 'l':
		case 'p':
		case 't':
			what = option;
			break;
		default:
			return misused();
		}
	}
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
	default:
		return run_path(argv[optind]);
	}
}
