// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "dma.h"
#include "ktap.h"

#define DEVICE	"/dev/sva_testdev"
#define AUDIT_TRIES	20

unsigned int dma_max_stalls = DEFAULT_MAX_STALLS;
bool dma_hold;
static int device = -1;
static uint32_t pasid;

void dma_open(void)
{
	struct sva_testdev_info info;
	struct sva_testdev_bind bind;

	device = open(DEVICE, O_RDWR | O_CLOEXEC);
	if (device < 0)
		die_errno(DEVICE " (the kernel log says why)");
	if (ioctl(device, SVA_TESTDEV_IOC_INFO, &info))
		die_errno(DEVICE ": info");
	if (info.abi != SVA_TESTDEV_ABI)
		die("driver of ABI %u, workloads of ABI %u", info.abi,
		    SVA_TESTDEV_ABI);
	if (ioctl(device, SVA_TESTDEV_IOC_BIND, &bind))
		die_errno(DEVICE ": bind (the kernel log says why)");
	pasid = bind.pasid;
}

static struct sva_testdev_dma run(uint32_t op, uint64_t addr, uint64_t data, size_t size)
{
	struct sva_testdev_dma dma = {
		.addr = addr,
		.data = data,
		.len = size,
		.op = op,
		.max_stalls = dma_max_stalls,
	};

	if (ioctl(device, SVA_TESTDEV_IOC_DMA, &dma))
		die_errno("engine %u: operation %u at %#llx: status %#x after %u stalls",
			  dma.engine, op, (unsigned long long)addr, dma.status,
			  dma.stalls);
	if (dma.status & (SVA_TESTDEV_NO_PASID | SVA_TESTDEV_BAD_PROGRAM))
		die("engine %u was programmed badly: status %#x", dma.engine,
		    dma.status);
	if (dma_gave_up(&dma))
		dma_hold_at(DMA_HELD_LOOP);
	return dma;
}

struct sva_testdev_dma dma_read(const void *addr)
{
	return run(SVA_TESTDEV_READ, (uintptr_t)addr, 0, sizeof(uint64_t));
}

struct sva_testdev_dma dma_write(void *addr, uint64_t value)
{
	return run(SVA_TESTDEV_WRITE, (uintptr_t)addr, value, sizeof(value));
}

struct sva_testdev_dma dma_fill(void *addr, size_t size, uint64_t seed)
{
	return run(SVA_TESTDEV_FILL, (uintptr_t)addr, seed, size);
}

struct sva_testdev_dma dma_verify(const void *addr, size_t size, uint64_t seed)
{
	return run(SVA_TESTDEV_VERIFY, (uintptr_t)addr, seed, size);
}

uint32_t dma_hammer(void *addr, size_t size, uint32_t op, uint32_t expect, uint64_t seed)
{
	struct sva_testdev_hammer hammer = {
		.addr = (uintptr_t)addr,
		.len = size,
		.data = seed,
		.data2 = seed + 1,
		.op = op,
		.expect = expect,
		.max_stalls = dma_max_stalls,
	};

	if (ioctl(device, SVA_TESTDEV_IOC_HAMMER, &hammer))
		die_errno("start of a hammer");
	return hammer.engine;
}

struct sva_testdev_stop dma_stop(uint32_t engine)
{
	struct sva_testdev_stop stop = { .engine = engine };

	if (ioctl(device, SVA_TESTDEV_IOC_STOP, &stop))
		die_errno("engine %u: the hammer does not stop (status %#x)", engine,
			  stop.status);
	return stop;
}

void dma_unbind(void)
{
	if (ioctl(device, SVA_TESTDEV_IOC_UNBIND))
		die_errno("unbind");
}

bool dma_gone(void *addr)
{
	struct sva_testdev_dma dma = {
		.addr = (uintptr_t)addr,
		.len = sizeof(uint64_t),
		.op = SVA_TESTDEV_WRITE,
		.max_stalls = dma_max_stalls,
	};

	return ioctl(device, SVA_TESTDEV_IOC_DMA, &dma) && errno == ENODEV;
}

void dma_keep(void)
{
	if (fcntl(device, F_SETFD, 0))
		die_errno("fcntl");
}

const char *dma_end(const struct sva_testdev_dma *dma)
{
	if (dma_gave_up(dma))
		return "gave up";
	if (dma_refused(dma))
		return "was refused";
	return dma_done(dma) ? "was done" : "did not end";
}

uint32_t dma_probe(const void *addr)
{
	struct sva_testdev_probe probe = { .addr = (uintptr_t)addr };

	if (ioctl(device, SVA_TESTDEV_IOC_PROBE, &probe))
		die_errno("probe of the IOTLB");
	return probe.entry;
}

static void count_own(struct audit *audit, const struct sva_testdev_difference *diff)
{
	switch (diff->kind) {
	case SVA_TESTDEV_RESTRICTIVE:
		audit->restrictive++;
		break;
	case SVA_TESTDEV_PERMISSIVE:
		audit->permissive++;
		break;
	case SVA_TESTDEV_WRONG_PAGE:
		audit->wrong_page++;
		break;
	default:
		audit->unmapped++;
	}
	if (diff->kind > audit->first.kind)
		audit->first = *diff;
}

/*
 * The kinds are numbered from the harmless on. Where there are more differences
 * than the device shows, some other process's may be among those that it does
 * not: that is so many that something is wrong anyway.
 */
static bool try_audit(struct audit *audit)
{
	uint32_t i;

	*audit = (struct audit) { .made = true };
	if (ioctl(device, SVA_TESTDEV_IOC_AUDIT, &audit->all))
		die_errno("audit of the IOTLB");
	if (audit->all.incomplete)
		die("the audit of the IOTLB is incomplete");
	for (i = 0; i < audit->all.shown; i++) {
		struct sva_testdev_difference diff = {
			.number = audit->all.number,
			.index = i,
		};

		if (ioctl(device, SVA_TESTDEV_IOC_DIFFERENCE, &diff)) {
			if (errno == ESTALE)
				return false;	/* another process has made one since */
			die_errno("difference %u of the audit", i);
		}
		if (diff.pasid == pasid)
			count_own(audit, &diff);
	}
	return true;
}

struct audit dma_audit(void)
{
	struct audit audit;
	int i;

	for (i = 0; i < AUDIT_TRIES; i++)
		if (try_audit(&audit)) {
			if (audit_stale(&audit))
				dma_hold_at(DMA_HELD_STALE);
			return audit;
		}
	die("each of %d audits was overtaken by another one", AUDIT_TRIES);
}

void dma_sync(uint32_t number)
{
	struct sva_testdev_sync sync = { .number = number };

	if (ioctl(device, SVA_TESTDEV_IOC_SYNC, &sync))
		die_errno("sync point");
}

void dma_hold_at(uint32_t what)
{
	if (!dma_hold)
		return;
	dma_sync(what);
	for (;;)
		pause();
}

struct sva_testdev_counters dma_counters(void)
{
	struct sva_testdev_counters counters;

	if (ioctl(device, SVA_TESTDEV_IOC_COUNTERS, &counters))
		die_errno("counters of the SMMU");
	return counters;
}

struct sva_testdev_pte dma_pte(const void *addr)
{
	struct sva_testdev_pte pte = { .addr = (uintptr_t)addr };

	if (ioctl(device, SVA_TESTDEV_IOC_PTE, &pte))
		die_errno("walk of the page table");
	return pte;
}
