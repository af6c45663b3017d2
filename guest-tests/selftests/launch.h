/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Parts of the launcher: which processes there are, and what is done to each. */
#ifndef LAUNCH_H
#define LAUNCH_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define DEVICE		"/dev/sva_testdev"

/* A process of the test: the program itself, or what it forked. */
struct process {
	pid_t pid;		/* 0: this slot is free */
	int device;		/* its own open file, which is its binding */
	uint32_t pasid;
	bool waits;		/* for a child of vfork(): no signal stops it */
	int end;		/* readable when it is gone, of one that we let go; else -1 */
};

#define MOST_PROCESSES	16	/* that are followed at once; what comes beyond runs by itself */

struct counts {
	uint64_t primed, passes, audits, stale, restrictive, entries, processes, calls;
};

extern struct counts count;
extern size_t page_size;

__attribute__((__noreturn__)) void die(const char *what);
uint64_t now_ms(void);

/* look.c: what the device does, and what the IOTLB holds */
void look_begin(void);
bool look_affordable(void);
void bind_process(struct process *process);
void unbind_process(struct process *process);
void prime_range(const struct process *process, uint64_t addr, uint64_t size);
void prime_all(const struct process *process);
void audit(const char *when);

/* follow.c: who is there */
extern struct process processes[MOST_PROCESSES];
struct process *first_process(void);
bool follow_filter(void);	/* in the program's process, which becomes the first one */
void follow_first(pid_t pid);
void look_after(void);
void audit_stopped(const char *when);
bool first_ended(int *status);

#endif
