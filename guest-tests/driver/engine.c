// SPDX-License-Identifier: GPL-2.0-only
/* The device's DMA engines: hand one out, run a command, never leave it running. */
#include <linux/delay.h>
#include <linux/interrupt.h>
#include <linux/io-64-nonatomic-lo-hi.h>
#include <linux/iopoll.h>
#include <linux/jiffies.h>

#include "driver.h"

#define DEFAULT_TIMEOUT_MS	(20 * MSEC_PER_SEC)
#define ABORT_TIMEOUT_US	(100 * USEC_PER_MSEC)
#define ABORT_POLL_US		10
#define DRAIN_TIMEOUT_MS	(10 * MSEC_PER_SEC)
#define DRAIN_POLL_US		100

static irqreturn_t engine_irq(int irq, void *data)
{
	struct td_engine *engine = data;

	complete(&engine->done);
	return IRQ_HANDLED;
}

/* A free engine; NULL when there is none, ERR_PTR() when there will be none. */
static struct td_engine *engine_try_get(struct td_context *ctx)
{
	struct td_device *td = ctx->td;
	struct td_engine *engine = NULL;
	unsigned int usable = 0, i;

	spin_lock(&td->engines_lock);
	for (i = 0; i < td->nr_engines && !engine; i++) {
		if (td->engines[i].wedged)
			continue;
		usable++;
		if (!td->engines[i].owner)
			engine = &td->engines[i];
	}
	if (ctx->stopping)
		engine = ERR_PTR(-ECANCELED);
	else if (engine)
		engine->owner = ctx;
	else if (!usable)
		engine = ERR_PTR(-EIO);
	spin_unlock(&td->engines_lock);
	return engine;
}

/**
 * td_engine_get - an engine for one command
 * @ctx: bound context, its semaphore held for reading
 *
 * Return: the engine, for td_engine_put(); an error: -EINTR, -ECANCELED when the
 * context is being unbound, -EIO when no engine works any more.
 */
struct td_engine *td_engine_get(struct td_context *ctx)
{
	struct td_engine *engine = NULL;
	int ret;

	ret = wait_event_interruptible(ctx->td->engine_free,
				       (engine = engine_try_get(ctx)));
	return ret ? ERR_PTR(-EINTR) : engine;
}

void td_engine_put(struct td_device *td, struct td_engine *engine)
{
	spin_lock(&td->engines_lock);
	engine->owner = NULL;
	spin_unlock(&td->engines_lock);
	wake_up(&td->engine_free);
}

static bool engine_busy(struct td_engine *engine)
{
	return readl(engine->regs + TDE_STATUS) & SVA_TESTDEV_BUSY;
}

/**
 * td_engine_abort - have an engine give up what it does, if it does anything
 * @td: device
 * @engine: the caller's
 *
 * A stalled access is given up by the device, whatever the SMMU answers later.
 */
void td_engine_abort(struct td_device *td, struct td_engine *engine)
{
	u32 status;

	if (!engine_busy(engine))
		return;
	writel(1, engine->regs + TDE_ABORT);
	if (!readl_poll_timeout(engine->regs + TDE_STATUS, status,
				!(status & SVA_TESTDEV_BUSY), ABORT_POLL_US,
				ABORT_TIMEOUT_US))
		return;
	engine->wedged = true;
	pci_err(td->pdev, "engine %u does not stop, status %#x\n",
		engine->index, status);
}

/* Either td_engine_stop() sees the command run, or it does not start: -ECANCELED. */
int td_engine_start(struct td_context *ctx, struct td_engine *engine, u32 op)
{
	int ret = -ECANCELED;

	spin_lock(&ctx->td->engines_lock);
	if (!ctx->stopping) {
		writel(op, engine->regs + TDE_CMD);
		ret = 0;
	}
	spin_unlock(&ctx->td->engines_lock);
	return ret;
}

/**
 * td_engine_wait - wait for a command's end, abort it if that does not come
 * @td: device
 * @engine: the caller's, started
 * @timeout_ms: 0: the default
 *
 * An interrupt may come late, from the command before or from an abort: only
 * the status says that a command has ended.
 *
 * Return: 0; -ETIMEDOUT, -EINTR when it was aborted.
 */
int td_engine_wait(struct td_device *td, struct td_engine *engine, u32 timeout_ms)
{
	long left = msecs_to_jiffies(timeout_ms ?: DEFAULT_TIMEOUT_MS);

	while (left > 0) {
		left = wait_for_completion_interruptible_timeout(&engine->done, left);
		if (!engine_busy(engine))
			return 0;
	}
	td_engine_abort(td, engine);
	return left ? -EINTR : -ETIMEDOUT;
}

/**
 * td_engine_dma - run one command to its end
 * @ctx: bound context, its semaphore held for reading
 * @dma: command in, results out
 *
 * Return: 0 when the command ended, however it did; -ETIMEDOUT, -EINTR when it
 * was aborted; -ECANCELED when the context is being unbound; -EIO when no engine
 * works any more. With the first two @dma holds what was reached until then.
 */
int td_engine_dma(struct td_context *ctx, struct sva_testdev_dma *dma)
{
	struct td_engine *engine = td_engine_get(ctx);
	int ret;

	if (IS_ERR(engine))
		return PTR_ERR(engine);

	reinit_completion(&engine->done);
	writeq(dma->addr, engine->regs + TDE_ADDR);
	writeq(dma->data, engine->regs + TDE_DATA);
	writeq(dma->data2, engine->regs + TDE_DATA2);
	writel(dma->len, engine->regs + TDE_LEN);
	writel(ctx->pasid, engine->regs + TDE_PASID);
	writel(dma->max_stalls, engine->regs + TDE_MAX_STALLS);
	writel(dma->retry_ns ?: engine->retry_ns, engine->regs + TDE_RETRY_NS);

	ret = td_engine_start(ctx, engine, dma->op);
	if (!ret)
		ret = td_engine_wait(ctx->td, engine, dma->timeout_ms);

	dma->data = readq(engine->regs + TDE_DATA);
	dma->sum = readq(engine->regs + TDE_SUM);
	dma->fault_addr = readq(engine->regs + TDE_FAULT_ADDR);
	dma->status = readl(engine->regs + TDE_STATUS);
	dma->stalls = readl(engine->regs + TDE_STALLS);
	dma->retries = readl(engine->regs + TDE_RETRIES);
	dma->bytes_done = readl(engine->regs + TDE_BYTES_DONE);
	dma->bad_addr = readq(engine->regs + TDE_BAD_ADDR);
	dma->bad_value = readq(engine->regs + TDE_BAD_VALUE);
	dma->bad_count = readl(engine->regs + TDE_BAD_COUNT);
	dma->engine = engine->index;
	td_engine_put(ctx->td, engine);
	return ret;
}

/**
 * td_engine_stop - abort the commands of a context and let no new one start
 * @ctx: context
 *
 * Whoever waits for one of them comes back; that it has, the writer of the
 * context's semaphore knows.
 */
void td_engine_stop(struct td_context *ctx)
{
	struct td_device *td = ctx->td;
	unsigned int i;

	spin_lock(&td->engines_lock);
	ctx->stopping = true;
	for (i = 0; i < td->nr_engines; i++) {
		if (td->engines[i].owner != ctx)
			continue;
		writel(1, td->engines[i].regs + TDE_ABORT);
		complete(&td->engines[i].done);
	}
	spin_unlock(&td->engines_lock);
	wake_up_all(&td->engine_free);
}

/**
 * td_faults_drain - wait until the kernel has answered all page faults
 * @td: device, its lock held
 *
 * An access that was aborted may have left a fault on its way through the event
 * queue and the IOMMU core's workqueue. A PASID must not be taken away before:
 * the core frees such a fault while its work is queued (7.3,
 * iopf_queue_remove_device()), as its users are to wait for it
 * (iommu_report_device_fault()).
 *
 * Answers are read first: they never outrun the faults, so when both are the
 * same, nothing was open at that moment.
 */
void td_faults_drain(struct td_device *td)
{
	unsigned long end = jiffies + msecs_to_jiffies(DRAIN_TIMEOUT_MS);
	u64 answered, faults;

	for (;;) {
		answered = readq(td->regs + TD_RESUMES) + td->lost_faults;
		faults = readq(td->regs + TD_STALLS);
		if (answered >= faults)
			return;
		if (time_after(jiffies, end))
			break;
		usleep_range(DRAIN_POLL_US, 2 * DRAIN_POLL_US);
	}
	pci_warn(td->pdev, "%llu page faults are not answered\n", faults - answered);
	td->lost_faults += faults - answered;
}

/**
 * td_engine_allow - let a context start commands again
 * @ctx: context, its semaphore held for writing
 */
void td_engine_allow(struct td_context *ctx)
{
	spin_lock(&ctx->td->engines_lock);
	ctx->stopping = false;
	spin_unlock(&ctx->td->engines_lock);
}

/**
 * td_engines_init - count the engines, give each its interrupt
 * @td: device, its registers mapped
 *
 * An engine without an interrupt vector of its own is left alone.
 *
 * Return: 0, or a negative error.
 */
int td_engines_init(struct td_device *td)
{
	u32 engines = min_t(u32, readl(td->regs + TD_ENGINES), TD_MAX_ENGINES);
	int vectors, ret;

	if (!engines)
		return -ENODEV;
	vectors = pci_alloc_irq_vectors(td->pdev, 1, engines, PCI_IRQ_MSIX);
	if (vectors < 0)
		return vectors;

	while (td->nr_engines < vectors) {
		struct td_engine *engine = &td->engines[td->nr_engines];

		engine->index = td->nr_engines;
		engine->regs = td->regs + TD_ENGINE(engine->index);
		engine->retry_ns = readl(engine->regs + TDE_RETRY_NS);
		init_completion(&engine->done);
		ret = request_irq(pci_irq_vector(td->pdev, engine->index),
				  engine_irq, 0, KBUILD_MODNAME, engine);
		if (ret) {
			td_engines_exit(td);
			return ret;
		}
		td->nr_engines++;
	}
	return 0;
}

/**
 * td_engines_exit - the reverse; no command runs any more
 * @td: device
 */
void td_engines_exit(struct td_device *td)
{
	while (td->nr_engines) {
		td->nr_engines--;
		free_irq(pci_irq_vector(td->pdev, td->nr_engines),
			 &td->engines[td->nr_engines]);
	}
	pci_free_irq_vectors(td->pdev);
}
