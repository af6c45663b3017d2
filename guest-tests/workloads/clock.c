// SPDX-License-Identifier: GPL-2.0-or-later
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include "clock.h"
#include "compiler.h"
#include "dma.h"
#include "ktap.h"
#include "trace.h"

#define NR_TICKS	8

static struct ends {
	uint64_t before, after;
} ticks[NR_TICKS], sync_ends;

static uint64_t counter(void)
{
	uint64_t value;

	asm volatile("isb\n\tmrs %0, cntvct_el0" : "=r" (value) : : "memory");
	return value;
}

static uint64_t frequency(void)
{
	uint64_t value;

	asm volatile("mrs %0, cntfrq_el0" : "=r" (value));
	return value;
}

/* Below 2^24, and no other process's of this boot. */
static uint32_t sync_number(void)
{
	return getpid();
}

void clock_mark(void)
{
	uint32_t number = sync_number();
	char text[64];
	int i;

	for (i = 0; i < NR_TICKS; i++) {
		snprintf(text, sizeof(text), CLOCK_MARK "%d", i);
		ticks[i].before = counter();
		trace_mark(text);
		ticks[i].after = counter();
	}
	sync_ends.before = counter();
	dma_sync(number);
	sync_ends.after = counter();
}

void clock_tell(void)
{
	int i;

	ktap_moment("counter %llu", (unsigned long long)frequency());
	for (i = 0; i < NR_TICKS; i++)
		ktap_moment("tick %d %llu %llu", i, (unsigned long long)ticks[i].before,
			    (unsigned long long)ticks[i].after);
	ktap_moment("sync %u %llu %llu", sync_number(), (unsigned long long)sync_ends.before,
		    (unsigned long long)sync_ends.after);
}
