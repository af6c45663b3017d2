/*
 * PCIe test device for shared virtual addressing (SVA)
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * An RCiEP with a PASID capability and DMA engines that work side by side.
 * Each engine runs one command at a time, in accesses that do not cross 4 KiB.
 * An access that the IOMMU stalls waits for the response; if that is "retry",
 * the engine presents the same access again.
 *
 * BAR 0: registers, 64 KiB, little endian, 32 and 64-bit accesses (a 64-bit
 * access is two of 32 bits, the lower first).
 * BAR 2: MSI-X table; engine n sends vector n when a command ends.
 */

#ifndef HW_MISC_SVA_TESTDEV_H
#define HW_MISC_SVA_TESTDEV_H

#define TYPE_SVA_TESTDEV        "sva-testdev"

#define SVA_MAGIC               0x53564131
#define SVA_VERSION             2

/* Device */
#define SVA_REG_MAGIC           0x000   /* RO 32 */
#define SVA_REG_VERSION         0x004   /* RO 32 */
#define SVA_REG_ENGINES         0x008   /* RO 32 how many there are */
#define SVA_REG_RESET           0x00c   /* WO 32 1: reset every engine */
/*
 * Reading PROBE tells what the IOTLB holds for PROBE_ADDR and PROBE_PASID,
 * as SVA_PROBE_*; 0 if nothing. No table is walked for it.
 */
#define SVA_REG_PROBE_ADDR      0x010   /* RW 64 */
#define SVA_REG_PROBE_PASID     0x018   /* RW 32 0xffffffff: none */
#define SVA_REG_PROBE           0x01c   /* RO 32 */
/* Counters of the IOMMU, since the machine was created */
#define SVA_REG_TLBI            0x020   /* RO 64 TLB invalidation commands */
#define SVA_REG_STALLS          0x028   /* RO 64 */
#define SVA_REG_RESUMES         0x030   /* RO 64 CMD_RESUME */
#define SVA_REG_FULL_FLUSHES    0x038   /* RO 64 evictions + full flushes */
#define SVA_REG_HIT_PERM_FAULTS 0x040   /* RO 64 faults without a walk */

/*
 * Writing 1 to AUDIT compares what the IOMMU's IOTLB holds, for all devices,
 * with the translation tables; reading it tells how often that was done since
 * the reset. The registers below are of the last audit: the number of entries
 * that were compared, and of differences, by kind. The first SVA_AUDIT_SHOWN
 * differences can be looked at, one at a time: INDEX chooses, and DIFF_KIND
 * is 0 for one that is not there.
 */
#define SVA_REG_AUDIT           0x080   /* RW 32 */
#define SVA_REG_AUDIT_STATUS    0x084   /* RO 32 SVA_AUDIT_* */
#define SVA_REG_AUDIT_ENTRIES   0x088   /* RO 32 */
#define SVA_REG_AUDIT_INDEX     0x08c   /* RW 32 */
#define SVA_REG_RESTRICTIVE     0x090   /* RO 32 entry permits less */
#define SVA_REG_PERMISSIVE      0x094   /* RO 32 entry permits more */
#define SVA_REG_WRONG_PAGE      0x098   /* RO 32 entry leads elsewhere */
#define SVA_REG_UNMAPPED        0x09c   /* RO 32 tables lead nowhere */
#define SVA_REG_DIFF_KIND       0x0a0   /* RO 32 SVA_DIFF_* */
#define SVA_REG_DIFF_WALK       0x0a4   /* RO 32 SVA_WALK_* */
#define SVA_REG_DIFF_SID        0x0a8   /* RO 32 StreamID */
#define SVA_REG_DIFF_PASID      0x0ac   /* RO 32 0xffffffff: none */
#define SVA_REG_DIFF_ASID       0x0b0   /* RO 32 */
#define SVA_REG_DIFF_VMID       0x0b4   /* RO 32 0xffffffff: none */
#define SVA_REG_DIFF_ADDR       0x0b8   /* RO 64 */
#define SVA_REG_DIFF_SIZE       0x0c0   /* RO 64 bytes */
/* As PROBE; of WALKED only what is permitted, and the level */
#define SVA_REG_DIFF_CACHED     0x0c8   /* RO 32 */
#define SVA_REG_DIFF_WALKED     0x0cc   /* RO 32 */
#define SVA_REG_CACHED_DESC     0x0d0   /* RO 64 descriptor */
#define SVA_REG_CACHED_OUT      0x0d8   /* RO 64 output address */
#define SVA_REG_WALKED_DESC     0x0e0   /* RO 64 */
#define SVA_REG_WALKED_OUT      0x0e8   /* RO 64 */
/*
 * A sync point: writing a number tells whoever watches the machine (QMP event
 * SVA_TESTDEV_SYNC) that it has been reached.
 */
#define SVA_REG_SYNC            0x0f0   /* RW 32 */
#define SVA_REG_SYNCS           0x0f4   /* RO 32 how many, since the reset */

#define SVA_AUDIT_SHOWN         64

#define SVA_AUDIT_INCOMPLETE    0x00000001  /* too much to compare */
#define SVA_AUDIT_NO_IOMMU      0x00000002  /* none that can be audited */

#define SVA_DIFF_RESTRICTIVE    1
#define SVA_DIFF_PERMISSIVE     2
#define SVA_DIFF_WRONG_PAGE     3
#define SVA_DIFF_UNMAPPED       4

#define SVA_WALK_OK             0
#define SVA_WALK_TRANSLATION    1   /* invalid descriptor, or walks disabled */
#define SVA_WALK_ADDRESS_SIZE   2
#define SVA_WALK_ABORT          3   /* no memory where a table should be */
#define SVA_WALK_STAGE_2        4
#define SVA_WALK_NO_TABLE       5   /* nothing is configured with this ASID */

#define SVA_PROBE_CACHED        0x00000001
#define SVA_PROBE_READ          0x00000002
#define SVA_PROBE_WRITE         0x00000004
#define SVA_PROBE_LEVEL_SHIFT   8       /* 8 bits */
#define SVA_PROBE_GRANULE_SHIFT 16      /* 8 bits, log2 */

/* Engine n: SVA_ENGINE_BASE + n * SVA_ENGINE_SIZE */
#define SVA_ENGINE_BASE         0x1000
#define SVA_ENGINE_SIZE         0x100

/*
 * Writes to RW registers other than EXPECT are refused while the engine is
 * busy, and so is CMD: STATUS then has SVA_ST_BAD_PROGRAMMING, and the command
 * runs on.
 */
#define SVA_ENG_ADDR            0x00    /* RW 64 */
#define SVA_ENG_LEN             0x08    /* RW 32 bytes */
#define SVA_ENG_PASID           0x0c    /* RW 32 0xffffffff: none */
#define SVA_ENG_DATA            0x10    /* RW 64 */
#define SVA_ENG_DATA2           0x18    /* RW 64 */
#define SVA_ENG_CMD             0x20    /* WO 32 SVA_CMD_* */
#define SVA_ENG_STATUS          0x24    /* RO 32 SVA_ST_* */
#define SVA_ENG_STALLS          0x28    /* RO 32 since CMD */
#define SVA_ENG_RETRIES         0x2c    /* RO 32 since CMD */
#define SVA_ENG_MAX_STALLS      0x30    /* RW 32 of one access, 0: no bound */
#define SVA_ENG_RETRY_NS        0x34    /* RW 32 delay of a retry */
/* A command that is dropped ends at once, as DONE | ERROR */
#define SVA_ENG_ABORT           0x38    /* WO 32 drop the command */
#define SVA_ENG_BYTES_DONE      0x3c    /* RO 32 since CMD */
#define SVA_ENG_FAULT_ADDR      0x40    /* RO 64 of the last fault since CMD */
#define SVA_ENG_SUM             0x48    /* RO 64 READ: sum of the bytes */

/* The first access that was not as expected: VERIFY, HAMMER_* */
#define SVA_ENG_BAD_ADDR        0x50    /* RO 64 */
#define SVA_ENG_BAD_VALUE       0x58    /* RO 64 what was read there */
#define SVA_ENG_BAD_ACCESS      0x60    /* RO 64 its number, from 0 */
#define SVA_ENG_BAD_COUNT       0x68    /* RO 32 how many were not */
#define SVA_ENG_BAD_HOW         0x6c    /* RO 32 SVA_BAD_*, 0: none */
#define SVA_ENG_ACCESSES        0x70    /* RO 64 since CMD, without retries */
#define SVA_ENG_ABORTS          0x78    /* RO 32 accesses that were aborted */
#define SVA_ENG_EXPECT          0x7c    /* RW 32 SVA_EXPECT_*, of HAMMER_* */
/* Between two accesses of HAMMER_*; 0: 20 microseconds */
#define SVA_ENG_PERIOD_NS       0x80    /* RW 32 */
/* An access that is stalled when HAMMER_* is told to end is made first */
#define SVA_ENG_STOP            0x84    /* WO 32 end HAMMER_* */
/* With STEP 1 the command waits (SVA_ST_PAUSED) before each access ... */
#define SVA_ENG_STEP            0x88    /* RW 32 */
#define SVA_ENG_GO              0x8c    /* WO 32 ... until told how many */
#define SVA_ENG_FAULT_HOW       0x90    /* RO 32 SVA_FAULT_* */
#define SVA_ENG_FAULT_TIME      0x98    /* RO 64 virtual time, ns */

#define SVA_CMD_READ            1       /* DATA := the first 8 bytes */
#define SVA_CMD_WRITE           2       /* DATA over and over */
/* Two that are atomic: 64 bits, aligned, whatever LEN; DATA := old value */
#define SVA_CMD_FETCH_ADD       3       /* *ADDR += DATA */
#define SVA_CMD_COMPARE_SWAP    4       /* if (*ADDR == DATA2) *ADDR = DATA */
/* LEN bytes from ADDR to DATA2, which do not overlap */
#define SVA_CMD_COPY            5
/*
 * The pattern of seed DATA: each aligned 64 bits hold their own address, XOR
 * DATA * 0x9e3779b97f4a7c15. ADDR and LEN are aligned to 8.
 */
#define SVA_CMD_FILL            6       /* write it */
/* Read it, to the end: SVA_ST_MISMATCH and BAD_* tell of other values */
#define SVA_CMD_VERIFY          7
/* Read a little of each 4 KiB, so that the IOTLB holds them all */
#define SVA_CMD_PRIME           8
/*
 * Read or write (the pattern) 64 bits at a time, in an order that depends on
 * DATA2, until STOP. Aborts do not end it; whether they should have come is for
 * EXPECT to say.
 */
#define SVA_CMD_HAMMER_READ     9
#define SVA_CMD_HAMMER_WRITE    10

#define SVA_EXPECT_ANY          0
#define SVA_EXPECT_DONE         1       /* accesses go through */
#define SVA_EXPECT_ABORT        2       /* they are aborted */
#define SVA_EXPECT_PATTERN      3       /* DONE, and read the pattern */

#define SVA_BAD_VALUE           1       /* not the pattern */
#define SVA_BAD_ABORTED         2
#define SVA_BAD_DONE            3       /* went through */

#define SVA_FAULT_STALLED       1
#define SVA_FAULT_ABORTED       2
#define SVA_FAULT_WRITE         0x10    /* of a write, or an atomic access */

#define SVA_ST_BUSY             0x01
#define SVA_ST_DONE             0x02    /* the command has ended, but ... */
#define SVA_ST_ERROR            0x04    /* ... not all of it was done */
#define SVA_ST_GAVE_UP          0x08    /* one access: MAX_STALLS stalls */
#define SVA_ST_NO_PASID         0x10    /* PASID not enabled */
/*
 * Unknown command or expectation, LEN 0, wrapping, misaligned or overlapping
 * addresses, PASID too wide, bus master disabled, GO or STOP for a command that
 * knows it not; or a write that was refused. Cleared by the next command.
 */
#define SVA_ST_BAD_PROGRAMMING  0x20
#define SVA_ST_MISMATCH         0x40    /* BAD_* tell what was unexpected */
#define SVA_ST_PAUSED           0x80    /* single-step: GO goes on */

#endif
