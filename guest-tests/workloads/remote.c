// SPDX-License-Identifier: GPL-2.0-or-later
/* Another process writes this one's memory: the kernel takes the fault for it. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "area.h"
#include "ktap.h"
#include "paths.h"
#include "upgrade.h"

static int ask[2], tell[2];

static bool by_vm_writev(pid_t target, uint64_t *word, uint64_t value)
{
	struct iovec local = { &value, sizeof(value) };
	struct iovec remote = { word, sizeof(value) };

	return process_vm_writev(target, &local, 1, &remote, 1, 0) == sizeof(value);
}

static bool by_proc_mem(pid_t target, uint64_t *word, uint64_t value)
{
	char name[32];
	bool ok;
	int fd;

	snprintf(name, sizeof(name), "/proc/%d/mem", target);
	fd = open(name, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	ok = pwrite(fd, &value, sizeof(value), (uintptr_t)word) == sizeof(value);
	close(fd);
	return ok;
}

static bool (*write_as)(pid_t target, uint64_t *word, uint64_t value);

/* It was forked before there was a page to write, and shares none of it. */
static void writer_main(pid_t target)
{
	uint64_t *word;
	char done;

	close(ask[1]);
	close(tell[0]);
	if (read(ask[0], &word, sizeof(word)) != sizeof(word))
		_exit(1);
	done = write_as(target, word, VALUE_CPU);
	_exit(write(tell[1], &done, 1) != 1);
}

static void start_writer(void)
{
	pid_t own = getpid(), pid;

	if (pipe(ask) || pipe(tell))
		die_errno("pipe");
	pid = fork();
	if (pid < 0)
		die_errno("fork");
	if (!pid)
		writer_main(own);
	close(ask[0]);
	close(tell[1]);
}

static void prepare(struct subject *s)
{
	start_writer();
	s->word = area_map(page_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	WRITE_ONCE(*s->word, VALUE_OLD);
	s->value = VALUE_OLD;
	ktap_point(area_drain(s->word), PRECONDITION,
		   "the page is on its LRU list, in no CPU's batch");
	area_fork_and_reap();
}

static void other_writes(struct subject *s)
{
	char done;

	if (write(ask[1], &s->word, sizeof(s->word)) != sizeof(s->word))
		die_errno("write to the other process");
	if (read(tell[0], &done, 1) != 1 || !done)
		die("the other process could not write");
	s->value = VALUE_CPU;
}

static void run(bool (*as)(pid_t target, uint64_t *word, uint64_t value))
{
	static const char * const functions[] = {
		"wp_page_reuse", "do_wp_page", "ptep_set_access_flags", NULL
	};
	static const struct upgrade upgrade = {
		.prepare = prepare,
		.act = other_writes,
		.functions = functions,
	};
	struct subject s = { };

	write_as = as;
	upgrade_run(&upgrade, &s);
	ktap_point(dma_done(&s.write) || READ_ONCE(*s.word) == VALUE_CPU, DATA,
		   "what the other process wrote is there (%#llx)",
		   (unsigned long long)READ_ONCE(*s.word));
}

void gup_write(void)
{
	run(by_vm_writev);
}

void gup_proc_mem(void)
{
	run(by_proc_mem);
}
