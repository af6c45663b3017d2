// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The processes of the test, by ptrace: the program, and what it forks. Each has an
 * address space of its own, and is bound when that is there and no instruction has
 * run. Before a system call that may change mappings the device reads what they
 * hold; after it, and before the end of a process, the IOTLB is compared.
 *
 * A filter picks these calls, so that no other one stops: some tests wait in a loop
 * of them. It is inherited, and fails the calls of a task that nobody traces, so
 * threads are followed as well; they share what their process has.
 */
#include <errno.h>
#include <poll.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "launch.h"

#define OPTIONS		(PTRACE_O_EXITKILL | PTRACE_O_TRACEEXIT | PTRACE_O_TRACEEXEC | PTRACE_O_TRACEFORK | \
			 PTRACE_O_TRACEVFORK | PTRACE_O_TRACEVFORKDONE | PTRACE_O_TRACECLONE | \
			 PTRACE_O_TRACESECCOMP | PTRACE_O_TRACESYSGOOD)

#define MOST_TASKS	256

/* A thread, the first one of a process too. */
struct task {
	pid_t tid;		/* 0: this slot is free */
	struct process *process;	/* NULL: of one that is not bound */
	bool in_call;		/* that changes mappings, and was primed */
};

struct process processes[MOST_PROCESSES];
static struct task tasks[MOST_TASKS];
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

static struct task *find_task(pid_t tid)
{
	int i;

	for (i = 0; i < MOST_TASKS; i++)
		if (tasks[i].tid == tid)
			return &tasks[i];
	return NULL;
}

static pid_t process_of(pid_t tid)
{
	char name[64], line[128];
	pid_t pid = tid;
	FILE *in;

	snprintf(name, sizeof(name), "/proc/%d/status", tid);
	in = fopen(name, "re");
	while (in && fgets(line, sizeof(line), in))
		if (sscanf(line, "Tgid: %d", &pid) == 1)
			break;
	if (in)
		fclose(in);
	return pid;
}

static void end_process(struct process *process)
{
	int i;

	for (i = 0; i < MOST_TASKS; i++)
		if (tasks[i].process == process)
			tasks[i].process = NULL;
	unbind_process(process);
	if (process->end >= 0)
		close(process->end);
	process->pid = 0;
}

/* Those that were let go, and have ended since. */
static void end_processes(void)
{
	int i;

	for (i = 0; i < MOST_PROCESSES; i++) {
		struct pollfd gone = { .fd = processes[i].end, .events = POLLIN };

		if (processes[i].pid && gone.fd >= 0 && poll(&gone, 1, 0) > 0)
			end_process(&processes[i]);
	}
}

static void add(pid_t tid)
{
	struct task *task = find_task(0);
	pid_t pid = process_of(tid);
	struct process *process;

	end_processes();
	process = find(pid);
	if (!task)
		die("too many threads");
	if (!process && pid == tid)
		process = find(0);
	if (process && !process->pid) {
		*process = (struct process) { .pid = pid, .end = -1 };
		bind_process(process);
		count.processes++;
	}
	*task = (struct task) { .tid = tid, .process = process };
}

static void drop(struct task *task)
{
	if (task->process && task->process->pid == task->tid)
		end_process(task->process);
	task->tid = 0;
}

/*
 * A zombie whose tracer has not waited for it is none to its parent yet, though the parent's
 * pidfd is readable: a test that then asks, and does not wait, takes the child for a failed
 * one. So a task dies untraced. Its process stays bound until all of it is gone.
 */
static void let_go(struct task *task)
{
	if (task->process && task->process->pid == task->tid) {
		task->process->end = syscall(SYS_pidfd_open, task->tid, 0);
		if (task->process->end < 0)
			die("pidfd_open");
	}
	if (ptrace(PTRACE_DETACH, task->tid, NULL, 0) && errno != ESRCH)
		die("PTRACE_DETACH");
	task->tid = 0;
}

static void go_on(const struct task *task, int signal)
{
	if (ptrace(task->in_call ? PTRACE_SYSCALL : PTRACE_CONT, task->tid, NULL, signal) && errno != ESRCH)
		die("PTRACE_CONT");
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
	go_on(find_task(pid), 0);
}

static const unsigned int picked[] = {
	__NR_munmap, __NR_mremap, __NR_mprotect, __NR_madvise, __NR_brk, __NR_mmap, __NR_clone, __NR_clone3,
	__NR_ioctl,		/* userfaultfd, test_hmm */
	__NR_prctl,		/* KSM */
	__NR_write,		/* to /sys/kernel/mm/ksm/run, /proc/PID/mem */
	__NR_ftruncate, __NR_fallocate, __NR_mbind, __NR_move_pages, __NR_migrate_pages,
};

#define NR_PICKED	(sizeof(picked) / sizeof(*picked))

bool follow_filter(void)
{
	static const struct sock_filter number =
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
	static const struct sock_filter run = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	static const struct sock_filter stop = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE);
	static struct sock_filter filter[NR_PICKED + 3];
	struct sock_fprog program = { .len = NR_PICKED + 3, .filter = filter };
	unsigned int i;

	filter[0] = number;
	for (i = 0; i < NR_PICKED; i++) {
		/* The last one, if equal: past the comparisons left, and the one that lets it run. */
		struct sock_filter compare =
			BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, picked[i], NR_PICKED - i, 0);

		filter[1 + i] = compare;
	}
	filter[NR_PICKED + 1] = run;
	filter[NR_PICKED + 2] = stop;
	return !prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

/* These name a range; the others may change anything. */
static bool names_range(uint64_t nr)
{
	return nr == __NR_munmap || nr == __NR_mremap || nr == __NR_mprotect || nr == __NR_madvise;
}

static void before_call(struct task *task)
{
	struct __ptrace_syscall_info call;

	if (!task->process || !look_affordable() ||
	    ptrace(PTRACE_GET_SYSCALL_INFO, task->tid, sizeof(call), &call) <= 0 ||
	    call.op != PTRACE_SYSCALL_INFO_SECCOMP)
		return;
	task->in_call = true;
	count.calls++;
	if (names_range(call.seccomp.nr))
		prime_range(task->process, call.seccomp.args[0], call.seccomp.args[1]);
	else
		prime_all(task->process);
}

static void after_call(struct task *task)
{
	task->in_call = false;
	audit("after a system call");
}

/* Its signals are its own; the stop that we asked for is not passed on. Whether it was that. */
static bool handle_stop(struct task *task, int stop, const char *when)
{
	int event = stop >> 16, signal = WSTOPSIG(stop), pass = 0;
	struct process *process = task->process;
	bool asked = false;

	if (event == PTRACE_EVENT_EXIT) {
		audit("end");
		let_go(task);
		return false;
	} else if (event == PTRACE_EVENT_EXEC && process) {
		unbind_process(process);
		bind_process(process);
	} else if (event == PTRACE_EVENT_SECCOMP) {
		before_call(task);
	} else if (event == PTRACE_EVENT_VFORK && process) {
		process->waits = true;
	} else if (event == PTRACE_EVENT_VFORK_DONE && process) {
		process->waits = false;
	} else if (!event && signal == (SIGTRAP | 0x80)) {
		after_call(task);
	} else if (!event && signal == SIGSTOP && when) {
		audit(when);
		asked = true;
	} else if (!event) {
		pass = signal;
	}
	go_on(task, pass);
	return asked;
}

/* What has stopped or ended is seen to, until the first process stops because it was told to, if it was. */
static void look_until(const char *when)
{
	bool done = !when;
	int stop;

	while (!ended) {
		pid_t tid = waitpid(-1, &stop, __WALL | (done ? WNOHANG : 0));
		struct task *task;

		if (tid < 0)
			die("waitpid");
		if (!tid)
			return;
		task = find_task(tid);
		if (WIFSTOPPED(stop) && task) {
			done |= handle_stop(task, stop, tid == first ? when : NULL);
		} else if (WIFSTOPPED(stop)) {
			/* Just made, and stopped before its first instruction. */
			add(tid);
			go_on(find_task(tid), 0);
		} else {
			if (task)
				drop(task);
			ended = tid == first;
			end_status = stop;
		}
	}
}

void look_after(void)
{
	look_until(NULL);
	end_processes();
}

void audit_stopped(const char *when)
{
	struct process *process = first_process();

	if (!process)
		return;
	if (process->waits || process->end >= 0)
		audit(when);
	/* Of this thread, which is traced: no other one stops by it. */
	else if (!syscall(SYS_tgkill, first, first, SIGSTOP))
		look_until(when);
}
