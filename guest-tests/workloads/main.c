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
#include "sites.h"
#include "stress.h"
#include "subscriber.h"
#include "trace.h"
#include "upgrade.h"

/*
 * Paths that raise an entry have four forms: the device writes first or a CPU
 * does; the SMMU has cached the entry or has not. They are paths with a suffix.
 */
#define FORM_CPU_FIRST	(1u << 0)
#define FORM_UNCACHED	(1u << 1)
#define NR_FORMS	4

static const char * const suffixes[NR_FORMS] = {
	"", "-cpu-first", "-uncached", "-cpu-first-uncached"
};

static const struct path {
	const char *name;
	void (*run)(void);
	unsigned int forms;	/* bits that its forms may have, all combinations */
} paths[] = {
#define ONE	0
#define ALL	(FORM_CPU_FIRST | FORM_UNCACHED)
#define CACHED	FORM_UNCACHED
	{ "first-touch", first_touch, ONE },
	{ "zero-page-cow", zero_page_cow, CACHED },
	{ "anon-reuse", anon_reuse, ALL },
	{ "swapin-reuse", swapin_reuse, ALL },
	{ "shmem-clean", shmem_clean, ALL },
	{ "memfd-clean", memfd_clean, ALL },
	{ "file-mkwrite", file_mkwrite, ALL },
	{ "file-writeback", file_writeback, ALL },
	{ "madv-free", madv_free, ALL },
	{ "hugetlb-reuse", hugetlb_reuse, ALL },
	{ "hugetlb-shared-clean", hugetlb_shared_clean, ALL },
	{ "hugetlb-cont-pte", hugetlb_cont_pte, ALL },
	{ "hugetlb-cont-pmd", hugetlb_cont_pmd, ALL },
	{ "hugetlb-cont-pte-clean", hugetlb_cont_pte_clean, ALL },
	{ "hugetlb-cont-pmd-clean", hugetlb_cont_pmd_clean, ALL },
	{ "hugetlb-shared-table", hugetlb_shared_table, CACHED },
	{ "hugetlb-fork", hugetlb_fork, ONE },
	{ "thp-reuse", thp_reuse, ALL },
	{ "thp-clean", thp_clean, ALL },
	{ "shmem-thp-clean", shmem_thp_clean, ALL },
	{ "contpte-sibling", contpte_sibling, CACHED },
	{ "pfnmap", pfnmap, ALL },
	{ "pfnmap-pmd", pfnmap_pmd, ALL },
	{ "pfnmap-populate", pfnmap_populate, CACHED },
	{ "gup-write", gup_write, CACHED },
	{ "gup-proc-mem", gup_proc_mem, CACHED },
	{ "uffd-wp-clear", uffd_wp_clear, CACHED },
	{ "mprotect-upgrade", mprotect_upgrade, CACHED },
	{ "mprotect-upgrade-thp", mprotect_upgrade_thp, CACHED },
	{ "mprotect-upgrade-hugetlb", mprotect_upgrade_hugetlb, CACHED },
	{ "mremap-upgrade", mremap_upgrade, CACHED },
	{ "thp-collapse-upgrade", thp_collapse_upgrade, CACHED },
	{ "numa-hint", numa_hint, ONE },
	{ "access-flag", access_flag, CACHED },
	{ "fork-child-alive", fork_child_alive, ONE },
	{ "ksm-break", ksm_break, CACHED },
	{ "ksm-merge", ksm_merge, ONE },
	{ "ksm-unmerge", ksm_unmerge, CACHED },
	{ "soft-offline", soft_offline, ONE },
	{ "migrate-back", migrate_back, ONE },
	{ "compaction", compaction, ONE },
	{ "thp-split", thp_split, ONE },
	{ "thp-collapse", thp_collapse, ONE },
	{ "mremap", mremap_path, ONE },
	{ "uffd-move", uffd_move, ONE },
	{ "mprotect-readonly", mprotect_readonly, ONE },
	{ "mprotect-none", mprotect_none, ONE },
	{ "munmap", munmap_path, ONE },
	{ "dontneed", dontneed, ONE },
	{ "truncate", truncate_path, ONE },
	{ "punch-hole", punch_hole, ONE },
	{ "pageout", pageout, ONE },
	{ "exit", exit_path, ONE },
	{ "exit-last-thread", exit_last_thread, ONE },
	{ "kill", kill_path, ONE },
	{ "exec", exec_path, ONE },
	{ "unbind", unbind, ONE },
	{ "driver-removal", driver_removal, ONE },
	{ "reclaim", reclaim, ONE },
	{ "over-ram", over_ram, ONE },
	{ "writeback", writeback, ONE },
	{ "unmapped", unmapped, ONE },
	{ "prot-none", prot_none, ONE },
	{ "write-read-only", write_read_only, ONE },
	{ "guard-page", guard_page, ONE },
	{ "kernel-address", kernel_address, ONE },
	{ "non-canonical", non_canonical, ONE },
	{ "hmm-exclusive", hmm_exclusive, ONE },
	{ "hmm-exclusive-fork", hmm_exclusive_fork, ONE },
	{ "hmm-private", hmm_private, ONE },
	{ "hmm-first-notifier", hmm_first_notifier, ONE },
};

#define NR_PATHS	ARRAY_SIZE(paths)

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
	"  --also PROBE...          more functions for the timeline: SYMBOL [NAME=FETCH...]\n";

/* In the kernel log, so that what the kernel says can be charged to a path. */
static void note(const char *what, const char *name)
{
	char line[128];
	int length = snprintf(line, sizeof(line), "<6>faultloop: %s %s\n", what, name);
	int log = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);

	if (log < 0)
		return;
	/* Not dprintf(): it asks for the position first, and this file has none. */
	if (write(log, line, length) != length)
		die_errno("/dev/kmsg");
	close(log);
}

static void note_end(void)
{
	note("end", running);
}

static bool has_form(const struct path *path, unsigned int form)
{
	return !(form & ~path->forms);
}

/* The path of that name, its form set; NULL if there is none. */
static const struct path *find_path(const char *name)
{
	unsigned int form;
	size_t i;

	for (i = 0; i < NR_PATHS; i++) {
		size_t length = strlen(paths[i].name);

		if (strncmp(paths[i].name, name, length))
			continue;
		for (form = 0; form < NR_FORMS; form++)
			if (has_form(&paths[i], form) && !strcmp(name + length, suffixes[form])) {
				cpu_first = form & FORM_CPU_FIRST;
				never_cached = form & FORM_UNCACHED;
				return &paths[i];
			}
	}
	return NULL;
}

static int run_path(const char *name)
{
	const struct path *path = find_path(name);

	if (!path) {
		fprintf(stderr, "workloads: unknown path '%s'; --list names them\n", name);
		return KTAP_EXIT_HARNESS;
	}
	snprintf(running, sizeof(running), "%s", name);
	note("begin", name);
	atexit(note_end);
	trace_prepare();
	area_init();
	dma_open();
	subscriber_open();
	path->run();
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

/* One after the other, each form as a path of its own; until the callback returns false. */
static void each_name(bool (*callback)(const char *name, void *data), void *data)
{
	unsigned int form;
	char name[64];
	size_t i;

	for (i = 0; i < NR_PATHS; i++)
		for (form = 0; form < NR_FORMS; form++) {
			if (!has_form(&paths[i], form))
				continue;
			snprintf(name, sizeof(name), "%s%s", paths[i].name, suffixes[form]);
			if (!callback(name, data))
				return;
		}
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

	each_name(count_name, &count);
	printf("KTAP version 1\n1..%u\n", count);
	each_name(run_name, &all);
	return all.worst;
}

static int list(void)
{
	each_name(print_name, NULL);
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
	snprintf(running, sizeof(running), "stress");
	note("begin", running);
	atexit(note_end);
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

int main(int argc, char **argv)
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
