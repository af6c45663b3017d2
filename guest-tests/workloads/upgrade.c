// SPDX-License-Identifier: GPL-2.0-or-later
#include "area.h"
#include "ktap.h"
#include "upgrade.h"

/*
 * A kernel in order needs one fault, or a few where one fault waits for another.
 * After more, something else has invalidated the translation in passing.
 */
#define MENDED_STALLS	10

bool cpu_first, never_cached;

/* act(): a CPU writes first. */
static void cpu_writes(struct subject *s)
{
	WRITE_ONCE(*s->word, VALUE_CPU);
	s->value = VALUE_CPU;
}

/*
 * Nothing is printed and nothing else touched between the views and the last
 * access. A second read is a hit: the first one may have filled the IOTLB.
 */
static void play(const struct upgrade *upgrade, struct subject *s)
{
	size_t size = upgrade->size ?: page_size;
	void *word = s->word;

	/* After a fork this raises entries: a kernel may drop what is cached for each. */
	area_settle();
	if (never_cached) {
		s->cpu_read = READ_ONCE(*s->word);
	} else {
		s->read = dma_read(word);
		if (dma_done(&s->read))
			s->read = dma_read(word);
	}

	window_open(&s->window, (void *)((uintptr_t)word & ~(size - 1)), size);
	s->before = view_of(word);
	if (upgrade->act) {
		upgrade->act(s);
		s->upgraded = view_of(word);
		s->audit = dma_audit();
		s->audit_stalls = dma_counters().stalls - s->window.before.stalls;
	}
	s->write = dma_write(word, VALUE_DEVICE);
	window_close(&s->window);
	s->after = view_of(word);
	s->reread = dma_read(word);
}

static void prove_read(struct subject *s, uint64_t read_expected)
{
	if (never_cached) {
		ktap_point(s->cpu_read == read_expected, DATA,
			   "a CPU read %#llx, memory holds %#llx",
			   (unsigned long long)s->cpu_read,
			   (unsigned long long)read_expected);
		return;
	}
	ktap_point(dma_done(&s->read), PRECONDITION, "device read %s",
		   dma_end(&s->read));
	if (dma_done(&s->read))
		ktap_point(s->read.data == read_expected, DATA,
			   "device read %#llx, memory holds %#llx",
			   (unsigned long long)s->read.data,
			   (unsigned long long)read_expected);
}

static void prove_before(struct subject *s, uint64_t read_expected)
{
	prove_read(s, read_expected);
	ktap_point(pte_read_only(&s->before.pte), PRECONDITION,
		   "page table maps the page read-only (descriptor %#llx, level %d)",
		   (unsigned long long)s->before.pte.desc, s->before.pte.level);
	if (never_cached)
		prove_not_cached(s->before.iotlb, "right before the upgrade");
	else
		prove_cached(s->before.iotlb, false, "right before the upgrade");
	prove_iotlb_within(&s->before, "before");
}

/*
 * An SMMU that updates the dirty state (HTTU), where the kernel lets it, needs
 * neither fault nor kernel to write a clean page: its descriptor says so.
 */
static bool upgraded_by_smmu(const struct upgrade *upgrade, const struct subject *s)
{
	return !upgrade->act && dma_done(&s->write) && !s->write.stalls &&
	       pte_hardware_dirtied(&s->before.pte, &s->after.pte);
}

static void prove_upgraded(const struct upgrade *upgrade, struct subject *s)
{
	uint64_t from = pte_pfn(&s->before.pte), to = pte_pfn(&s->after.pte);

	if (upgrade->act)
		ktap_point((pte_writable(&s->upgraded.pte) &&
			    (pte_pfn(&s->upgraded.pte) == from) == (upgrade->frame == FRAME_REUSED)) ||
			   (upgrade->lazy && s->write.stalls), PRECONDITION,
			   "the page was made writable before the device wrote (descriptor %#llx)",
			   (unsigned long long)s->upgraded.pte.desc);
	else if (upgraded_by_smmu(upgrade, s))
		ktap_point(true, PRECONDITION, "the SMMU itself made the clean entry writable (descriptor %#llx)",
			   (unsigned long long)s->after.pte.desc);
	else
		ktap_point(s->write.stalls, PRECONDITION,
			   "the device's write faulted (%u stalls)", s->write.stalls);
	ktap_point(pte_writable(&s->after.pte), PRECONDITION,
		   "page table maps the page writable afterwards (descriptor %#llx)",
		   (unsigned long long)s->after.pte.desc);
	if (upgrade->frame == FRAME_REUSED)
		ktap_point(from && from == to && s->before.pte.level == s->after.pte.level,
			   PRECONDITION, "the page was reused, not copied (frame %#llx, then %#llx)",
			   (unsigned long long)from, (unsigned long long)to);
	else
		ktap_point(from && to && from != to, PRECONDITION,
			   "another page is there (frame %#llx, then %#llx)",
			   (unsigned long long)from, (unsigned long long)to);
}

/*
 * Where a CPU with hardware dirty bits wrote first, the kernel has a part in it
 * only if the device still faults.
 */
static void prove_how(const struct upgrade *upgrade, struct subject *s)
{
	if (upgrade->act &&
	    pte_hardware_dirtied(&s->before.pte, &s->upgraded.pte)) {
		ktap_fact("upgraded_by", "hardware");
		if (!s->write.stalls)
			return;
	}
	if (upgraded_by_smmu(upgrade, s))
		ktap_fact("upgraded_by", "smmu");
	else
		prove_functions(upgrade->functions);
}

static void prove_written(const struct upgrade *upgrade, struct subject *s)
{
	bool done = dma_done(&s->write);
	uint64_t expected = done ? VALUE_DEVICE : s->value;
	uint64_t found = READ_ONCE(*s->word);

	if (done)
		ktap_point(s->write.stalls <= MENDED_STALLS, PRECONDITION,
			   "the fault itself mended it, not chance later (%u stalls)",
			   s->write.stalls);
	ktap_point(done, PROGRESS, "device write %s after %u stalls (bound %u)",
		   dma_end(&s->write), s->write.stalls, dma_max_stalls);
	ktap_point(found == expected, DATA, "memory holds %#llx, expected %#llx",
		   (unsigned long long)found, (unsigned long long)expected);
	if (dma_done(&s->reread))
		ktap_point(s->reread.data == found, STALE,
			   "the device reads %#llx, memory holds %#llx",
			   (unsigned long long)s->reread.data,
			   (unsigned long long)found);
	if (upgrade->act) {
		ktap_fact("iotlb_upgraded", "%s", entry_text(s->upgraded.iotlb));
		ktap_fact("pte_upgraded", "%#llx",
			  (unsigned long long)s->upgraded.pte.desc);
		ktap_fact("stalls_before_audit", "%llu",
			  (unsigned long long)s->audit_stalls);
	}
}

void upgrade_run(const struct upgrade *asked, struct subject *s)
{
	struct upgrade written_by_cpu = *asked;
	const struct upgrade *upgrade = asked;
	uint64_t read_expected;

	if (cpu_first) {
		written_by_cpu.act = cpu_writes;
		upgrade = &written_by_cpu;
	}
	prove_faults_served();
	upgrade->prepare(s);
	read_expected = s->value;
	play(upgrade, s);

	prove_before(s, read_expected);
	prove_upgraded(upgrade, s);
	prove_how(upgrade, s);
	prove_written(upgrade, s);
	prove_ending(&(struct ending){ &s->before, &s->after, &s->audit, &s->window, &s->write });
}
