// SPDX-License-Identifier: GPL-2.0-only
/* An open file: a binding of one process, and what it asks for. */
#include <linux/capability.h>
#include <linux/fs.h>
#include <linux/io-64-nonatomic-lo-hi.h>
#include <linux/module.h>
#include <linux/pid.h>
#include <linux/ratelimit.h>
#include <linux/sched/mm.h>
#include <linux/sched/task.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "compat.h"
#include "driver.h"

static DEFINE_RATELIMIT_STATE(td_explain_limit, 5 * HZ, 1);

void td_release(struct kref *ref)
{
	struct td_device *td = container_of(ref, struct td_device, ref);

	pci_dev_put(td->pdev);
	kfree(td->misc.name);
	kfree(td);
}

/*
 * Nothing of this context runs on the device afterwards, nor in the kernel on
 * its behalf. td->lock is held.
 */
void td_context_unbind(struct td_context *ctx)
{
	td_engine_stop(ctx);
	down_write(&ctx->sem);
	td_hammer_reap(ctx);
	if (ctx->handle) {
		td_faults_drain(ctx->td);
		iommu_sva_unbind_device(ctx->handle);
		mmdrop(ctx->mm);
		mmdrop(ctx->user);
		ctx->handle = NULL;
		ctx->mm = NULL;
		ctx->user = NULL;
	}
	td_engine_allow(ctx);
	up_write(&ctx->sem);
}

static int td_open(struct inode *inode, struct file *file)
{
	/* misc_open() holds misc_mtx: the device is registered, so it is there. */
	struct td_device *td = container_of(file->private_data,
					    struct td_device, misc);
	struct td_context *ctx = kzalloc(sizeof(*ctx), GFP_KERNEL);

	if (!ctx)
		return -ENOMEM;
	init_rwsem(&ctx->sem);
	ctx->td = td;
	kref_get(&td->ref);
	mutex_lock(&td->lock);
	list_add(&ctx->node, &td->contexts);
	mutex_unlock(&td->lock);
	file->private_data = ctx;
	return 0;
}

static int td_close(struct inode *inode, struct file *file)
{
	struct td_context *ctx = file->private_data;
	struct td_device *td = ctx->td;

	mutex_lock(&td->lock);
	if (!td->gone)
		td_context_unbind(ctx);
	list_del(&ctx->node);
	mutex_unlock(&td->lock);
	kfree(ctx);
	kref_put(&td->ref, td_release);
	return 0;
}

static long ioctl_info(struct td_context *ctx, struct sva_testdev_info *info)
{
	*info = (struct sva_testdev_info) {
		.abi = SVA_TESTDEV_ABI,
		.hw_version = readl(ctx->td->regs + TD_VERSION),
		.engines = ctx->td->nr_engines,
	};
	return 0;
}

static int context_bind(struct td_context *ctx, struct mm_struct *mm)
{
	struct pci_dev *pdev = ctx->td->pdev;
	struct iommu_sva *handle;

	if (ctx->handle)
		return -EBUSY;
	handle = td_bind_mm(&pdev->dev, mm);
	if (IS_ERR(handle)) {
		if (__ratelimit(&td_explain_limit))
			td_explain_no_sva(pdev, PTR_ERR(handle));
		return PTR_ERR(handle);
	}
	mmgrab(mm);
	mmgrab(current->mm);
	ctx->mm = mm;
	ctx->user = current->mm;
	ctx->handle = handle;
	ctx->pasid = iommu_sva_get_pasid(handle);
	return 0;
}

static long ioctl_bind(struct td_context *ctx, struct sva_testdev_bind *bind)
{
	int ret = context_bind(ctx, current->mm);

	bind->pasid = ctx->pasid;
	return ret;
}

static struct mm_struct *mm_of(pid_t number)
{
	struct pid *pid = find_get_pid(number);
	struct task_struct *task = get_pid_task(pid, PIDTYPE_PID);
	struct mm_struct *mm = task ? get_task_mm(task) : NULL;

	if (task)
		put_task_struct(task);
	put_pid(pid);
	return mm;
}

static long ioctl_bind_pid(struct td_context *ctx, struct sva_testdev_bind_pid *bind)
{
	struct mm_struct *mm;
	int ret;

	if (!capable(CAP_SYS_PTRACE))
		return -EPERM;
	mm = mm_of(bind->pid);
	if (!mm)
		return -ESRCH;
	ret = context_bind(ctx, mm);
	mmput(mm);
	bind->pasid = ctx->pasid;
	return ret;
}

/* A child has the file of its parent, but not its address space. */
static int context_check(struct td_context *ctx)
{
	if (!ctx->handle)
		return -ENXIO;
	return ctx->user == current->mm ? 0 : -EPERM;
}

static long ioctl_dma(struct td_context *ctx, struct sva_testdev_dma *dma)
{
	return context_check(ctx) ?: td_engine_dma(ctx, dma);
}

static long ioctl_probe(struct td_context *ctx, struct sva_testdev_probe *probe)
{
	struct td_device *td = ctx->td;
	int ret = context_check(ctx);

	if (ret)
		return ret;
	mutex_lock(&td->probe_lock);
	writeq(probe->addr, td->regs + TD_PROBE_ADDR);
	writel(ctx->pasid, td->regs + TD_PROBE_PASID);
	probe->entry = readl(td->regs + TD_PROBE);
	mutex_unlock(&td->probe_lock);
	return 0;
}

static long ioctl_counters(struct td_context *ctx,
			   struct sva_testdev_counters *counters)
{
	void __iomem *regs = ctx->td->regs;

	*counters = (struct sva_testdev_counters) {
		.tlbi = readq(regs + TD_TLBI),
		.stalls = readq(regs + TD_STALLS),
		.resumes = readq(regs + TD_RESUMES),
		.full_flushes = readq(regs + TD_FULL_FLUSHES),
		.hit_perm_faults = readq(regs + TD_HIT_PERM_FAULTS),
	};
	return 0;
}

static long ioctl_hammer(struct td_context *ctx, struct sva_testdev_hammer *hammer)
{
	return context_check(ctx) ?: td_hammer_start(ctx, hammer);
}

static long ioctl_pte(struct td_context *ctx, struct sva_testdev_pte *query)
{
	if (query->addr >= TASK_SIZE)
		return -EINVAL;
	td_pgtable_walk(current->mm, query);
	return 0;
}

/* The context's semaphore is held here, and the device is there. */
static long context_ioctl(struct td_context *ctx, unsigned int cmd, void *data)
{
	switch (cmd) {
	case SVA_TESTDEV_IOC_INFO:
		return ioctl_info(ctx, data);
	case SVA_TESTDEV_IOC_BIND:
		return ioctl_bind(ctx, data);
	case SVA_TESTDEV_IOC_BIND_PID:
		return ioctl_bind_pid(ctx, data);
	case SVA_TESTDEV_IOC_DMA:
		return ioctl_dma(ctx, data);
	case SVA_TESTDEV_IOC_PROBE:
		return ioctl_probe(ctx, data);
	case SVA_TESTDEV_IOC_COUNTERS:
		return ioctl_counters(ctx, data);
	case SVA_TESTDEV_IOC_PTE:
		return ioctl_pte(ctx, data);
	case SVA_TESTDEV_IOC_AUDIT:
		return td_audit(ctx->td, data);
	case SVA_TESTDEV_IOC_DIFFERENCE:
		return td_difference(ctx->td, data);
	case SVA_TESTDEV_IOC_SYNC:
		return td_sync(ctx->td, data);
	case SVA_TESTDEV_IOC_HAMMER:
		return ioctl_hammer(ctx, data);
	case SVA_TESTDEV_IOC_EXPECT:
		return td_hammer_expect(ctx, data);
	case SVA_TESTDEV_IOC_STOP:
		return td_hammer_stop(ctx, data);
	default:
		return -ENOTTY;
	}
}

static long context_ioctl_locked(struct td_context *ctx, unsigned int cmd,
				 void *data)
{
	bool binds = cmd == SVA_TESTDEV_IOC_BIND || cmd == SVA_TESTDEV_IOC_BIND_PID;
	long ret;

	if (binds)
		ret = down_write_killable(&ctx->sem);
	else
		ret = down_read_killable(&ctx->sem);
	if (ret)
		return ret;
	if (READ_ONCE(ctx->td->gone))
		ret = -ENODEV;
	else
		ret = context_ioctl(ctx, cmd, data);
	if (binds)
		up_write(&ctx->sem);
	else
		up_read(&ctx->sem);
	return ret;
}

/* td->lock keeps the device from being removed meanwhile. */
static long ioctl_unbind(struct td_context *ctx)
{
	struct td_device *td = ctx->td;
	long ret = 0;

	mutex_lock(&td->lock);
	if (td->gone)
		ret = -ENODEV;
	else if (!ctx->handle)
		ret = -ENXIO;
	else
		td_context_unbind(ctx);
	mutex_unlock(&td->lock);
	return ret;
}

union td_argument {
	struct sva_testdev_info info;
	struct sva_testdev_bind bind;
	struct sva_testdev_bind_pid bind_pid;
	struct sva_testdev_dma dma;
	struct sva_testdev_probe probe;
	struct sva_testdev_counters counters;
	struct sva_testdev_pte pte;
	struct sva_testdev_audit audit;
	struct sva_testdev_difference difference;
	struct sva_testdev_sync sync;
	struct sva_testdev_hammer hammer;
	struct sva_testdev_expect expect;
	struct sva_testdev_stop stop;
};

static long td_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	void __user *user = (void __user *)arg;
	union td_argument data = { };
	long ret;

	if (cmd == SVA_TESTDEV_IOC_UNBIND)
		return ioctl_unbind(file->private_data);
	if (_IOC_SIZE(cmd) > sizeof(data))
		return -ENOTTY;
	if ((_IOC_DIR(cmd) & _IOC_WRITE) &&
	    copy_from_user(&data, user, _IOC_SIZE(cmd)))
		return -EFAULT;
	ret = context_ioctl_locked(file->private_data, cmd, &data);
	if (ret && ret != -ETIMEDOUT && ret != -EINTR)
		return ret;
	if ((_IOC_DIR(cmd) & _IOC_READ) &&
	    copy_to_user(user, &data, _IOC_SIZE(cmd)))
		return -EFAULT;
	return ret;
}

const struct file_operations td_fops = {
	.owner		= THIS_MODULE,
	.open		= td_open,
	.release	= td_close,
	.unlocked_ioctl	= td_ioctl,
};
