// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The driver itself: that no command goes on when nobody waits for it any more,
 * and that it serves its owner alone. Says nothing about the kernel's faults.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "area.h"
#include "compiler.h"
#include "dma.h"
#include "ktap.h"
#include "selftest.h"

#define LONG_SIZE	(1UL << 30)	/* a fault for each page: minutes */
#define SHORT_MS	100
#define THREADS		20		/* more than there are engines */

static char *long_area;

static int open_bound(void)
{
	struct sva_testdev_bind bind;
	int fd = open("/dev/sva_testdev", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		die_errno("/dev/sva_testdev");
	if (ioctl(fd, SVA_TESTDEV_IOC_BIND, &bind))
		die_errno("bind");
	return fd;
}

/* Read the whole area; 0, or the error. */
static int read_long(int fd, uint32_t timeout_ms, struct sva_testdev_dma *dma)
{
	*dma = (struct sva_testdev_dma) {
		.addr = (uintptr_t)long_area,
		.len = LONG_SIZE,
		.op = SVA_TESTDEV_READ,
		.timeout_ms = timeout_ms,
	};
	return ioctl(fd, SVA_TESTDEV_IOC_DMA, dma) ? errno : 0;
}

static int write_word(int fd, uint64_t *word, uint64_t value)
{
	struct sva_testdev_dma dma = {
		.addr = (uintptr_t)word,
		.data = value,
		.len = sizeof(value),
		.op = SVA_TESTDEV_WRITE,
	};

	if (ioctl(fd, SVA_TESTDEV_IOC_DMA, &dma))
		return errno;
	return dma_done(&dma) && *word == value ? 0 : EIO;
}

/* Until a command of somebody's has faulted a few times more, so that it runs. */
static void wait_for_faults(int fd)
{
	struct sva_testdev_counters counters;
	uint64_t from = 0;

	do {
		usleep(1000);
		if (ioctl(fd, SVA_TESTDEV_IOC_COUNTERS, &counters))
			die_errno("counters");
		if (!from)
			from = counters.stalls;
	} while (counters.stalls < from + 3);
}

/* New memory each time, so that the command takes long each time. */
static void map_long(void)
{
	if (long_area && munmap(long_area, LONG_SIZE))
		die_errno("munmap");
	long_area = mmap(NULL, LONG_SIZE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS |
			 MAP_NORESERVE, -1, 0);
	if (long_area == MAP_FAILED)
		die_errno("mmap");
}

static void point_stopped(const char *what, int error, int expected,
			  const struct sva_testdev_dma *dma)
{
	ktap_point(error == expected && !(dma->status & SVA_TESTDEV_BUSY) &&
		   dma->bytes_done < LONG_SIZE, HARNESS,
		   "%s: %s, status %#x after %u bytes", what,
		   error ? strerror(error) : "no error", dma->status, dma->bytes_done);
}

static void test_timeout(int fd)
{
	struct sva_testdev_dma dma;

	map_long();
	point_stopped("a time-out ends a command", read_long(fd, SHORT_MS, &dma),
		      ETIMEDOUT, &dma);
}

struct worker {
	pthread_t thread;
	int fd, error;
	struct sva_testdev_dma dma;
};

static void *read_long_main(void *arg)
{
	struct worker *worker = arg;

	worker->error = read_long(worker->fd, 0, &worker->dma);
	return NULL;
}

static void start_long(struct worker *worker)
{
	map_long();
	if (pthread_create(&worker->thread, NULL, read_long_main, worker))
		die("pthread_create failed");
	wait_for_faults(worker->fd);
}

static void on_signal(int signal)
{
	(void)signal;
}

static void test_signal(int fd)
{
	const struct sigaction action = { .sa_handler = on_signal };
	struct worker worker = { .fd = fd };

	sigaction(SIGUSR1, &action, NULL);
	start_long(&worker);
	pthread_kill(worker.thread, SIGUSR1);
	pthread_join(worker.thread, NULL);
	point_stopped("a signal ends a command", worker.error, EINTR, &worker.dma);
}

static void test_unbind(int fd)
{
	struct worker worker = { .fd = fd };
	struct sva_testdev_bind bind;
	uint64_t word = 0;
	int error;

	start_long(&worker);
	error = ioctl(fd, SVA_TESTDEV_IOC_UNBIND) ? errno : 0;
	pthread_join(worker.thread, NULL);
	ktap_point(!error, HARNESS, "unbind with a command in flight: %s", strerror(error));
	point_stopped("unbind ends a command", worker.error, 0, &worker.dma);
	error = write_word(fd, &word, 1);
	ktap_point(error == ENXIO, HARNESS, "no command without a binding: %s",
		   strerror(error));
	error = ioctl(fd, SVA_TESTDEV_IOC_BIND, &bind) ? errno : write_word(fd, &word, 2);
	ktap_point(!error, HARNESS, "bound again, commands run: %s", strerror(error));
}

static int status_of(pid_t child)
{
	int status;

	if (waitpid(child, &status, 0) != child)
		die_errno("waitpid");
	return status;
}

static void test_kill(int fd)
{
	struct sva_testdev_dma dma;
	uint64_t word = 0;
	pid_t child;
	int status;

	map_long();
	child = fork();
	if (child < 0)
		die_errno("fork");
	if (!child)
		_exit(read_long(open_bound(), 0, &dma));
	wait_for_faults(fd);
	kill(child, SIGKILL);
	status = status_of(child);
	ktap_point(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, HARNESS,
		   "SIGKILL ends a process with a command in flight (status %#x)", status);
	status = write_word(fd, &word, 3);
	ktap_point(!status, HARNESS, "others' commands run on: %s", strerror(status));
}

static void test_child(int fd)
{
	uint64_t word = 0;
	pid_t child = fork();
	int status;

	if (child < 0)
		die_errno("fork");
	if (!child)
		_exit(write_word(fd, &word, 4));
	status = status_of(child);
	ktap_point(WIFEXITED(status) && WEXITSTATUS(status) == EPERM && !word, HARNESS,
		   "a child cannot use its parent's binding (status %#x)", status);
}

static void *write_main(void *arg)
{
	struct worker *worker = arg;
	uint64_t word = 0, value;

	for (value = 1; value <= 20 && !worker->error; value++)
		worker->error = write_word(worker->fd, &word, value);
	return NULL;
}

/* Also shows that every engine is there again after the tests before. */
static void test_many(int fd)
{
	static struct worker workers[THREADS];
	int i, failed = 0;

	for (i = 0; i < THREADS; i++) {
		workers[i].fd = fd;
		if (pthread_create(&workers[i].thread, NULL, write_main, &workers[i]))
			die("pthread_create failed");
	}
	for (i = 0; i < THREADS; i++) {
		pthread_join(workers[i].thread, NULL);
		failed += !!workers[i].error;
	}
	ktap_point(!failed, HARNESS, "%d threads share the engines: %d failed", THREADS,
		   failed);
}

/* Another process's memory, which is not ours. */
static void test_other_process(void)
{
	struct sva_testdev_bind_pid bind;
	uint64_t word = 7, found = 0;
	int fd = open("/dev/sva_testdev", O_RDWR | O_CLOEXEC), ends[2], back[2], error, status;
	char byte;

	if (fd < 0 || pipe(ends) || pipe(back))
		die_errno("/dev/sva_testdev, pipe");
	bind.pid = fork();
	if (!bind.pid) {
		WRITE_ONCE(word, 8);
		_exit(write(back[1], "!", 1) != 1 || read(ends[0], &byte, 1) != 1 ||
		      write(back[1], &word, sizeof(word)) != sizeof(word));
	}
	if (bind.pid < 0 || read(back[0], &byte, 1) != 1)
		die_errno("fork");
	error = ioctl(fd, SVA_TESTDEV_IOC_BIND_PID, &bind) ? errno : 0;
	ktap_point(!error, HARNESS, "another process can be bound: %s", strerror(error));
	error = write_word(fd, &word, 9);
	ktap_point(error == EIO && word == 7, HARNESS, "our own word is not the one: %llu",
		   (unsigned long long)word);
	if (write(ends[1], "!", 1) != 1 || read(back[0], &found, sizeof(found)) != sizeof(found))
		die("the other process has ended");
	ktap_point(found == 9, HARNESS, "the device wrote its word: %llu", (unsigned long long)found);
	if (waitpid(bind.pid, &status, 0) != bind.pid)
		die_errno("waitpid");
	error = write_word(fd, &word, 10);
	ktap_point(error == EIO, HARNESS, "nothing is written when it is gone: %s", strerror(error));
	close(fd);
	bind.pid = 1 << 30;
	fd = open("/dev/sva_testdev", O_RDWR | O_CLOEXEC);
	error = ioctl(fd, SVA_TESTDEV_IOC_BIND_PID, &bind) ? errno : 0;
	ktap_point(error == ESRCH, HARNESS, "a process that is not there: %s", strerror(error));
	close(fd);
}

/* Nothing, or too much: a status, and the next command runs. */
static void test_bad_commands(int fd)
{
	static const struct {
		const char *what;
		struct sva_testdev_dma dma;
	} bad[] = {
		{ "no operation", { .len = 8 } },
		{ "an unknown operation", { .len = 8, .op = 77 } },
		{ "no bytes", { .op = SVA_TESTDEV_READ } },
	};
	uint64_t word = 0;
	size_t i;
	int error;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		struct sva_testdev_dma dma = bad[i].dma;

		dma.addr = (uintptr_t)&word;
		error = ioctl(fd, SVA_TESTDEV_IOC_DMA, &dma) ? errno : 0;
		ktap_point(!error && (dma.status & SVA_TESTDEV_BAD_PROGRAM), HARNESS,
			   "%s: status %#x, %s", bad[i].what, dma.status, strerror(error));
	}
	error = write_word(fd, &word, 5);
	ktap_point(!error, HARNESS, "commands run afterwards: %s", strerror(error));
	error = ioctl(fd, _IO('V', 0x7f)) ? errno : 0;
	ktap_point(error == ENOTTY, HARNESS, "an unknown ioctl: %s", strerror(error));
}

int selftest(void)
{
	int fd;

	area_init();
	fd = open_bound();
	test_timeout(fd);
	test_signal(fd);
	test_unbind(fd);
	test_kill(fd);
	test_child(fd);
	test_other_process();
	test_bad_commands(fd);
	selftest_device(fd);
	test_many(fd);
	return ktap_finish();
}
