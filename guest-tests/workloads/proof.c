// SPDX-License-Identifier: GPL-2.0-or-later
#include <stdio.h>
#include <sys/mman.h>
#include <time.h>

#include "area.h"
#include "ktap.h"
#include "proof.h"
#include "sites.h"
#include "trace.h"

#define ADDRESS_MASK	0x0000fffffffff000ULL	/* 48-bit output addresses */
#define SETTLE_POLLS	2000
#define SETTLE_POLL_NS	100000

bool uncached;

uint64_t pte_pfn(const struct sva_testdev_pte *pte)
{
	return pte_valid(pte) ? (pte->desc & ADDRESS_MASK) / page_size : 0;
}

const char *entry_text(uint32_t entry)
{
	static char texts[8][48];
	static unsigned int next;
	char *text = texts[next++ % 8];

	if (!(entry & SVA_TESTDEV_PROBE_CACHED))
		return "none";
	snprintf(text, sizeof(texts[0]), "%s%s,level=%u,granule=%u",
		 entry & SVA_TESTDEV_PROBE_READ ? "r" : "-",
		 entry & SVA_TESTDEV_PROBE_WRITE ? "w" : "-",
		 SVA_TESTDEV_PROBE_LEVEL(entry), 1u << SVA_TESTDEV_PROBE_SHIFT(entry));
	return text;
}

struct view view_of(const void *addr)
{
	struct view view;

	view.pte = dma_pte(addr);
	view.iotlb = dma_probe(addr);
	return view;
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ULL + now.tv_nsec;
}

void window_open(struct window *window, const void *addr, size_t size)
{
	window->addr = addr;
	window->size = size;
	area_settle();
	window->opened_ns = now_ns();
	if (!window->untraced)
		trace_open();
	window->subscriber_before = subscriber_counts();
	window->before = dma_counters();
}

/*
 * A device that gave up may have done so before the SMMU got its last answer:
 * wait for that, so that the same events give the same counts. What never is
 * answered stays visible in the SMMU's own count of outstanding stalls.
 */
void window_close(struct window *window)
{
	const struct timespec poll = { .tv_nsec = SETTLE_POLL_NS };
	int i;

	for (i = 0; i < SETTLE_POLLS; i++) {
		window->after = dma_counters();
		if (window->after.resumes - window->before.resumes >=
		    window->after.stalls - window->before.stalls)
			break;
		nanosleep(&poll, NULL);
	}
	window->subscriber_after = subscriber_counts();
	if (!window->untraced)
		trace_close();
	window->closed_ns = now_ns();
	if (!window->untraced)
		trace_count(window->addr, window->size);
}

/* The device's faults are served here: a page that nobody touched can be written. */
void prove_faults_served(void)
{
	void *scratch = area_map(page_size, PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS, -1);
	struct sva_testdev_dma dma = dma_write(scratch, 1);

	ktap_point(dma_done(&dma) && dma.stalls, PRECONDITION,
		   "device page faults are served (scratch page: write %s, %u stalls)",
		   dma_end(&dma), dma.stalls);
}

void prove_cached(uint32_t entry, bool writable, const char *when)
{
	bool w = entry & SVA_TESTDEV_PROBE_WRITE;

	if (uncached) {
		ktap_point(!entry, PRECONDITION, "IOTLB off: it holds nothing %s (%s)",
			   when, entry_text(entry));
		return;
	}
	ktap_point((entry & SVA_TESTDEV_PROBE_CACHED) &&
		   (entry & SVA_TESTDEV_PROBE_READ) && w == writable, PRECONDITION,
		   "IOTLB holds the page %s %s (%s)",
		   writable ? "writable" : "read-only", when, entry_text(entry));
}

void prove_not_cached(uint32_t entry, const char *when)
{
	ktap_point(!entry, PRECONDITION, "IOTLB holds nothing %s (%s)", when,
		   entry_text(entry));
}

void prove_no_evictions(const struct window *window)
{
	uint64_t lost = window->after.full_flushes - window->before.full_flushes;

	ktap_point(!lost, PRECONDITION, "IOTLB lost no entry to its own size (%llu)",
		   (unsigned long long)lost);
}

/* At rest, the IOTLB allows nothing that the page table does not. */
void prove_iotlb_within(const struct view *view, const char *when)
{
	bool wider = (view->iotlb & SVA_TESTDEV_PROBE_CACHED) &&
		     (!pte_valid(&view->pte) ||
		      ((view->iotlb & SVA_TESTDEV_PROBE_WRITE) &&
		       !pte_writable(&view->pte)));

	ktap_point(!wider, STALE,
		   "IOTLB allows no more than the page table %s (%s, descriptor %#llx)",
		   when, entry_text(view->iotlb), (unsigned long long)view->pte.desc);
	if (wider)
		dma_hold_at(DMA_HELD_STALE);
}

static uint32_t audit_others(const struct audit *audit)
{
	const struct sva_testdev_audit *all = &audit->all;

	return all->restrictive + all->permissive + all->wrong_page + all->unmapped -
	       audit->restrictive - audit_stale(audit);
}

static void tell_first(const struct audit *audit, const char *when)
{
	static const char * const kinds[] = {
		"none", "restrictive", "permissive", "wrong-page", "unmapped"
	};
	static char key[64];
	const struct sva_testdev_difference *first = &audit->first;

	snprintf(key, sizeof(key), "audit_%s", when);
	ktap_fact(key, "entries=%u,restrictive=%u,permissive=%u,wrong-page=%u,unmapped=%u,others=%u",
		  audit->all.entries, audit->restrictive, audit->permissive,
		  audit->wrong_page, audit->unmapped, audit_others(audit));
	if (!first->kind)
		return;
	snprintf(key, sizeof(key), "audit_%s_first", when);
	ktap_fact(key, "%s,address=%#llx,size=%#llx,cached=%#llx,walked=%#llx",
		  kinds[first->kind], (unsigned long long)first->addr,
		  (unsigned long long)first->size, (unsigned long long)first->cached_desc,
		  (unsigned long long)first->walked_desc);
}

void prove_audit(const struct audit *audit, const char *when)
{
	static char key[64];

	if (!audit->made)
		return;
	ktap_point(!audit_stale(audit), STALE,
		   "IOTLB holds nothing that the page tables do not allow, audit %s (permissive %u, wrong page %u, unmapped %u)",
		   when, audit->permissive, audit->wrong_page, audit->unmapped);
	snprintf(key, sizeof(key), "restrictive_%s", when);
	ktap_fact(key, "%u", audit->restrictive);
	tell_first(audit, when);
}

void prove_audit_at_end(void)
{
	struct audit audit = dma_audit();

	prove_audit(&audit, "end");
}

static void tell_hits(const char *key, int hits)
{
	if (hits == TRACE_INLINED)
		ktap_fact(key, "inlined");
	else if (hits == TRACE_NOTRACE)
		ktap_fact(key, "notrace");
	else
		ktap_fact(key, "%d", hits);
}

void prove_functions(const char * const *functions)
{
	static char key[64], names[256];
	int known = 0, ran = 0, used = 0;

	for (; *functions; functions++) {
		int hits = trace_hits(*functions);

		snprintf(key, sizeof(key), "hits_%s", *functions);
		tell_hits(key, hits);
		if (hits < 0)
			continue;
		known++;
		ran += hits > 0;
		used += snprintf(names + used, sizeof(names) - used, " %s",
				 *functions);
	}
	if (known)
		ktap_point(ran, PRECONDITION, "the kernel ran one of%s", names);
}

void tell_window(const struct window *window, const struct sva_testdev_dma *dma)
{
	const struct sva_testdev_counters *a = &window->after, *b = &window->before;

	ktap_fact("stalls", "%u", dma->stalls);
	ktap_fact("retries", "%u", dma->retries);
	ktap_fact("max_stalls", "%u", dma_max_stalls);
	ktap_fact("tlbi", "%llu", (unsigned long long)(a->tlbi - b->tlbi));
	if (!window->untraced) {
		tell_hits("notifier_calls", trace_hits("notifier"));
		tell_hits("notifier_calls_elsewhere", trace_elsewhere("notifier"));
	}
	ktap_fact("resumes", "%llu", (unsigned long long)(a->resumes - b->resumes));
	ktap_fact("evictions", "%llu",
		  (unsigned long long)(a->full_flushes - b->full_flushes));
	ktap_fact("window_us", "%llu",
		  (unsigned long long)(window->closed_ns - window->opened_ns) / 1000);
	ktap_fact("hit_perm_faults", "%llu",
		  (unsigned long long)(a->hit_perm_faults - b->hit_perm_faults));
	subscriber_tell(&window->subscriber_before, &window->subscriber_after);
}

void tell_views(const struct view *before, const struct view *after)
{
	ktap_fact("pte_before", "%#llx", (unsigned long long)before->pte.desc);
	ktap_fact("pte_after", "%#llx", (unsigned long long)after->pte.desc);
	ktap_fact("level", "%d", after->pte.level);
	ktap_fact("pfn_before", "%#llx", (unsigned long long)pte_pfn(&before->pte));
	ktap_fact("pfn_after", "%#llx", (unsigned long long)pte_pfn(&after->pte));
	ktap_fact("iotlb_before", "%s", entry_text(before->iotlb));
	ktap_fact("iotlb_after", "%s", entry_text(after->iotlb));
	sites_tell(pte_pfn(&before->pte), pte_pfn(&after->pte));
}

void prove_ending(const struct ending *end)
{
	prove_no_evictions(end->window);
	prove_iotlb_within(end->after, "afterwards");
	prove_audit(end->audit, "operation");
	prove_audit_at_end();
	tell_window(end->window, end->write);
	tell_views(end->before, end->after);
}
