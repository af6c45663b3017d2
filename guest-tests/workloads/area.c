// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <linux/kernel-page-flags.h>
#include <sched.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/rseq.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "area.h"
#include "compiler.h"
#include "dma.h"
#include "ktap.h"
#include "proof.h"

/* Below 2^39: there with every size of address space, and far from all else. */
#define AREA_BASE	0x5a00000000UL

#define STACK_PAGES	16
#define FILL_PAGES	64	/* more than any kernel's batch holds */
#define DRAIN_TRIES	8
#define PAGEMAP_SWAPPED	(1ULL << 62)

#define RSEQ_AREA_SIZE	32	/* as the C library registers it */

size_t page_size;
static uintptr_t next_address = AREA_BASE;
static char *stack_base;	/* all that a path has on the stack is below */
static cpu_set_t all_cpus;
static int own_cpu;

/*
 * The kernel writes the CPU's number into a process's memory whenever it was
 * preempted: a write fault after a fork, at any time.
 */
static void stop_kernel_writes(void)
{
	char *area = (char *)__builtin_thread_pointer() + __rseq_offset;

	if (__rseq_size &&
	    syscall(SYS_rseq, area, RSEQ_AREA_SIZE, RSEQ_FLAG_UNREGISTER, RSEQ_SIG))
		die_errno("rseq");
}

static void run_on(int cpu)
{
	cpu_set_t only;

	CPU_ZERO(&only);
	CPU_SET(cpu, &only);
	if (sched_setaffinity(0, sizeof(only), &only))
		die_errno("sched_setaffinity");
}

void area_init(void)
{
	stop_kernel_writes();
	page_size = sysconf(_SC_PAGESIZE);
	stack_base = __builtin_frame_address(0);
	own_cpu = sched_getcpu();
	if (own_cpu < 0)
		die_errno("sched_getcpu");
	if (sched_getaffinity(0, sizeof(all_cpus), &all_cpus))
		die_errno("sched_getaffinity");
	run_on(own_cpu);
}

void *area_map(size_t size, int prot, int flags, int fd)
{
	return area_map_at(size, prot, flags, fd, 0);
}

void *area_map_at(size_t size, int prot, int flags, int fd, off_t offset)
{
	size_t unit = size > huge_size() ? size : huge_size();
	void *wanted, *addr;

	next_address = (next_address + unit - 1) / unit * unit;
	wanted = (void *)next_address;
	addr = mmap(wanted, size, prot, flags | MAP_FIXED_NOREPLACE, fd, offset);

	if (addr == MAP_FAILED)
		die_errno("mmap of %zu bytes", size);
	if (addr != wanted)
		die("mmap at %p gave %p", wanted, addr);
	next_address += 4 * unit;
	return addr;
}

void *area_apart(size_t size)
{
	void *addr = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (addr == MAP_FAILED || madvise(addr, size, MADV_DONTFORK))
		die_errno("mmap of %zu bytes", size);
	return addr;
}

static void write_each_page(char *from, char *to)
{
	for (; from < to; from += page_size)
		WRITE_ONCE(*from, READ_ONCE(*from));
}

void area_settle(void)
{
	char stack[STACK_PAGES * 4096];

	write_each_page(stack, stack_base);
	write_each_page(stack_base, stack_base + 1);
	write_each_page(__data_start, _end);
	write_each_page(_end - 1, _end);
	errno = 0;
}

static uint64_t entry_of(const char *table, uint64_t index)
{
	uint64_t entry;
	int fd = open(table, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		die_errno(table);
	if (pread(fd, &entry, sizeof(entry), index * sizeof(entry)) != sizeof(entry))
		die_errno(table);
	close(fd);
	return entry;
}

uint64_t area_flags(const void *addr)
{
	struct sva_testdev_pte pte = dma_pte(addr);

	return entry_of("/proc/kpageflags", pte_pfn(&pte));
}

bool area_swapped(const void *addr)
{
	return entry_of("/proc/self/pagemap", (uintptr_t)addr / page_size) & PAGEMAP_SWAPPED;
}

bool area_write_file(const char *name, const char *text)
{
	int fd = open(name, O_WRONLY | O_CLOEXEC);
	ssize_t length = strlen(text);
	bool ok;

	if (fd < 0)
		return false;
	ok = write(fd, text, length) == length;
	close(fd);
	return ok;
}

/* A kernel that is told of cold pages empties this CPU's batches first (mm/madvise.c), if there are none, too. */
static void ask_for_batches(void)
{
	void *none = mmap(NULL, page_size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (none == MAP_FAILED || madvise(none, page_size, MADV_COLD) || munmap(none, page_size))
		die_errno("madvise(MADV_COLD)");
}

/* Push it out: a batch is emptied when it is full, and when memory is unmapped. */
static void fill_batches(void)
{
	size_t size = FILL_PAGES * page_size;
	char *fill = mmap(NULL, size, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (fill == MAP_FAILED)
		die_errno("mmap");
	write_each_page(fill, fill + size);
	if (munmap(fill, size))
		die_errno("munmap");
}

/* A page that the device asked for first is in the batch of the CPU that served it. */
static void fill_batches_of_all(void)
{
	int cpu;

	for (cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &all_cpus))
			continue;
		run_on(cpu);
		fill_batches();
	}
	run_on(own_cpu);
}

bool area_drain(const void *addr)
{
	int i;

	for (i = 0; i < DRAIN_TRIES; i++) {
		if (i)
			fill_batches_of_all();
		else
			ask_for_batches();
		if (area_flags(addr) & (1UL << KPF_LRU))
			return true;
	}
	return false;
}

void area_fork_and_reap(void)
{
	int status;
	pid_t child = fork();

	if (child < 0)
		die_errno("fork");
	if (!child)
		_exit(0);
	if (waitpid(child, &status, 0) != child)
		die_errno("waitpid");
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		die("the child ended with status %#x", status);
}
