/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * ioctls of /dev/sva_testdev, shared by the driver and the workloads.
 *
 * An open file is a context: it binds an address space to the device, that of the
 * process that asks for it or, asked with a number, another's; and is of no use to
 * any process but the one that asked.
 */
#ifndef SVA_TESTDEV_H
#define SVA_TESTDEV_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define SVA_TESTDEV_ABI		2

/* What an engine is told to do; the numbers are the device's own. */
#define SVA_TESTDEV_READ	1	/* data := the first 8 bytes */
#define SVA_TESTDEV_WRITE	2	/* data repeated over len bytes */
#define SVA_TESTDEV_FETCH_ADD	3	/* 64-bit atomic, data := old value */
#define SVA_TESTDEV_COMPARE_SWAP 4	/* the same: data, if data2 was there */
#define SVA_TESTDEV_COPY	5	/* to data2, which does not overlap */
#define SVA_TESTDEV_FILL	6	/* pattern of seed data, see below */
#define SVA_TESTDEV_VERIFY	7	/* read it: MISMATCH, bad_*, are of other values */
#define SVA_TESTDEV_PRIME	8	/* read a little of each 4 KiB: they are cached then */
#define SVA_TESTDEV_HAMMER_READ	9	/* for SVA_TESTDEV_IOC_HAMMER: 8 bytes at a time */
#define SVA_TESTDEV_HAMMER_WRITE 10	/* of the pattern */

/* How a command ended; the bits are the device's own. */
#define SVA_TESTDEV_BUSY	(1u << 0)
#define SVA_TESTDEV_DONE	(1u << 1)
#define SVA_TESTDEV_ERROR	(1u << 2)	/* not all was done: refused, or dropped */
#define SVA_TESTDEV_GAVE_UP	(1u << 3)	/* max_stalls reached */
#define SVA_TESTDEV_NO_PASID	(1u << 4)
#define SVA_TESTDEV_BAD_PROGRAM	(1u << 5)
#define SVA_TESTDEV_MISMATCH	(1u << 6)	/* bad_* tell what was not as expected */

/* The pattern: each aligned 64 bits hold their own address, mixed with a seed. */
#define SVA_TESTDEV_PATTERN(addr, seed) \
	((__u64)(addr) ^ (__u64)(seed) * 0x9e3779b97f4a7c15ULL)

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
 * Bind another process: for one that is not ours, stopped before its first
 * instruction. All addresses are then that one's. Needs CAP_SYS_PTRACE.
 */
struct sva_testdev_bind_pid {
	__s32 pid;		/* in */
	__u32 pasid;		/* out */
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
	__u64 data2;		/* in: COMPARE_SWAP, COPY */
	__u64 bad_addr;		/* out: VERIFY, the first word that is not the pattern */
	__u64 bad_value;	/* out: and what it is */
	__u32 bad_count;	/* out: how many are not */
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
	__u32 reserved;
};

/* What a hammer is told to expect; what is not so is counted, the first one kept. */
#define SVA_TESTDEV_EXPECT_ANY		0
#define SVA_TESTDEV_EXPECT_DONE		1	/* accesses go through */
#define SVA_TESTDEV_EXPECT_ABORT	2	/* they are refused */
#define SVA_TESTDEV_EXPECT_PATTERN	3	/* DONE, and read the pattern of data */

#define SVA_TESTDEV_BAD_VALUE		1
#define SVA_TESTDEV_BAD_ABORTED		2
#define SVA_TESTDEV_BAD_DONE		3

/*
 * A command that goes on, on an engine of its own, until it is stopped: accesses
 * of 8 bytes all over a range, in an order that depends on a seed.
 */
struct sva_testdev_hammer {
	__u64 addr;		/* in */
	__u64 data;		/* in: seed of the pattern */
	__u64 data2;		/* in: seed of the order */
	__u32 len;		/* in */
	__u32 op;		/* in: SVA_TESTDEV_HAMMER_* */
	__u32 expect;		/* in: SVA_TESTDEV_EXPECT_* */
	__u32 period_ns;	/* in: between two accesses, 0 for the device's default */
	__u32 max_stalls;	/* in: of one access, 0 for no bound */
	__u32 engine;		/* out: for the two below */
};

struct sva_testdev_expect {
	__u32 engine;		/* in */
	__u32 expect;		/* in: from the next access on */
};

/* Stop a hammer; the ioctl fails as that of a command does. */
struct sva_testdev_stop {
	__u32 engine;		/* in */
	__u32 timeout_ms;	/* in: 0 for 20 seconds */
	__u64 accesses;		/* out */
	__u64 bad_addr;		/* out: the first access that was not as expected */
	__u64 bad_value;	/* out: what was read there */
	__u64 bad_access;	/* out: its number, from 0 */
	__u32 bad_count;	/* out: how many were not */
	__u32 bad_how;		/* out: SVA_TESTDEV_BAD_* */
	__u32 aborts;		/* out: accesses that were refused */
	__u32 status;		/* out */
	__u32 stalls;		/* out */
	__u32 retries;		/* out */
};

/*
 * Compare all that the SMMU's TLB holds with the page tables it came from, now.
 * Counts are of differences; those with an index under shown can be asked for,
 * until the next audit of whomever: its number says which one it was.
 */
struct sva_testdev_audit {
	__u32 number;		/* out */
	__u32 incomplete;	/* out: too much to compare, not all was */
	__u32 entries;		/* out: that were compared */
	__u32 restrictive;	/* out: the TLB permits less than the table */
	__u32 permissive;	/* out: more */
	__u32 wrong_page;	/* out: it leads to another page */
	__u32 unmapped;		/* out: it leads somewhere, the table nowhere */
	__u32 shown;		/* out */
};

#define SVA_TESTDEV_RESTRICTIVE	1
#define SVA_TESTDEV_PERMISSIVE	2
#define SVA_TESTDEV_WRONG_PAGE	3
#define SVA_TESTDEV_UNMAPPED	4

struct sva_testdev_difference {
	__u32 number;		/* in: of the audit; -ESTALE when it was not the last */
	__u32 index;		/* in; -ENOENT from shown on */
	__u32 kind;		/* out: SVA_TESTDEV_RESTRICTIVE ... */
	__u32 walk;		/* out: how the walk ended, 0: at a page */
	__u32 stream;		/* out */
	__u32 pasid;		/* out: ~0: none */
	__u32 asid;		/* out */
	__u32 cached;		/* out: as a probe */
	__u32 walked;		/* out: the same, but no granule */
	__u32 reserved;
	__u64 addr;		/* out */
	__u64 size;		/* out: bytes that differ in this way */
	__u64 cached_desc;	/* out: descriptor */
	__u64 cached_out;	/* out: output address */
	__u64 walked_desc;	/* out */
	__u64 walked_out;	/* out */
};

/* A point that whoever watches the machine waits for. */
struct sva_testdev_sync {
	__u32 number;		/* in */
	__u32 count;		/* out: how many there were */
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
#define SVA_TESTDEV_IOC_AUDIT	_IOR('V', 0x67, struct sva_testdev_audit)
#define SVA_TESTDEV_IOC_DIFFERENCE _IOWR('V', 0x68, struct sva_testdev_difference)
#define SVA_TESTDEV_IOC_SYNC	_IOWR('V', 0x69, struct sva_testdev_sync)
#define SVA_TESTDEV_IOC_HAMMER	_IOWR('V', 0x6a, struct sva_testdev_hammer)
#define SVA_TESTDEV_IOC_EXPECT	_IOW('V', 0x6b, struct sva_testdev_expect)
#define SVA_TESTDEV_IOC_STOP	_IOWR('V', 0x6c, struct sva_testdev_stop)
#define SVA_TESTDEV_IOC_BIND_PID _IOWR('V', 0x6d, struct sva_testdev_bind_pid)

#endif
