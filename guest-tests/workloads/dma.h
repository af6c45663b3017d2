/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The device: bound to this process, told to read and write its memory. */
#ifndef DMA_H
#define DMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sva_testdev.h"

#define DEFAULT_MAX_STALLS	50

/* Stalls on one page after which an access counts as endless. */
extern unsigned int dma_max_stalls;

/* For a debugger: at the first loop or stale translation, tell of it and stay there. */
extern bool dma_hold;

/* Numbers of the sync points that tell of it; all others are below 2^24. */
#define DMA_HELD_LOOP	0x4c4f4f50	/* "LOOP" */
#define DMA_HELD_STALE	0x53544c45	/* "STLE" */

/* Returns at once without dma_hold. */
void dma_hold_at(uint32_t what);

/* Open the device and bind this process. */
void dma_open(void);

/* Eight bytes at an address; whatever the device answers is in the result. */
struct sva_testdev_dma dma_read(const void *addr);
struct sva_testdev_dma dma_write(void *addr, uint64_t value);

/* A range filled with the device's pattern of a seed, or compared with it. */
struct sva_testdev_dma dma_fill(void *addr, size_t size, uint64_t seed);
struct sva_testdev_dma dma_verify(const void *addr, size_t size, uint64_t seed);

/*
 * An engine that reads or writes (SVA_TESTDEV_HAMMER_*) all over a range until it
 * is stopped; EXPECT_PATTERN and EXPECT_DONE as the driver's interface has them.
 */
uint32_t dma_hammer(void *addr, size_t size, uint32_t op, uint32_t expect, uint64_t seed);
struct sva_testdev_stop dma_stop(uint32_t engine);

/* End the binding; whatever runs is aborted. */
void dma_unbind(void);

/* Whether the device is gone: a command says so. */
bool dma_gone(void *addr);

/* Keep the device open over exec(). */
void dma_keep(void);

static inline bool dma_done(const struct sva_testdev_dma *dma)
{
	return (dma->status & SVA_TESTDEV_DONE) &&
	       !(dma->status & (SVA_TESTDEV_ERROR | SVA_TESTDEV_GAVE_UP));
}

static inline bool dma_refused(const struct sva_testdev_dma *dma)
{
	return dma->status & SVA_TESTDEV_ERROR;
}

static inline bool dma_gave_up(const struct sva_testdev_dma *dma)
{
	return dma->status & SVA_TESTDEV_GAVE_UP;
}

/* How a command ended, in words. */
const char *dma_end(const struct sva_testdev_dma *dma);

/* What the SMMU's TLB holds for an address; 0 is nothing. */
uint32_t dma_probe(const void *addr);

struct sva_testdev_counters dma_counters(void);

/*
 * All that the SMMU's TLB holds against the page tables. Counts are of what the
 * device does for this process; what others left there is told apart.
 */
struct audit {
	bool made;
	struct sva_testdev_audit all;
	unsigned int restrictive, permissive, wrong_page, unmapped;
	struct sva_testdev_difference first;	/* of the worst kind; kind 0: none */
};

struct audit dma_audit(void);

/* What the device may do, or do to, that the page tables do not allow. */
static inline unsigned int audit_stale(const struct audit *audit)
{
	return audit->permissive + audit->wrong_page + audit->unmapped;
}

/* Tell whoever watches the machine. */
void dma_sync(uint32_t number);

/* The entry of this process's page table for an address. */
struct sva_testdev_pte dma_pte(const void *addr);

#endif
