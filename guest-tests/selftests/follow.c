// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The processes of the test, by ptrace: the program, and what it forks. Each has an
 * address space of its own, and is bound when that is there and no instruction has
 * run. Before a system call that may change mappings the device reads what they
 * hold; after it, and before the end of a process, the IOTLB is compared.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "launch.h"

#define OPTIONS		(PTRACE_O_EXITKILL | PTRACE_O_TRACEEXIT | PTRACE_O_TRACEEXEC | PTRACE_O_TRACEFORK | \
			 PTRACE_O_TRACEVFORK | PTRACE_O_TRACEVFORKDONE | PTRACE_O_TRACESYSGOOD)

struct process processes[MOST_PROCESSES];
static pid_t first;
static bool ended;
static int end_status;

static struct process *find(pid_t pid)
{
	int i;

	for (i = 0; i < MOST_PROCESSES; i++)
		if (processes[i].pid == pid)
			return &processes[i];
	return NULL;
}

struct process *first_process(void)
{
	return ended ? NULL : find(first);
}

bool first_ended(int *status)
{
	*status = end_status;
	return ended;
}

static struct process *add(pid_t pid)
{
	struct process *process = find(0);

	if (!process)
		return NULL;
	*process = (struct process) { .pid = pid, .first = pid == first };
	bind_process(process);
	count.processes++;
	return process;
}

static void drop(struct process *process)
{
	unbind_process(process);
	process->pid = 0;
}

static void go_on(pid_t pid, int signal)
{
	if (ptrace(PTRACE_SYSCALL, pid, NULL, signal) && errno != ESRCH)
		die("PTRACE_SYSCALL");
}

void follow_first(pid_t pid)
{
	int stop;

	first = pid;
	if (waitpid(pid, &stop, 0) != pid || !WIFSTOPPED(stop))
		die("the program did not start");
	if (ptrace(PTRACE_SETOPTIONS, pid, NULL, OPTIONS))
		die("PTRACE_SETOPTIONS");
	add(pid);
	go_on(pid, 0);
}

enum what { NOTHING, RANGE, EVERYTHING };

/* What a system call may change of the page table of its caller. */
static enum what changes(const struct __ptrace_syscall_info *call)
{
	switch (call->entry.nr) {
	case __NR_munmap:
	case __NR_mremap:
	case __NR_mprotect:
	case __NR_madvise:
		return RANGE;
	case __NR_brk:
	case __NR_mmap:
	case __NR_ioctl:	/* userfaultfd, test_hmm */
	case __NR_clone:
	case __NR_clone3:
	case __NR_prctl:	/* KSM */
	case __NR_write:	/* of /sys/kernel/mm/ksm/run, /proc/PID/mem */
	case __NR_ftruncate:
	case __NR_fallocate:
	case __NR_mbind:
	case __NR_move_pages:
	case __NR_migrate_pages:
		return EVERYTHING;
	default:
		return NOTHING;
	}
}

static void before_call(struct process *process, const struct __ptrace_syscall_info *call)
{
	enum what what = changes(call);

	process->in_call = what != NOTHING && look_affordable();
	if (!process->in_call)
		return;
	count.calls++;
	if (what == RANGE)
		prime_range(process, call->entry.args[0], call->entry.args[1]);
	else
		prime_all(process);
}

static void at_call(struct process *process)
{
	struct __ptrace_syscall_info call;

	if (ptrace(PTRACE_GET_SYSCALL_INFO, process->pid, sizeof(call), &call) <= 0)
		return;
	if (call.op == PTRACE_SYSCALL_INFO_ENTRY) {
		before_call(process, &call);
	} else if (process->in_call) {
		process->in_call = false;
		audit("after a system call");
	}
}

/* Its signals are its own; the stop that we asked for is not passed on. Whether it was that. */
static bool handle_stop(struct process *process, int stop, const char *when)
{
	int event = stop >> 16, signal = WSTOPSIG(stop), pass = 0;
	bool asked = false;

	if (event == PTRACE_EVENT_EXIT) {
		audit("end");
	} else if (event == PTRACE_EVENT_EXEC) {
		unbind_process(process);
		bind_process(process);
	} else if (event == PTRACE_EVENT_VFORK) {
		process->waits = true;
	} else if (event == PTRACE_EVENT_VFORK_DONE) {
		process->waits = false;
	} else if (!event && signal == (SIGTRAP | 0x80)) {
		at_call(process);
	} else if (!event && signal == SIGSTOP && when) {
		audit(when);
		asked = true;
	} else if (!event) {
		pass = signal;
	}
	go_on(process->pid, pass);
	return asked;
}

/* A process that was just forked: it is stopped before its first instruction. */
static void meet(pid_t pid)
{
	if (!add(pid)) {
		ptrace(PTRACE_DETACH, pid, NULL, NULL);
		return;
	}
	go_on(pid, 0);
}

/* What has stopped or ended is seen to, until the first process stops because it was told to, if it was. */
static void look_until(const char *when)
{
	bool done = !when;
	int stop;

	while (!ended) {
		pid_t pid = waitpid(-1, &stop, __WALL | (done ? WNOHANG : 0));
		struct process *process;

		if (pid < 0)
			die("waitpid");
		if (!pid)
			return;
		process = find(pid);
		if (WIFSTOPPED(stop)) {
			if (!process)
				meet(pid);
			else
				done |= handle_stop(process, stop, pid == first ? when : NULL);
			continue;
		}
		if (process)
			drop(process);
		if (pid == first) {
			ended = true;
			end_status = stop;
		}
	}
}

void look_after(void)
{
	look_until(NULL);
}

void audit_stopped(const char *when)
{
	struct process *process = first_process();

	if (!process)
		return;
	if (process->waits)
		audit(when);
	/* Of this thread, which is traced: no other one stops by it. */
	else if (!syscall(SYS_tgkill, first, first, SIGSTOP))
		look_until(when);
}
