// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * An address space that goes away while the device writes to it: nothing of it
 * may be written any more, nor be left in the SMMU.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "area.h"
#include "ktap.h"
#include "paths.h"
#include "upgrade.h"

#define SEED		0x60e
#define PAGES		4
#define SOME_READS	100	/* of our own, which take longer than many of the hammer's writes */

static struct {
	pid_t pid;
	int ready[2], go[2];
	uint64_t *words;	/* shared with it */
} child;

static size_t area_size(void)
{
	return PAGES * page_size;
}

static void wait_for(int fd, const char *what)
{
	char byte;

	if (read(fd, &byte, 1) != 1)
		die("the other process ended before %s", what);
}

static void say(int fd)
{
	if (write(fd, "!", 1) != 1)
		die_errno("write to a pipe");
}

/* The process whose address space goes: bound by itself, the device writing all the time. */
static void child_main(void (*leave)(void))
{
	char go;

	close(child.ready[0]);
	close(child.go[1]);
	dma_open();
	dma_fill(child.words, area_size(), SEED);
	dma_hammer(child.words, area_size(), SVA_TESTDEV_HAMMER_WRITE, SVA_TESTDEV_EXPECT_ANY, SEED);
	say(child.ready[1]);
	if (read(child.go[0], &go, 1) != 1)
		_exit(1);
	leave();
	_exit(2);
}

static void start_child(void (*leave)(void))
{
	if (pipe2(child.ready, O_CLOEXEC) || pipe2(child.go, O_CLOEXEC))
		die_errno("pipe");
	child.words = area_map(area_size(), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1);
	child.pid = fork();
	if (child.pid < 0)
		die_errno("fork");
	if (!child.pid)
		child_main(leave);
	close(child.ready[1]);
	close(child.go[0]);
	wait_for(child.ready[0], "the device wrote for it");
}

static bool pattern_there(void)
{
	size_t i;

	for (i = 0; i < area_size() / sizeof(uint64_t); i++)
		if (READ_ONCE(child.words[i]))
			return true;
	return false;
}

static void clear(void)
{
	size_t i;

	for (i = 0; i < area_size() / sizeof(uint64_t); i++)
		WRITE_ONCE(child.words[i], 0);
}

/* Some time of the device's: its engines take turns. */
static void let_time_pass(const void *scratch)
{
	int i;

	for (i = 0; i < SOME_READS; i++)
		dma_read(scratch);
}

static void run(void (*leave)(void), void (*wait_until_gone)(void))
{
	void *scratch = area_map(page_size, PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS, -1);
	struct sva_testdev_dma dma = dma_write(scratch, 1);
	struct window window;
	struct audit audit;
	bool before, after;

	prove_faults_served();
	start_child(leave);
	clear();
	let_time_pass(scratch);
	before = pattern_there();

	window_open(&window, scratch, page_size);
	say(child.go[1]);
	wait_until_gone();
	audit = dma_audit();
	clear();
	let_time_pass(scratch);
	after = pattern_there();
	window_close(&window);

	ktap_point(dma_done(&dma), PRECONDITION, "the device can be used here as well: %s",
		   dma_end(&dma));
	ktap_point(before, PRECONDITION, "the device wrote for the other process all the time");
	ktap_point(!after, STALE, "nothing writes its memory any more");
	ktap_point(!audit.all.permissive && !audit.all.wrong_page && !audit.all.unmapped, STALE,
		   "the IOTLB holds nothing of it (permissive %u, wrong page %u, unmapped %u)",
		   audit.all.permissive, audit.all.wrong_page, audit.all.unmapped);
	prove_no_evictions(&window);
	prove_faults_served();
	prove_audit_at_end();
	tell_window(&window, &dma);
}

static void wait_for_end(void)
{
	int status;

	if (waitpid(child.pid, &status, 0) != child.pid)
		die_errno("waitpid");
}

static void leave_by_exit(void)
{
	_exit(0);
}

void exit_path(void)
{
	run(leave_by_exit, wait_for_end);
}

static void leave_by_sigkill(void)
{
	kill(getpid(), SIGKILL);
	for (;;)
		pause();
}

void kill_path(void)
{
	run(leave_by_sigkill, wait_for_end);
}

/* The first thread goes first: the address space ends with another one. */
static void *last_thread(void *first)
{
	pthread_join(*(pthread_t *)first, NULL);
	syscall(SYS_exit, 0);
	return NULL;
}

static void leave_by_threads(void)
{
	static pthread_t first, second;

	first = pthread_self();
	if (pthread_create(&second, NULL, last_thread, &first))
		_exit(3);
	pthread_exit(NULL);
}

void exit_last_thread(void)
{
	run(leave_by_threads, wait_for_end);
}

/* Another program in its place; the device stays open, and its own address space is gone. */
static void leave_by_exec(void)
{
	dma_keep();
	dup2(child.go[0], STDIN_FILENO);
	execl("/bin/cat", "cat", NULL);
}

static void wait_for_exec(void)
{
	char byte;

	/* Its end of the pipe is closed by exec(). */
	if (read(child.ready[0], &byte, 1) != 0)
		die("the other process did not exec");
}

static void end_child(void)
{
	close(child.go[1]);
	wait_for_end();
}

void exec_path(void)
{
	run(leave_by_exec, wait_for_exec);
	end_child();
}

/* The binding ends, the process and its memory stay. */
static void leave_by_unbind(void)
{
	char byte;

	dma_unbind();
	say(child.ready[1]);
	if (read(child.go[0], &byte, 1) < 0)
		_exit(4);
	_exit(0);
}

static void wait_for_word(void)
{
	wait_for(child.ready[0], "it had unbound");
}

void unbind(void)
{
	run(leave_by_unbind, wait_for_word);
	end_child();
}

/*
 * The driver lets go of the device, as when it is unplugged or its module goes: a
 * process that is bound loses it, and is told so.
 */
#define DRIVER	"/sys/bus/pci/drivers/sva_testdev/"

static char device_name[64];

static void find_device(void)
{
	char link[256];
	ssize_t length = readlink("/sys/class/misc/sva_testdev/device", link, sizeof(link) - 1);
	const char *name;

	if (length < 0)
		die_errno("/sys/class/misc/sva_testdev/device");
	link[length] = '\0';
	name = strrchr(link, '/');
	if (!name || strlen(name) > sizeof(device_name))
		die("the device's name is not in %s", link);
	strcpy(device_name, name + 1);
}

/* What it is told afterwards, then whether it can use the device anew. */
static void stay(void)
{
	char answer = dma_gone(child.words) ? 'g' : 'n', byte;
	struct sva_testdev_dma dma;

	if (write(child.ready[1], &answer, 1) != 1 || read(child.go[0], &byte, 1) != 1)
		_exit(5);
	dma_open();
	dma = dma_write(child.words, VALUE_DEVICE);
	_exit(dma_done(&dma) ? 0 : 6);
}

static void unplug(void)
{
	if (!area_write_file(DRIVER "unbind", device_name))
		die_errno(DRIVER "unbind");
}

static void plug(void)
{
	if (!area_write_file(DRIVER "bind", device_name))
		die_errno(DRIVER "bind");
	dma_open();
}

void driver_removal(void)
{
	const struct timespec some_time = { .tv_nsec = 20000000 };
	struct sva_testdev_dma dma;
	struct window window;
	struct audit audit;
	bool before, after;
	void *scratch;
	int status;
	char told;

	scratch = area_map(page_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	find_device();
	prove_faults_served();
	start_child(stay);
	clear();
	let_time_pass(scratch);
	before = pattern_there();

	window_open(&window, scratch, page_size);
	unplug();
	clear();
	nanosleep(&some_time, NULL);
	after = pattern_there();
	say(child.go[1]);
	if (read(child.ready[0], &told, 1) != 1)
		die("the other process ended when the driver went");
	plug();
	audit = dma_audit();
	let_time_pass(scratch);
	after |= pattern_there();
	dma = dma_write(scratch, 1);
	window_close(&window);
	say(child.go[1]);
	if (waitpid(child.pid, &status, 0) != child.pid)
		die_errno("waitpid");

	ktap_point(before, PRECONDITION, "the device wrote for the other process all the time");
	ktap_point(!after, STALE, "nothing writes its memory any more");
	ktap_point(told == 'g', PROGRESS, "the process is told that the device is gone");
	ktap_point(!audit.all.permissive && !audit.all.wrong_page && !audit.all.unmapped, STALE,
		   "the IOTLB holds nothing of it (permissive %u, wrong page %u, unmapped %u)",
		   audit.all.permissive, audit.all.wrong_page, audit.all.unmapped);
	ktap_point(dma_done(&dma), PROGRESS, "the device that came back works: %s", dma_end(&dma));
	ktap_point(WIFEXITED(status) && !WEXITSTATUS(status) && READ_ONCE(*child.words) == VALUE_DEVICE,
		   PROGRESS, "for the other process, too (status %#x)", status);
	prove_no_evictions(&window);
	prove_faults_served();
	prove_audit_at_end();
	tell_window(&window, &dma);
}
