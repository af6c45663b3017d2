// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Another device that mirrors the page tables, Linux's own test of HMM: it takes
 * pages for itself alone, or into memory of its own. The SMMU's device then has
 * to ask for them.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/ioctl.h>
#include <linux/types.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "area.h"
#include "ktap.h"
#include "paths.h"
#include "taken.h"
#include "upgrade.h"

#define MODULE	"/faultloop/modules/test_hmm.ko"
#define DEVICE	"/run/hmm_dmirror0"

/* Interface of the kernel's lib/test_hmm.c. */
struct mirror_command {
	__u64 addr, ptr, npages, cpages, faults;
};

#define MIRROR_TO_DEVICE	_IOWR('H', 0x02, struct mirror_command)
#define MIRROR_EXCLUSIVE	_IOWR('H', 0x05, struct mirror_command)

static int mirror = -1;

static int major_number(void)
{
	char line[64], name[32];
	FILE *devices = fopen("/proc/devices", "r");
	int number = -1, found = -1;

	while (devices && found < 0 && fgets(line, sizeof(line), devices))
		if (sscanf(line, "%d %31s", &number, name) == 2 && !strcmp(name, "HMM_DMIRROR"))
			found = number;
	if (devices)
		fclose(devices);
	return found;
}

/*
 * Older kernels put its memory where arm64 has no struct page for it, and warn of
 * that (vmemmap_populate()): not what is to be tested here.
 */
static bool too_old(void)
{
	unsigned int major, minor;
	struct utsname name;

	return uname(&name) || sscanf(name.release, "%u.%u", &major, &minor) != 2 ||
	       major < 6 || (major == 6 && minor < 12);
}

static void load_module(void)
{
	int fd = open(MODULE, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		ktap_skip("the kernel was built without its test of HMM");
	if (too_old())
		ktap_skip("the test of HMM sets off a warning of kernels before 6.12");
	if (syscall(SYS_finit_module, fd, "", 0))
		die_errno(MODULE);
	close(fd);
}

/* To open it is to have an interval notifier on this process. */
static void open_mirror(void)
{
	if (major_number() < 0)
		load_module();
	if (mknod(DEVICE, S_IFCHR | 0600, makedev(major_number(), 0)) && errno != EEXIST)
		die_errno(DEVICE);
	mirror = open(DEVICE, O_RDWR | O_CLOEXEC);
	if (mirror < 0)
		die_errno(DEVICE);
}

/* The command works on a copy of the page, which goes to `copy`. */
static void tell_mirror(unsigned long what, const char *name, void *addr)
{
	char *copy = area_apart(page_size);
	struct mirror_command command = {
		.addr = (uintptr_t)addr, .ptr = (uintptr_t)copy, .npages = 1,
	};

	if (ioctl(mirror, what, &command))
		die_errno("%s", name);
	if (command.cpages != 1)
		die("%s: %llu pages", name, (unsigned long long)command.cpages);
}

static void take_exclusive(struct taken *t)
{
	tell_mirror(MIRROR_EXCLUSIVE, "HMM_DMIRROR_EXCLUSIVE", t->word);
}

/* To fork gives the page back, to copy it. */
static void take_exclusive_and_fork(struct taken *t)
{
	take_exclusive(t);
	area_fork_and_reap();
}

static void take_to_device(struct taken *t)
{
	tell_mirror(MIRROR_TO_DEVICE, "HMM_DMIRROR_MIGRATE_TO_DEV", t->word);
}

static void run(const struct taking *taking)
{
	open_mirror();
	taken_run_private(taking);
}

static const char * const exclusive_functions[] = {
	"make_device_exclusive_range", "make_device_exclusive", NULL
};

void hmm_exclusive(void)
{
	static const struct taking taking = {
		.then = SAME_PAGE,
		.act = take_exclusive,
		.functions = exclusive_functions,
	};

	run(&taking);
}

void hmm_exclusive_fork(void)
{
	static const struct taking taking = {
		.then = SAME_PAGE,
		.readable = true,
		.act = take_exclusive_and_fork,
		.functions = exclusive_functions,
	};

	run(&taking);
}

void hmm_private(void)
{
	static const char * const functions[] = { "migrate_vma_setup", NULL };
	static const struct taking taking = {
		.then = SAME_PAGE,
		.act = take_to_device,
		.functions = functions,
	};

	run(&taking);
}

/* A process whose first notifier of all is an interval notifier; the SMMU's comes second. */
static int first_main(void)
{
	uint64_t *word = area_map(page_size, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS, -1);
	struct sva_testdev_dma write, again;

	open_mirror();
	dma_open();
	write = dma_write(word, VALUE_DEVICE);
	area_fork_and_reap();
	again = dma_write(word, VALUE_CPU);
	return dma_done(&write) && dma_done(&again) && READ_ONCE(*word) == VALUE_CPU ? 0 : 1;
}

void hmm_first_notifier(void)
{
	struct sva_testdev_dma dma;
	struct window window;
	void *scratch;
	int status;
	pid_t pid;

	open_mirror();		/* loads the module, or skips the path */
	close(mirror);
	prove_faults_served();
	scratch = area_map(page_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	dma = dma_write(scratch, 1);
	window_open(&window, scratch, page_size);
	pid = fork();
	if (pid < 0)
		die_errno("fork");
	if (!pid)
		_exit(first_main());
	if (waitpid(pid, &status, 0) != pid)
		die_errno("waitpid");
	window_close(&window);
	ktap_point(dma_done(&dma), PRECONDITION, "the device can be used here as well: %s",
		   dma_end(&dma));
	ktap_point(WIFEXITED(status) && !WEXITSTATUS(status), PROGRESS,
		   "with an interval notifier first, the device works all the same (status %#x)",
		   status);
	prove_audit_at_end();
	tell_window(&window, &dma);
}
