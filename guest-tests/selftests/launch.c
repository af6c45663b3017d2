// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Run a program that knows nothing of the device, with its memory bound to it: the
 * program is stopped when it has been put into place and has not run yet (ptrace),
 * and its new address space is bound then. While it runs, the device reads what
 * the page table maps (primer), so that the IOTLB is full of entries; after each
 * result that it prints, and right before its end, it is stopped, and all that the
 * IOTLB holds of it is compared with its page table.
 *
 * What the program prints goes to standard output, untouched. What is said here
 * goes to standard error: a line for each audit that found something, and one at
 * the end.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "sva_testdev.h"

#define DEVICE		"/dev/sva_testdev"
#define POLL_MS		20
#define PRIME_MS	250		/* between passes: the guest has one CPU, which the program needs as well */
#define MOST_PAGES	512		/* of a pass */
#define BATCH		512
#define MAX_STALLS	50
#define PAGE_PRESENT	(1ULL << 63)
#define AUDITS		5		/* what is still there after so many is not on its way out */
#define AUDIT_WAIT_NS	10000000
#define STATUS_OURS	125

static size_t page_size;
static int device = -1;
static pid_t child;
static uint32_t pasid;
static bool bound, ended;
static int status;

static struct {
	uint64_t primed, passes, audits, stale, restrictive, entries;
} count;

__attribute__((__noreturn__))
static void die(const char *what)
{
	fprintf(stderr, "launch: error: %s: %s\n", what, strerror(errno));
	if (child > 0)
		kill(child, SIGKILL);
	exit(STATUS_OURS);
}

static void bind_child(void)
{
	struct sva_testdev_bind_pid bind = { .pid = child };

	if (bound)
		ioctl(device, SVA_TESTDEV_IOC_UNBIND);
	if (ioctl(device, SVA_TESTDEV_IOC_BIND_PID, &bind))
		die("the device cannot be bound to the program");
	pasid = bind.pasid;
	bound = true;
}

/* The device reads a little of each page. What it cannot read is not what this is about. */
static void prime(uint64_t addr, size_t size)
{
	struct sva_testdev_dma dma = {
		.addr = addr,
		.len = size,
		.op = SVA_TESTDEV_PRIME,
		.max_stalls = MAX_STALLS,
	};

	if (ioctl(device, SVA_TESTDEV_IOC_DMA, &dma))
		die("primer");
	count.primed += dma.bytes_done / page_size;
}

/* Only what is there: to fault in what the program has not touched would be to test another program. */
static unsigned int prime_mapping(int pagemap, uint64_t start, uint64_t end, unsigned int left)
{
	static uint64_t entries[BATCH];
	uint64_t at, run = 0;
	ssize_t got, i;

	for (at = start; at < end && left; at += got * page_size) {
		size_t want = (end - at) / page_size;

		got = pread(pagemap, entries, (want < BATCH ? want : BATCH) * sizeof(*entries),
			    at / page_size * sizeof(*entries)) / (ssize_t)sizeof(*entries);
		if (got <= 0)
			break;
		for (i = 0; i < got && left; i++) {
			if (entries[i] & PAGE_PRESENT) {
				run++;
				left--;
				continue;
			}
			if (run)
				prime(at + (i - run) * page_size, run * page_size);
			run = 0;
		}
		if (run)
			prime(at + (i - run) * page_size, run * page_size);
		run = 0;
	}
	return left;
}

static void prime_all(void)
{
	unsigned int left = MOST_PAGES;
	char name[64], line[512], access;
	uint64_t start, end;
	int pagemap;
	FILE *maps;

	snprintf(name, sizeof(name), "/proc/%d/maps", child);
	maps = fopen(name, "re");
	snprintf(name, sizeof(name), "/proc/%d/pagemap", child);
	pagemap = open(name, O_RDONLY | O_CLOEXEC);
	while (maps && pagemap >= 0 && left && fgets(line, sizeof(line), maps))
		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %c", &start, &end, &access) == 3 &&
		    access == 'r' && !strstr(line, "[v"))
			left = prime_mapping(pagemap, start, end, left);
	if (maps)
		fclose(maps);
	if (pagemap >= 0)
		close(pagemap);
	count.passes++;
}

/* Differences of this program's that allow too much; the first one in *worst. */
static unsigned int audit_once(struct sva_testdev_difference *worst)
{
	struct sva_testdev_audit audit;
	unsigned int stale = 0;
	uint32_t i;

	if (ioctl(device, SVA_TESTDEV_IOC_AUDIT, &audit))
		die("audit");
	count.entries += audit.entries;
	for (i = 0; i < audit.shown; i++) {
		struct sva_testdev_difference diff = { .number = audit.number, .index = i };

		if (ioctl(device, SVA_TESTDEV_IOC_DIFFERENCE, &diff) || diff.pasid != pasid)
			continue;
		if (diff.kind == SVA_TESTDEV_RESTRICTIVE) {
			count.restrictive++;
			continue;
		}
		if (!stale++)
			*worst = diff;
	}
	return stale;
}

/* Another thread of the program may be in the middle of a change: what is wrong stays wrong. */
static void audit(const char *when)
{
	static const char * const kinds[] = { "none", "restrictive", "permissive", "wrong-page", "unmapped" };
	const struct timespec wait = { .tv_nsec = AUDIT_WAIT_NS };
	struct sva_testdev_difference worst;
	unsigned int stale = 0;
	int i;

	if (!bound)
		return;
	for (i = 0; i < AUDITS; i++) {
		stale = audit_once(&worst);
		if (!stale)
			break;
		nanosleep(&wait, NULL);
	}
	count.audits++;
	if (!stale)
		return;
	count.stale += stale;
	fprintf(stderr, "launch: stale: %s: %u, first %s address=%#llx size=%#llx cached=%#llx walked=%#llx\n",
		when, stale, kinds[worst.kind], (unsigned long long)worst.addr,
		(unsigned long long)worst.size, (unsigned long long)worst.cached_desc,
		(unsigned long long)worst.walked_desc);
}

/* What the program stopped for. Its signals are its own; the stop that we asked for is not passed on. */
static bool handle_stop(int stop, bool asked, const char *when)
{
	int event = stop >> 16, signal = WSTOPSIG(stop), pass = 0;
	bool ours = false;

	if (event == PTRACE_EVENT_EXIT) {
		audit("end");
	} else if (event == PTRACE_EVENT_EXEC) {
		bind_child();
	} else if (!event && signal == SIGSTOP && asked) {
		audit(when);
		ours = true;
	} else if (!event) {
		pass = signal;
	}
	if (ptrace(PTRACE_CONT, child, NULL, pass) && errno != ESRCH)
		die("PTRACE_CONT");
	return ours;
}

/* See to what the program stopped for; wait for the stop that was asked for, or for nothing. */
static void look_after(bool asked, const char *when)
{
	bool done = !asked;
	int stop;

	while (!ended) {
		pid_t pid = waitpid(child, &stop, done ? WNOHANG : 0);

		if (pid < 0)
			die("waitpid");
		if (!pid)
			return;
		if (WIFSTOPPED(stop)) {
			done |= handle_stop(stop, asked, when);
			continue;
		}
		ended = true;
		status = stop;
	}
}

static void audit_stopped(const char *when)
{
	if (ended || kill(child, SIGSTOP))
		return;
	look_after(true, when);
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

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000ULL + now.tv_nsec / 1000000;
}

static void run_on(int output)
{
	struct pollfd poller = { .fd = output, .events = POLLIN };
	char data[4096];
	bool open = true;
	uint64_t primed = 0;

	while (open || !ended) {
		ssize_t length = 0;

		if (poll(&poller, open, POLL_MS) > 0) {
			length = read(output, data, sizeof(data));
			if (length > 0)
				take(data, length);
			open = length > 0;
		}
		look_after(false, "");
		if (!ended && bound && now_ms() - primed >= PRIME_MS) {
			prime_all();
			primed = now_ms();
		}
		/* What the program started may hold the pipe open for ever. */
		if (ended && length <= 0)
			break;
	}
}

static void become(char **argv, int output)
{
	dup2(output, STDOUT_FILENO);
	dup2(output, STDERR_FILENO);
	if (!ptrace(PTRACE_TRACEME, 0, NULL, NULL)) {
		chmod(argv[0], 0755);	/* an archive of modules has no programs */
		execv(argv[0], argv);
	}
	dprintf(output, "launch: %s: %s\n", argv[0], strerror(errno));
	_exit(STATUS_OURS);
}

/* In the kernel log, so that what the kernel says can be charged to a test. */
static void note(const char *what, const char *name)
{
	int log = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);

	if (log < 0)
		return;
	dprintf(log, "<6>faultloop: %s %s\n", what, name);
	close(log);
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

static void start(char **argv, int *output)
{
	int ends[2], stop;

	open_terminal(ends);
	child = fork();
	if (child < 0)
		die("fork");
	if (!child)
		become(argv, ends[1]);
	close(ends[1]);
	*output = ends[0];
	if (waitpid(child, &stop, 0) != child || !WIFSTOPPED(stop))
		die("the program did not start");
	if (ptrace(PTRACE_SETOPTIONS, child, NULL,
		   PTRACE_O_EXITKILL | PTRACE_O_TRACEEXIT | PTRACE_O_TRACEEXEC))
		die("PTRACE_SETOPTIONS");
	bind_child();
	if (ptrace(PTRACE_CONT, child, NULL, NULL))
		die("PTRACE_CONT");
}

int main(int argc, char **argv)
{
	int output;

	if (argc < 3) {
		fputs("usage: launch NAME PROGRAM [ARGUMENT...]\n", stderr);
		return STATUS_OURS;
	}
	page_size = sysconf(_SC_PAGESIZE);
	device = open(DEVICE, O_RDWR | O_CLOEXEC);
	if (device < 0)
		die(DEVICE);
	note("begin", argv[1]);
	start(argv + 2, &output);
	run_on(output);
	note("end", argv[1]);
	fprintf(stderr, "launch: done: primed=%" PRIu64 " passes=%" PRIu64 " audits=%" PRIu64
		" entries=%" PRIu64 " stale=%" PRIu64 " restrictive=%" PRIu64 "\n",
		count.primed, count.passes, count.audits, count.entries, count.stale, count.restrictive);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
