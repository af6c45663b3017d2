// SPDX-License-Identifier: GPL-2.0-only
/*
 * Make a kernel complain, one complaint a load: insmod mischief.ko do=NAME.
 * The console logs beside this file were recorded with it.
 */
#include <linux/delay.h>
#include <linux/irq_work.h>
#include <linux/kthread.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/nmi.h>
#include <linux/refcount.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>

static char *name = "";
module_param_named(do, name, charp, 0);

static DEFINE_MUTEX(first);
static DEFINE_MUTEX(second);
static DEFINE_SPINLOCK(lock);
static int __rcu *shared;

static noinline void mischief_warn(void)
{
	WARN_ON(1);
}

static noinline void mischief_warn_message(void)
{
	WARN(1, "stall of stream %#x has no owner\n", 0x10);
}

static int warn_thread(void *unused)
{
	mischief_warn();
	return 0;
}

/* Two CPUs at once: their lines mix. */
static void mischief_warn_twice(void)
{
	struct task_struct *tasks[2];
	int cpu;

	for (cpu = 0; cpu < 2; cpu++) {
		tasks[cpu] = kthread_create(warn_thread, NULL, "mischief/%d", cpu);
		kthread_bind(tasks[cpu], cpu);
	}
	for (cpu = 0; cpu < 2; cpu++)
		wake_up_process(tasks[cpu]);
	msleep(500);
}

static void mischief_bug(void)
{
	BUG();
}

static void mischief_null(void)
{
	*(volatile int *)8 = 1;
}

static void mischief_exec(void)
{
	void (*data)(void) = (void *)&shared;

	data();
}

static void mischief_circular(void)
{
	mutex_lock(&first);
	mutex_lock(&second);
	mutex_unlock(&second);
	mutex_unlock(&first);
	mutex_lock(&second);
	mutex_lock(&first);
	mutex_unlock(&first);
	mutex_unlock(&second);
}

/* Two locks of one class: reported, and no deadlock. */
static void mischief_recursive(void)
{
	struct mutex pair[2];
	int i;

	for (i = 0; i < 2; i++)
		mutex_init(&pair[i]);
	mutex_lock(&pair[0]);
	mutex_lock(&pair[1]);
	mutex_unlock(&pair[1]);
	mutex_unlock(&pair[0]);
}

static void take_in_irq(struct irq_work *unused)
{
	spin_lock(&lock);
	spin_unlock(&lock);
}

static void mischief_irq(void)
{
	struct irq_work work = IRQ_WORK_INIT_HARD(take_in_irq);

	irq_work_queue(&work);
	irq_work_sync(&work);
	spin_lock(&lock);
	spin_unlock(&lock);
}

static void mischief_unlock(void)
{
	mutex_lock(&first);
	mutex_unlock(&first);
	spin_unlock(&lock);
}

static void mischief_free_held(void)
{
	spinlock_t *held = kmalloc(sizeof(*held), GFP_KERNEL);

	spin_lock_init(held);
	spin_lock(held);
	kfree(held);
	preempt_enable();
}

static void mischief_user(void)
{
	mutex_lock(&first);
}

static void mischief_key(void)
{
	spinlock_t *unset = kzalloc(sizeof(*unset), GFP_KERNEL);

	spin_lock(unset);
	spin_unlock(unset);
	kfree(unset);
}

static void mischief_rcu(void)
{
	(void)rcu_dereference(shared);
}

static void mischief_sleep(void)
{
	spin_lock(&lock);
	might_sleep();
	spin_unlock(&lock);
}

static void mischief_atomic(void)
{
	spin_lock(&lock);
	schedule_timeout_uninterruptible(1);
	spin_unlock(&lock);
}

static int sleep_thread(void *unused)
{
	mutex_lock(&first);
	schedule_timeout_uninterruptible(40 * HZ);
	mutex_unlock(&first);
	return 0;
}

static void mischief_hung(void)
{
	kthread_run(sleep_thread, NULL, "mischief");
	ssleep(34);
}

static void mischief_softlockup(void)
{
	preempt_disable();
	mdelay(26000);
	preempt_enable();
}

static void mischief_stall(void)
{
	int i;

	rcu_read_lock();
	for (i = 0; i < 26000; i++) {
		mdelay(1);
		touch_softlockup_watchdog();
	}
	rcu_read_unlock();
}

/* Interrupts off for ever: answers nothing. */
static void mischief_spin(void)
{
	local_irq_disable();
	for (;;)
		cpu_relax();
}

static void mischief_list(void)
{
	LIST_HEAD(head);
	struct list_head item;

	list_add(&item, &head);
	head.next = &head;
	list_del(&item);
}

static void mischief_refcount(void)
{
	refcount_t count = REFCOUNT_INIT(0);

	refcount_inc(&count);
}

static void mischief_page_bug(void)
{
	struct page *page = alloc_page(GFP_KERNEL);

	dump_page(page, "VM_BUG_ON_PAGE(mischief)");
	BUG();
}

static void mischief_oom(void)
{
	while (alloc_pages(GFP_HIGHUSER, 0))
		;
}

static void leak_lock(struct work_struct *unused)
{
	mutex_lock(&first);
}

static void mischief_workqueue(void)
{
	static DECLARE_WORK(work, leak_lock);

	schedule_work(&work);
	flush_work(&work);
}

static void fault_in_irq(struct irq_work *unused)
{
	mischief_null();
}

static void mischief_panic_irq(void)
{
	struct irq_work work = IRQ_WORK_INIT_HARD(fault_in_irq);

	irq_work_queue(&work);
	irq_work_sync(&work);
}

static void mischief_panic(void)
{
	panic("mischief");
}

#define MISCHIEF(what) { #what, mischief_##what }
static const struct {
	const char *name;
	void (*func)(void);
} mischief[] = {
	MISCHIEF(warn), MISCHIEF(warn_message), MISCHIEF(warn_twice), MISCHIEF(bug), MISCHIEF(null), MISCHIEF(exec),
	MISCHIEF(circular), MISCHIEF(recursive), MISCHIEF(irq), MISCHIEF(unlock),
	MISCHIEF(free_held), MISCHIEF(user), MISCHIEF(key), MISCHIEF(rcu), MISCHIEF(sleep), MISCHIEF(atomic),
	MISCHIEF(hung), MISCHIEF(softlockup), MISCHIEF(stall), MISCHIEF(spin), MISCHIEF(list), MISCHIEF(refcount),
	MISCHIEF(page_bug), MISCHIEF(oom), MISCHIEF(workqueue), MISCHIEF(panic_irq), MISCHIEF(panic),
};

static int __init mischief_init(void)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(mischief); i++) {
		if (!strcmp(name, mischief[i].name)) {
			mischief[i].func();
			return 0;
		}
	}
	return -EINVAL;
}
module_init(mischief_init);

static void __exit mischief_exit(void)
{
}
module_exit(mischief_exit);

MODULE_DESCRIPTION("Makes a kernel complain, for the tests of faultloop's oracle");
MODULE_LICENSE("GPL");
