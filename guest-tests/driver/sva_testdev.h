/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * ioctls of /dev/sva_testdev, shared by the driver and the workloads.
 *
 * An open file is a context: it binds the address space of the process that
 * asks for it to the device, and is of no use to any other address space.
 */
#ifndef SVA_TESTDEV_H
#define SVA_TESTDEV_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define SVA_TESTDEV_ABI		1

/* What an engine is told to do; the numbers are the device's own. */
#define SVA_TESTDEV_READ	1	/* data := the first 8 bytes */
#define SVA_TESTDEV_WRITE	2	/* data repeated over len bytes */
#define SVA_TESTDEV_FETCH_ADD	3	/* 64-bit atomic, data := old value */

/* How a command ended; the bits are the device's own. */
#define SVA_TESTDEV_BUSY	(1u << 0)
#define SVA_TESTDEV_DONE	(1u << 1)
#define SVA_TESTDEV_ERROR	(1u << 2)	/* terminated by the SMMU, or aborted */
#define SVA_TESTDEV_GAVE_UP	(1u << 3)	/* max_stalls reached */
#define SVA_TESTDEV_NO_PASID	(1u << 4)
#define SVA_TESTDEV_BAD_PROGRAM	(1u << 5)

struct sva_testdev_info {
	__u32 abi;		/* SVA_TESTDEV_ABI of the driver */
	__u32 hw_version;
	__u32 engines;		/* that can run at once */
	__u32 reserved;
};

struct sva_testdev_bind {
	__u32 pasid;		/* out */
	__u32 reserved;
};

/*
 * One DMA command, run to its end. The ioctl fails only when the command
 * could not be run or did not end: -ETIMEDOUT and -EINTR, for which the
 * engine was aborted and the results are those up to then.
 */
struct sva_testdev_dma {
	__u64 addr;		/* in */
	__u64 data;		/* in, out */
	__u64 sum;		/* out: READ, sum of all bytes */
	__u64 fault_addr;	/* out: last fault */
	__u32 len;		/* in: bytes */
	__u32 op;		/* in: SVA_TESTDEV_READ ... */
	__u32 max_stalls;	/* in: on one page; 0 for no bound */
	__u32 retry_ns;		/* in: 0 for the device's default */
	__u32 timeout_ms;	/* in: 0 for 20 seconds */
	__u32 status;		/* out */
	__u32 stalls;		/* out */
	__u32 retries;		/* out */
	__u32 bytes_done;	/* out */
	__u32 engine;		/* out: which one ran it */
};

/* What the SMMU's TLB holds for an address: no walk, not counted as a hit. */
struct sva_testdev_probe {
	__u64 addr;		/* in */
	__u32 entry;		/* out: 0 when nothing is cached */
	__u32 reserved;
};

#define SVA_TESTDEV_PROBE_CACHED	(1u << 0)
#define SVA_TESTDEV_PROBE_READ		(1u << 1)
#define SVA_TESTDEV_PROBE_WRITE		(1u << 2)
#define SVA_TESTDEV_PROBE_LEVEL(e)	(((e) >> 8) & 0xff)
#define SVA_TESTDEV_PROBE_SHIFT(e)	(((e) >> 16) & 0xff)

struct sva_testdev_counters {	/* all of them since the machine started */
	__u64 tlbi;		/* TLB invalidation commands */
	__u64 stalls;
	__u64 resumes;
	__u64 full_flushes;	/* entries lost to the TLB's own size */
	__u64 hit_perm_faults;	/* permission faults from a cached entry */
};

/*
 * The translation table entry that the walk of the caller's own page table
 * ends at, valid or not: the descriptor as it lies in memory.
 */
struct sva_testdev_pte {
	__u64 addr;		/* in */
	__u64 desc;		/* out */
	__s32 level;		/* out: of the architecture; 3 is a page */
	__u32 shift;		/* out: log2 of the bytes that it maps */
};

#define SVA_TESTDEV_IOC_INFO	_IOR('V', 0x60, struct sva_testdev_info)
#define SVA_TESTDEV_IOC_BIND	_IOR('V', 0x61, struct sva_testdev_bind)
#define SVA_TESTDEV_IOC_UNBIND	_IO('V', 0x62)
#define SVA_TESTDEV_IOC_DMA	_IOWR('V', 0x63, struct sva_testdev_dma)
#define SVA_TESTDEV_IOC_PROBE	_IOWR('V', 0x64, struct sva_testdev_probe)
#define SVA_TESTDEV_IOC_COUNTERS _IOR('V', 0x65, struct sva_testdev_counters)
#define SVA_TESTDEV_IOC_PTE	_IOWR('V', 0x66, struct sva_testdev_pte)

#endif
