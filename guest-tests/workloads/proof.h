/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Evidence: entries of the page table and the IOTLB, and the measured window. */
#ifndef PROOF_H
#define PROOF_H

#include <stdbool.h>
#include <stdint.h>

#include "dma.h"
#include "subscriber.h"

/* Descriptor bits of the architecture (ARM DDI 0487, VMSAv8-64), and Linux's own. */
#define DESC_VALID	(1ULL << 0)
#define DESC_AF		(1ULL << 10)	/* accessed */
#define DESC_READ_ONLY	(1ULL << 7)	/* AP[2] */
#define DESC_DBM	(1ULL << 51)	/* the CPU may clear AP[2] by itself */
#define DESC_CONTIGUOUS	(1ULL << 52)	/* one of a range that a TLB may hold as one */
#define DESC_DIRTY	(1ULL << 55)	/* Linux: written, by the kernel's knowledge */

static inline bool pte_valid(const struct sva_testdev_pte *pte)
{
	return pte->desc & DESC_VALID;
}

static inline bool pte_read_only(const struct sva_testdev_pte *pte)
{
	return pte_valid(pte) && (pte->desc & DESC_READ_ONLY);
}

static inline bool pte_writable(const struct sva_testdev_pte *pte)
{
	return pte_valid(pte) && !(pte->desc & DESC_READ_ONLY);
}

/* Frame of the page or block, in units of the kernel's pages; 0 when invalid. */
uint64_t pte_pfn(const struct sva_testdev_pte *pte);

/* An entry as one word, in a buffer of its own each time. */
const char *entry_text(uint32_t entry);

/* Page table and IOTLB at one moment. */
struct view {
	struct sva_testdev_pte pte;
	uint32_t iotlb;
};

struct view view_of(const void *addr);

/*
 * The measured window: from when the preconditions hold until the last access of
 * the device has ended and the SMMU has been answered.
 */
struct window {
	bool untraced;		/* more goes on in it than can be told event by event */
	const char *addr;
	size_t size;
	struct sva_testdev_counters before, after;
	struct sva_testsub_counts subscriber_before, subscriber_after;
	uint64_t opened_ns, closed_ns;
};

void window_open(struct window *window, const void *addr, size_t size);
void window_close(struct window *window);

/* True when the IOTLB is expected to be off (the control): nothing is cached. */
extern bool uncached;

/* Points that most paths have. */
void prove_faults_served(void);
void prove_cached(uint32_t entry, bool writable, const char *when);
void prove_not_cached(uint32_t entry, const char *when);
void prove_no_evictions(const struct window *window);
void prove_iotlb_within(const struct view *view, const char *when);

/*
 * The SMMU's whole TLB against the page tables, once the kernel has returned from
 * what the path is about ("after the operation"), and when all is done ("at the
 * end"). An entry that permits too little is a warning: a fault heals it, and a
 * CPU that sets dirty bits by itself leaves such entries. All else is STALE.
 */
void prove_audit(const struct audit *audit, const char *when);
void prove_audit_at_end(void);

/*
 * The CPU made a clean page writable by itself: had the kernel done it, it would
 * have marked it dirty.
 */
static inline bool pte_hardware_dirtied(const struct sva_testdev_pte *from,
					const struct sva_testdev_pte *to)
{
	return pte_read_only(from) && (from->desc & DESC_DBM) &&
	       pte_writable(to) && !(to->desc & DESC_DIRTY);
}

/*
 * What is said of each window when all is done: the entry and the IOTLB as they are
 * left, both audits (the first one may not have been made), and the facts.
 */
struct ending {
	const struct view *before, *after;
	const struct audit *audit;
	const struct window *window;
	const struct sva_testdev_dma *write;
};

void prove_ending(const struct ending *end);

/*
 * One of the functions ran, if the kernel has any of them. The list ends with
 * NULL; every one becomes a fact.
 */
void prove_functions(const char * const *functions);

/* Facts that the harness knows by name. */
void tell_window(const struct window *window, const struct sva_testdev_dma *dma);
void tell_views(const struct view *before, const struct view *after);

#endif
