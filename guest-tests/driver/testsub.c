// SPDX-License-Identifier: GPL-2.0-only
/*
 * /dev/sva_testsub: a second subscriber to what happens to a process's memory, of
 * the kind that brackets each change with start and end, as KVM does. It does
 * nothing but count: what a patch makes others pay is seen there.
 *
 * An open file counts for the process that subscribed with it.
 */
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/mmu_notifier.h>
#include <linux/module.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "sva_testsub.h"

struct testsub {
	struct mmu_notifier notifier;
	struct mutex lock;	/* of mm */
	struct mm_struct *mm;
	atomic64_t starts, ends, bytes;
};

static int sub_start(struct mmu_notifier *notifier, const struct mmu_notifier_range *range)
{
	struct testsub *sub = container_of(notifier, struct testsub, notifier);

	atomic64_inc(&sub->starts);
	atomic64_add(range->end - range->start, &sub->bytes);
	return 0;
}

static void sub_end(struct mmu_notifier *notifier, const struct mmu_notifier_range *range)
{
	struct testsub *sub = container_of(notifier, struct testsub, notifier);

	atomic64_inc(&sub->ends);
}

static const struct mmu_notifier_ops sub_ops = {
	.invalidate_range_start	= sub_start,
	.invalidate_range_end	= sub_end,
};

static int sub_open(struct inode *inode, struct file *file)
{
	struct testsub *sub = kzalloc(sizeof(*sub), GFP_KERNEL);

	if (!sub)
		return -ENOMEM;
	mutex_init(&sub->lock);
	sub->notifier.ops = &sub_ops;
	file->private_data = sub;
	return 0;
}

static int sub_close(struct inode *inode, struct file *file)
{
	struct testsub *sub = file->private_data;

	if (sub->mm) {
		mmu_notifier_unregister(&sub->notifier, sub->mm);
		mmdrop(sub->mm);
	}
	kfree(sub);
	return 0;
}

static int subscribe(struct testsub *sub)
{
	int ret = -EBUSY;

	mutex_lock(&sub->lock);
	if (!sub->mm) {
		ret = mmu_notifier_register(&sub->notifier, current->mm);
		if (!ret) {
			sub->mm = current->mm;
			mmgrab(sub->mm);
		}
	}
	mutex_unlock(&sub->lock);
	return ret;
}

static long sub_ioctl(struct file *file, unsigned int command, unsigned long argument)
{
	struct testsub *sub = file->private_data;
	struct sva_testsub_counts counts;

	switch (command) {
	case SVA_TESTSUB_IOC_SUBSCRIBE:
		return subscribe(sub);
	case SVA_TESTSUB_IOC_COUNTS:
		counts.starts = atomic64_read(&sub->starts);
		counts.ends = atomic64_read(&sub->ends);
		counts.bytes = atomic64_read(&sub->bytes);
		return copy_to_user((void __user *)argument, &counts, sizeof(counts)) ? -EFAULT : 0;
	default:
		return -ENOTTY;
	}
}

static const struct file_operations sub_fops = {
	.owner		= THIS_MODULE,
	.open		= sub_open,
	.release	= sub_close,
	.unlocked_ioctl	= sub_ioctl,
};

static struct miscdevice sub_misc = {
	.minor	= MISC_DYNAMIC_MINOR,
	.name	= "sva_testsub",
	.fops	= &sub_fops,
};
module_misc_device(sub_misc);

MODULE_DESCRIPTION("A subscriber that counts, for tests of MMU notifiers");
MODULE_LICENSE("GPL");
