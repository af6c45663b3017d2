// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A page made old: the access flag is gone, the right to write is not. The SMMU
 * may go on with what it cached, or fault once on each entry that it reads anew.
 */
#include <sys/mman.h>

#include "area.h"
#include "ktap.h"
#include "paths.h"
#include "upgrade.h"

static struct sva_testdev_dma first;

static void make_old(void)
{
	if (!area_write_file("/proc/self/clear_refs", "1"))
		die_errno("/proc/self/clear_refs");
}

static void prove(struct subject *s)
{
	ktap_point(dma_done(&first), PRECONDITION, "device write before %s", dma_end(&first));
	ktap_point(pte_writable(&s->before.pte) && s->before.pte.desc & DESC_AF, PRECONDITION,
		   "page table maps the page writable and accessed (descriptor %#llx)",
		   (unsigned long long)s->before.pte.desc);
	if (never_cached)
		prove_not_cached(s->before.iotlb, "right before it is made old");
	else
		prove_cached(s->before.iotlb, true, "right before it is made old");
	ktap_point(pte_writable(&s->upgraded.pte) && !(s->upgraded.pte.desc & DESC_AF),
		   PRECONDITION, "the page is old then (descriptor %#llx)",
		   (unsigned long long)s->upgraded.pte.desc);
	if (never_cached && !s->read.stalls && s->after.pte.desc & DESC_AF) {
		/* HTTU: the SMMU sets the flag, and needs no fault. */
		ktap_point(dma_done(&s->read), PRECONDITION,
			   "the SMMU itself set the access flag (descriptor %#llx)",
			   (unsigned long long)s->after.pte.desc);
		ktap_fact("upgraded_by", "smmu");
	} else if (never_cached) {
		ktap_point(s->read.stalls, PRECONDITION, "the device's read faulted (%u stalls)",
			   s->read.stalls);
	}
	ktap_point(dma_done(&s->read), PROGRESS, "device read %s after %u stalls (bound %u)",
		   dma_end(&s->read), s->read.stalls, dma_max_stalls);
	ktap_point(dma_done(&s->write), PROGRESS, "device write %s after %u stalls (bound %u)",
		   dma_end(&s->write), s->write.stalls, dma_max_stalls);
	ktap_point(READ_ONCE(*s->word) == (dma_done(&s->write) ? VALUE_DEVICE : VALUE_OLD), DATA,
		   "memory holds %#llx", (unsigned long long)READ_ONCE(*s->word));
	if (dma_done(&s->read))
		ktap_point(s->read.data == VALUE_OLD, STALE, "device read %#llx, memory held %#llx",
			   (unsigned long long)s->read.data, VALUE_OLD);
}

void access_flag(void)
{
	struct subject s = {
		.word = area_map(page_size, PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS, -1),
	};
	void *word = s.word;

	prove_faults_served();
	first = dma_write(word, VALUE_OLD);
	if (never_cached) {
		/* Both ways: that takes the entry out of the IOTLB. */
		if (mprotect(word, page_size, PROT_READ) ||
		    mprotect(word, page_size, PROT_READ | PROT_WRITE))
			die_errno("mprotect");
		WRITE_ONCE(*s.word, VALUE_OLD);
	} else if (dma_done(&first)) {
		first = dma_write(word, VALUE_OLD);
	}
	window_open(&s.window, word, page_size);
	s.before = view_of(word);
	make_old();
	s.upgraded = view_of(word);
	s.audit = dma_audit();
	s.read = dma_read(word);
	s.write = dma_write(word, VALUE_DEVICE);
	window_close(&s.window);
	s.after = view_of(word);

	prove(&s);
	prove_ending(&(struct ending){ &s.before, &s.after, &s.audit, &s.window, &s.write });
}
