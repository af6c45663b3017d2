// SPDX-License-Identifier: GPL-2.0-or-later
#include "area.h"
#include "ktap.h"
#include "move.h"
#include "upgrade.h"

#define SEED	0x5eed

static void play(const struct move *move, struct moved *m)
{
	size_t size = move->size ?: page_size;
	uint32_t engine;

	m->word = (uint64_t *)(m->area + size / 2 + 8);
	m->fill = dma_fill(m->area, size, SEED);
	engine = dma_hammer(m->area, size, SVA_TESTDEV_HAMMER_READ,
			    SVA_TESTDEV_EXPECT_PATTERN, SEED);
	window_open(&m->window, m->area, size);
	dma_read(m->word);
	m->before = view_of(m->word);
	move->act(m);
	m->moved = view_of(m->word);
	m->audit = dma_audit();
	m->reader = dma_stop(engine);
	m->verify = dma_verify(m->area, size, SEED);
	m->write = dma_write(m->word, VALUE_DEVICE);
	window_close(&m->window);
	m->after = view_of(m->word);
}

static void prove_reader(const struct moved *m)
{
	const struct sva_testdev_stop *reader = &m->reader;

	ktap_point(reader->accesses, PRECONDITION, "the device read meanwhile: %llu times",
		   (unsigned long long)reader->accesses);
	ktap_point(!(reader->status & SVA_TESTDEV_GAVE_UP), PROGRESS,
		   "the reader came on: %u stalls in all (bound %u a page)", reader->stalls,
		   dma_max_stalls);
	ktap_point(!reader->bad_count, STALE,
		   "each read found what memory holds: %u did not, the first one %#llx at %#llx",
		   reader->bad_count, (unsigned long long)reader->bad_value,
		   (unsigned long long)reader->bad_addr);
}

static void prove_moved(const struct move *move, const struct moved *m)
{
	uint64_t from = pte_pfn(&m->before.pte), to = pte_pfn(&m->after.pte);

	ktap_point(dma_done(&m->fill), PRECONDITION, "the device filled the area: %s",
		   dma_end(&m->fill));
	prove_cached(m->before.iotlb, true, "before");
	if (move->to == OTHER_FRAME)
		ktap_point(from && to && from != to, PRECONDITION,
			   "the page moved (frame %#llx, then %#llx)",
			   (unsigned long long)from, (unsigned long long)to);
	else if (move->to == SAME_FRAME)
		ktap_point(from && from == to, PRECONDITION,
			   "the page is where it was (frame %#llx, then %#llx)",
			   (unsigned long long)from, (unsigned long long)to);
	else	/* khugepaged may have made one of the pages again by the end */
		ktap_point(m->before.pte.level != m->moved.pte.level, PRECONDITION,
			   "it is mapped at another level (%d, then %d)",
			   m->before.pte.level, m->moved.pte.level);
	prove_functions(move->functions);
}

void move_run(const struct move *move)
{
	struct moved m = { };
	uint64_t found;

	prove_faults_served();
	move->prepare(&m);
	play(move, &m);

	prove_moved(move, &m);
	prove_reader(&m);
	prove_iotlb_within(&m.moved, "when the kernel was done");
	ktap_point(dma_done(&m.verify), PROGRESS, "the device read the area: %s",
		   dma_end(&m.verify));
	ktap_point(!m.verify.bad_count, DATA, "the area holds what it held: %u words do not",
		   m.verify.bad_count);
	ktap_point(dma_done(&m.write), PROGRESS, "device write %s after %u stalls (bound %u)",
		   dma_end(&m.write), m.write.stalls, dma_max_stalls);
	found = READ_ONCE(*m.word);
	if (dma_done(&m.write))
		ktap_point(found == VALUE_DEVICE, STALE, "memory holds %#llx, expected %#llx",
			   (unsigned long long)found, VALUE_DEVICE);
	prove_ending(&(struct ending){ &m.before, &m.after, &m.audit, &m.window, &m.write });
}
