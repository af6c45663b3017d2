# SPDX-License-Identifier: GPL-2.0-or-later
"""What Linux's complaints look like: the catalogue that ``splat.find`` goes by.

Formats of Linux 6.1 and 7.3, from kernel/panic.c, lib/bug.c, arch/arm64/{kernel/traps.c,mm/fault.c},
kernel/locking/{lockdep,spinlock_debug}.c, kernel/sched/core.c, kernel/{hung_task,watchdog,workqueue}.c,
kernel/rcu/tree_stall.h, mm/{page_alloc,memory,debug,slub,oom_kill}.c, mm/{kasan,kfence}/report.c,
kernel/kcsan/report.c, lib/{ubsan,refcount,list_debug,debugobjects}.c and drivers/iommu/arm/arm-smmu-v3.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rule:
    """A headline. The first rule that matches a line, in the order of ``RULES``, names its kind."""

    kind: str
    pattern: re.Pattern[str]
    end: re.Pattern[str] | None = None
    """What closes such a report for certain; None: it ends where its text no longer looks like a trace."""
    completes: frozenset[str] = frozenset()
    """Kinds of a report still open that such a line belongs to, once each, rather than begin its own."""


END_TRACE = re.compile(r"---\[ end trace")
END_PANIC = re.compile(r"---\[ end Kernel panic|^Rebooting in \d+ seconds")
END_RULER = re.compile(r"^={20,}$|---\[ end trace")

PRELUDE = re.compile(r"^[=-]{20,}$|^(page|head|folio|flags|raw|page_type|anon|ksm|aops|memcg)[: ]")
"""Lines right above a headline that belong to it: rulers, a page dump."""
BACKTRACE = re.compile(r"^(Call [Tt]race|stack backtrace):")
CUT_HERE = re.compile(r"-+\[ cut here \]-+")
NEW_BOOT = re.compile(r"^Booting Linux on physical CPU")
"""No report goes on beyond this."""


def _rule(kind: str, pattern: str, *, end: re.Pattern[str] | None = None, completes: tuple[str, ...] = ()) -> Rule:
    return Rule(kind, re.compile(pattern), end, frozenset(completes))


_LOCKDEP = "|".join(
    (
        r"^WARNING: possible (circular locking|recursive locking|irq lock inversion)",
        r"^WARNING: (inconsistent lock state|.*-safe -> .*-unsafe lock order detected)",
        r"^WARNING: (bad (unlock balance|contention) detected!|held lock freed!|Nested lock was not taken)",
        r"^WARNING: (lock held when returning to user space!|.* still has locks held!)",
        r"^WARNING: (suspicious RCU usage|chain_key collision)",
        r"^\[ BUG: Invalid wait context \]",
        r"^INFO: trying to register non-static key",
        r"^BUG: MAX_(STACK_TRACE_ENTRIES|LOCKDEP_\w+|LOCK_DEPTH) too low",
        r"^BUG: (key .* has not been registered|looking up invalid subclass)",
    )
)

# Not "event 0x10 received": a device access that must fail reports one, and that is no fault of the kernel.
_SMMU = "|".join(
    (
        r"^arm-smmu-v3 \S+: (CMD_SYNC timeout|CMDQ timeout|CMDQ error|retrying command fetch|skipping command)",
        r"^arm-smmu-v3 \S+: ((EVTQ|PRIQ) overflow detected|unexpected global error|\w+ (MSI )?write aborted)",
        r"^arm-smmu-v3 \S+: (device has entered Service Failure Mode|GBPA not responding|no translation)",
        r"^arm-smmu-v3 \S+: (failed to (?!allocate MSIs)|unknown/unsupported)",
    )
)

RULES: tuple[Rule, ...] = (
    _rule(
        "init",
        r"^Kernel panic - not syncing: (Attempted to kill init|No working init|Requested init)",
        end=END_PANIC,
    ),
    _rule("panic", r"^Kernel panic - not syncing", end=END_PANIC),
    _rule("kasan", r"^BUG: KASAN: ", end=END_RULER),
    _rule("kfence", r"^BUG: KFENCE: ", end=END_RULER),
    _rule("kcsan", r"^BUG: KCSAN: ", end=END_RULER),
    _rule("ubsan", r"^UBSAN: ", end=END_RULER),
    _rule("lockdep", _LOCKDEP, completes=("lockdep-off",)),
    _rule(
        "sleep",
        r"^BUG: (sleeping function called from invalid context|assuming atomic context|assuming non mig)",
    ),
    _rule(
        "atomic",
        r"^BUG: (scheduling while atomic|scheduling in a non-blocking section|using \S+ in preemptible)",
    ),
    _rule("soft-lockup", r"^(watchdog: )?BUG: soft lockup - CPU#\d+ stuck"),
    _rule("hard-lockup", r"Watchdog detected hard LOCKUP on cpu"),
    _rule("workqueue", r"^(workqueue: )?BUG: workqueue (lockup|leaked)"),
    _rule("hung-task", r"^INFO: task \S.* blocked.* for more than \d+ seconds"),
    _rule(
        "rcu-stall",
        r"^(rcu: )?(INFO: \S+ (detected (expedited )?stalls?|self-detected stall on CPU)"
        r"|\S+ kthread (starved for|timer wakeup didn't happen))",
        completes=("rcu-stall",),
    ),
    _rule("page", r"^BUG: (Bad page |Bad rss-counter|non-zero pgtables_bytes)|^Bad swap "),
    _rule("page", r"^page dumped because: ", completes=("page", "kasan", "kfence", "slab")),
    _rule(
        "slab",
        r"^BUG \S+ \(.*\): |^(INFO|FIX) \S+: .*(0x[0-9a-f]+-0x|Restoring|Object at)",
        completes=("slab",),
    ),
    _rule("refcount", r"^refcount_t: ", end=END_TRACE),
    _rule("list", r"^list_(add|del) (double add|corruption)|^(prev|next) is NULL\.|^slist|^plist", end=END_TRACE),
    _rule("debugobjects", r"^ODEBUG: (?!Out of memory|selftest)", end=END_TRACE),
    _rule("spinlock", r"^BUG: (spinlock|rwlock|rt-mutex) "),
    _rule("oops", r"^Unable to handle kernel ", end=END_TRACE),
    _rule(
        "oops",
        r"^(Insufficient stack space to handle exception|SError Interrupt on CPU|Bad mode in )",
        end=END_TRACE,
    ),
    _rule("bug", r"^kernel BUG at ", end=END_TRACE, completes=("page", "list")),
    _rule("oops", r"^Internal error: ", end=END_TRACE, completes=("oops", "bug", "page", "list")),
    _rule(
        "warning",
        r"^WARNING: (CPU: \d+ PID: \d+ at |.* at \S+\+0x[0-9a-f]+/0x[0-9a-f]+|at )",
        end=END_TRACE,
        completes=("refcount", "list", "debugobjects", "page"),
    ),
    _rule(
        "oom",
        r"invoked oom-killer: |^(Memory cgroup )?[Oo]ut of memory: |^Huh VM_FAULT_OOM",
        completes=("oom",),
    ),
    _rule("leak", r"^kmemleak: \d+ new suspected memory leaks"),
    _rule("smmu", _SMMU, completes=("smmu",)),
    _rule("filesystem", r"^EXT4-fs error |^JBD2: .*(error|corrupt)|^Buffer I/O error on dev"),
    _rule("bug", r"^([\w.-]+: )?BUG: "),
    _rule("warning", r"^WARNING: "),
)

_KNOWN = (
    # Registers, faults and stacks: arch/arm64/kernel/{traps,process}.c, arch/arm64/mm/fault.c, lib/dump_stack.c
    r"Call [Tt]race:|stack backtrace:|CPU: ?\d|Hardware name:|Modules linked in:|Unloaded tainted|Code: ",
    r"Tainted: |pstate: |(pc|lr|sp|fp) : |pmr_save: |x\d+ ?: |(Mem|Data) abort info:|(swapper|user) pgtable: ",
    r"\[[0-9a-f]{16}\]|ESR: |FAR: |(Task|IRQ|Overflow) stack: |Internal error: |SMP: |Kernel Offset: ",
    r"CPU features: |Memory Limit: |PHYS_OFFSET: |Workqueue: |Stopper: |Comm: |---\[|note: .* exited with",
    # Locks and the scheduler: kernel/locking/lockdep.c, kernel/sched/core.c
    r"[=-]{20,}|but (task|now|there) |which (lock|would|became) |the existing dependency|-> [#(]|other info that",
    r"\.\.\.",
    r"\d+ locks? (held|on stack) |no locks held by|\*\*\* |irq event stamp: |(hard|soft)irqs last ",
    r"(the|and) (first|second|code|dependencies|shortest|buggy|this|interrupts|there)|\S+/\d+ |\{[\w-]+\} ",
    r"to a |INFO: lockdep is|rcu_scheduler_active",
    r"Preemption disabled at|preempt_count: |RCU nest depth|in_atomic\(\)|caller is |you didn't initialize",
    r"turning off the locking|possible |please attach|depth: \d|context-\{|this (task|is)|RCU used illegally",
    # Stalls, hung tasks, memory: kernel/rcu/tree_stall.h, kernel/sched/core.c, lib/show_mem.c, mm/oom_kill.c
    r"rcu: |task:|Task dump for|Sending NMI|NMI backtrace|Showing (all|busy)|\"echo 0 > |RCU grace-period",
    r"Stack dump|Future hung|INFO: task .* blocked on|CPU#\d+ Utilization|pool \d|pending: |in-flight: |Mem-Info:",
    r"(active|inactive|isolated)_|Node \d|DMA|Normal |lowmem_|\d+ (total |pages |swap )|Tasks state|Free swap",
    r"Total swap|Swap cache|oom-kill:|oom_reaper: |Out of memory: |COMPACTION is|\[ *\d+\] +\d|\[ +pid",
    # Broken memory: mm/{debug,slub,memory}.c, mm/kasan/report.c, lib/ubsan.c
    r"(Read|Write|Free|Access) of |\w+ at addr |(Allocated|Freed|Last potentially) |The buggy |Memory state",
    r">?[0-9a-f]{16}: |which belongs|located |\(stack is not|(page|head|folio|flags|raw|anon|ksm|aops|memcg)[ :]",
    r"page_type: |page dumped because|addr:|file:|type:|pte:|(Slab|Object|Redzone|Padding|Bytes b4) |INFO: ",
    r"arm-smmu-v3 \S+: +0x[0-9a-f]{16}",
    r"Disabling lock debugging|allocated by|freed by|index |shift exponent|load of value|division |for an object",
    r"member access|kfence-#|Thread overran|vma |lock: |\.magic",
)

BODY = re.compile(rf"^(?:$|\s|{'|'.join(_KNOWN)})")
"""A line that may stand in a report below its headline; a space begins every stack frame."""
