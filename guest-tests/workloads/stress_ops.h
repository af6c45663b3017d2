/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Random operations: which one a number stands for, and what memory holds after it. */
#ifndef STRESS_OPS_H
#define STRESS_OPS_H

#include <stdint.h>

#define PAGES	32		/* of each area */

enum { PRIVATE, SHARED, AREAS };

/* The pages that an operation is about. */
struct target {
	unsigned int area, first, count;
	uint64_t value;
};

/* What went wrong first. */
struct failure {
	unsigned int op;
	char class;		/* as ktap_class, plus one; 0: nothing did */
	char what[160];
};

/* Of this process; its class is 0 as long as all is as it should be. */
extern struct failure failure;

/* Where an area is. */
char *stress_area(unsigned int area);

/* What number `op` of a seed does: its name, and to which pages. */
const char *stress_name(uint64_t seed, unsigned int op);
struct target stress_target(uint64_t seed, unsigned int op);

void stress_map(void);
void stress_run(uint64_t seed, unsigned int op);

/* Every page against what it ought to hold, and the IOTLB against the page table. */
void stress_check(void);

#endif
