// SPDX-License-Identifier: GPL-2.0-or-later
/* What the device can do beyond reading and writing, by way of the driver. */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "area.h"
#include "compiler.h"
#include "dma.h"
#include "ktap.h"
#include "selftest.h"

#define AREA_SIZE	16384

static int command(int fd, struct sva_testdev_dma *dma)
{
	return ioctl(fd, SVA_TESTDEV_IOC_DMA, dma) ? errno : 0;
}

static void test_operations(int fd)
{
	uint64_t *from = area_apart(AREA_SIZE), *to = area_apart(AREA_SIZE);
	struct sva_testdev_dma dma = {
		.addr = (uintptr_t)from, .len = AREA_SIZE, .data = 7,
		.op = SVA_TESTDEV_FILL,
	};
	int error = command(fd, &dma);

	ktap_point(!error && dma_done(&dma) &&
		   from[9] == SVA_TESTDEV_PATTERN(&from[9], 7), HARNESS,
		   "fill: %s, status %#x", strerror(error), dma.status);
	dma.op = SVA_TESTDEV_COPY;
	dma.data2 = (uintptr_t)to;
	error = command(fd, &dma);
	ktap_point(!error && dma_done(&dma) && !memcmp(from, to, AREA_SIZE), HARNESS,
		   "copy: %s, status %#x", strerror(error), dma.status);
	from[1000] = 1;
	dma.op = SVA_TESTDEV_VERIFY;
	error = command(fd, &dma);
	ktap_point(!error && (dma.status & SVA_TESTDEV_MISMATCH) && dma.bad_count == 1 &&
		   dma.bad_addr == (uintptr_t)&from[1000] && dma.bad_value == 1, HARNESS,
		   "verify finds what is wrong: %s, status %#x, %u wrong", strerror(error),
		   dma.status, dma.bad_count);
	dma = (struct sva_testdev_dma) {
		.addr = (uintptr_t)&from[1000], .op = SVA_TESTDEV_COMPARE_SWAP,
		.data = 2, .data2 = 1,
	};
	error = command(fd, &dma);
	ktap_point(!error && dma_done(&dma) && dma.data == 1 && from[1000] == 2, HARNESS,
		   "compare and swap: %s, status %#x", strerror(error), dma.status);
}

#define PRIME_PAGES	8

/* A range that is primed is cached; unmapped, it is not any more. */
static void test_prime_and_audit(int fd)
{
	size_t size = PRIME_PAGES * page_size;
	char *area = area_map(size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	struct sva_testdev_dma dma = {
		.addr = (uintptr_t)area, .len = size, .op = SVA_TESTDEV_PRIME,
	};
	struct sva_testdev_probe probe;
	struct sva_testdev_audit audit;
	struct sva_testdev_difference none = { };
	int error, cached = 0, i;

	memset(area, 1, size);
	error = command(fd, &dma);
	for (i = 0; i < PRIME_PAGES; i++) {
		probe = (struct sva_testdev_probe) { .addr = (uintptr_t)area + i * page_size };
		if (ioctl(fd, SVA_TESTDEV_IOC_PROBE, &probe))
			die_errno("probe");
		cached += !!probe.entry;
	}
	ktap_point(!error && dma_done(&dma) && cached == PRIME_PAGES, HARNESS,
		   "primer: %s, status %#x, %d pages cached", strerror(error), dma.status,
		   cached);
	error = ioctl(fd, SVA_TESTDEV_IOC_AUDIT, &audit) ? errno : 0;
	ktap_point(!error && audit.entries >= PRIME_PAGES && !audit.incomplete, HARNESS,
		   "audit: %s, %u entries", strerror(error), audit.entries);
	none.number = audit.number;
	none.index = audit.shown;
	error = ioctl(fd, SVA_TESTDEV_IOC_DIFFERENCE, &none) ? errno : 0;
	ktap_point(error == ENOENT, HARNESS, "no difference after the last: %s",
		   strerror(error));
	none.number = audit.number - 1;
	error = ioctl(fd, SVA_TESTDEV_IOC_DIFFERENCE, &none) ? errno : 0;
	ktap_point(error == ESTALE, HARNESS, "no difference of the audit before: %s",
		   strerror(error));
}

static void start_hammer(int fd, struct sva_testdev_hammer *hammer, uint64_t *area, size_t size)
{
	*hammer = (struct sva_testdev_hammer) {
		.addr = (uintptr_t)area, .len = size, .op = SVA_TESTDEV_HAMMER_WRITE,
		.data = 11, .data2 = 5, .expect = SVA_TESTDEV_EXPECT_DONE,
	};
	if (ioctl(fd, SVA_TESTDEV_IOC_HAMMER, hammer))
		die_errno("hammer");
}

static void test_hammer(int fd)
{
	uint64_t *area = area_apart(AREA_SIZE);
	struct sva_testdev_hammer hammer;
	struct sva_testdev_expect expect = { .expect = SVA_TESTDEV_EXPECT_ABORT };
	struct sva_testdev_stop stop = { };
	struct sva_testdev_bind bind;
	size_t i, touched = 0, wrong = 0;
	int error;

	start_hammer(fd, &hammer, area, AREA_SIZE);
	usleep(100000);
	stop.engine = hammer.engine;
	error = ioctl(fd, SVA_TESTDEV_IOC_STOP, &stop) ? errno : 0;
	for (i = 0; i < AREA_SIZE / sizeof(*area); i++) {
		touched += !!area[i];
		wrong += area[i] && area[i] != SVA_TESTDEV_PATTERN(&area[i], 11);
	}
	ktap_point(!error && stop.accesses && touched && !wrong && !stop.bad_count, HARNESS,
		   "hammer: %s, %llu accesses, %zu words, %zu wrong", strerror(error),
		   (unsigned long long)stop.accesses, touched, wrong);
	error = ioctl(fd, SVA_TESTDEV_IOC_STOP, &stop) ? errno : 0;
	ktap_point(error == ENOENT, HARNESS, "a hammer is stopped once: %s", strerror(error));

	start_hammer(fd, &hammer, area, AREA_SIZE);
	expect.engine = hammer.engine;
	error = ioctl(fd, SVA_TESTDEV_IOC_EXPECT, &expect) ? errno : 0;
	usleep(100000);
	stop.engine = hammer.engine;
	if (ioctl(fd, SVA_TESTDEV_IOC_STOP, &stop))
		die_errno("stop");
	ktap_point(!error && stop.bad_count && stop.bad_how == SVA_TESTDEV_BAD_DONE, HARNESS,
		   "hammer tells what it should not have been able to do: %u of %llu",
		   stop.bad_count, (unsigned long long)stop.accesses);

	start_hammer(fd, &hammer, area, AREA_SIZE);
	error = ioctl(fd, SVA_TESTDEV_IOC_UNBIND) ? errno : 0;
	if (ioctl(fd, SVA_TESTDEV_IOC_BIND, &bind))
		die_errno("bind");
	stop.engine = hammer.engine;
	if (ioctl(fd, SVA_TESTDEV_IOC_STOP, &stop) != -1 || errno != ENOENT)
		error = EBUSY;
	ktap_point(!error, HARNESS, "unbind ends a hammer: %s", strerror(error));
}

static void test_sync(int fd)
{
	struct sva_testdev_sync sync = { .number = 1 };
	uint32_t before;

	if (ioctl(fd, SVA_TESTDEV_IOC_SYNC, &sync))
		die_errno("sync");
	before = sync.count;
	if (ioctl(fd, SVA_TESTDEV_IOC_SYNC, &sync))
		die_errno("sync");
	ktap_point(sync.count == before + 1, HARNESS, "sync points are counted: %u, %u",
		   before, sync.count);
}

void selftest_device(int fd)
{
	test_operations(fd);
	test_prime_and_audit(fd);
	test_hammer(fd);
	test_sync(fd);
}
