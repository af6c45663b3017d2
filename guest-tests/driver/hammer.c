// SPDX-License-Identifier: GPL-2.0-only
/* Engines that access a range again and again, until they are told to stop. */
#include <linux/io-64-nonatomic-lo-hi.h>

#include "driver.h"

/**
 * td_hammer_start - have an engine access a range until it is told to stop
 * @ctx: bound context, its semaphore held for reading
 * @hammer: what it is to do in, which engine it is out
 *
 * Return: 0, or a negative error: as td_engine_dma(), and -EINVAL when the device
 * refuses to do that.
 */
int td_hammer_start(struct td_context *ctx, struct sva_testdev_hammer *hammer)
{
	struct td_device *td = ctx->td;
	struct td_engine *engine;
	int ret;

	if (hammer->op != SVA_TESTDEV_HAMMER_READ && hammer->op != SVA_TESTDEV_HAMMER_WRITE)
		return -EINVAL;
	engine = td_engine_get(ctx);
	if (IS_ERR(engine))
		return PTR_ERR(engine);

	reinit_completion(&engine->done);
	writeq(hammer->addr, engine->regs + TDE_ADDR);
	writeq(hammer->data, engine->regs + TDE_DATA);
	writeq(hammer->data2, engine->regs + TDE_DATA2);
	writel(hammer->len, engine->regs + TDE_LEN);
	writel(ctx->pasid, engine->regs + TDE_PASID);
	writel(hammer->max_stalls, engine->regs + TDE_MAX_STALLS);
	writel(engine->retry_ns, engine->regs + TDE_RETRY_NS);
	writel(hammer->period_ns, engine->regs + TDE_PERIOD_NS);
	writel(hammer->expect, engine->regs + TDE_EXPECT);

	ret = readl(engine->regs + TDE_EXPECT) == hammer->expect ?
	      td_engine_start(ctx, engine, hammer->op) : -EINVAL;
	if (!ret && readl(engine->regs + TDE_STATUS) & SVA_TESTDEV_BAD_PROGRAM)
		ret = -EINVAL;
	if (ret) {
		td_engine_put(td, engine);
		return ret;
	}
	spin_lock(&td->engines_lock);
	engine->hammers = true;
	spin_unlock(&td->engines_lock);
	hammer->engine = engine->index;
	return 0;
}

/* The context's hammer on this engine; with @take it is the caller's to give back. */
static struct td_engine *hammer_find(struct td_context *ctx, u32 index, bool take)
{
	struct td_device *td = ctx->td;
	struct td_engine *engine = NULL;

	if (index >= td->nr_engines)
		return NULL;
	spin_lock(&td->engines_lock);
	if (td->engines[index].owner == ctx && td->engines[index].hammers) {
		engine = &td->engines[index];
		engine->hammers = !take;
	}
	spin_unlock(&td->engines_lock);
	return engine;
}

int td_hammer_expect(struct td_context *ctx, const struct sva_testdev_expect *expect)
{
	struct td_engine *engine = hammer_find(ctx, expect->engine, false);

	if (!engine)
		return -ENOENT;
	writel(expect->expect, engine->regs + TDE_EXPECT);
	return readl(engine->regs + TDE_EXPECT) == expect->expect ? 0 : -EINVAL;
}

/**
 * td_hammer_stop - let a hammer finish its access and tell what it met
 * @ctx: bound context, its semaphore held for reading
 * @stop: which engine in, results out
 *
 * Return: 0; -ENOENT when there is no such hammer; -ETIMEDOUT, -EINTR when its
 * access was not answered and it was aborted.
 */
int td_hammer_stop(struct td_context *ctx, struct sva_testdev_stop *stop)
{
	struct td_engine *engine = hammer_find(ctx, stop->engine, true);
	int ret;

	if (!engine)
		return -ENOENT;
	writel(1, engine->regs + TDE_STOP);
	ret = td_engine_wait(ctx->td, engine, stop->timeout_ms);

	stop->accesses = readq(engine->regs + TDE_ACCESSES);
	stop->bad_addr = readq(engine->regs + TDE_BAD_ADDR);
	stop->bad_value = readq(engine->regs + TDE_BAD_VALUE);
	stop->bad_access = readq(engine->regs + TDE_BAD_ACCESS);
	stop->bad_count = readl(engine->regs + TDE_BAD_COUNT);
	stop->bad_how = readl(engine->regs + TDE_BAD_HOW);
	stop->aborts = readl(engine->regs + TDE_ABORTS);
	stop->status = readl(engine->regs + TDE_STATUS);
	stop->stalls = readl(engine->regs + TDE_STALLS);
	stop->retries = readl(engine->regs + TDE_RETRIES);
	td_engine_put(ctx->td, engine);
	return ret;
}

/**
 * td_hammer_reap - take back the engines that nobody stopped
 * @ctx: context, its semaphore held for writing, td_engine_stop() done
 */
void td_hammer_reap(struct td_context *ctx)
{
	struct td_device *td = ctx->td;
	struct td_engine *engine;
	unsigned int i;

	for (i = 0; i < td->nr_engines; i++) {
		engine = hammer_find(ctx, i, true);
		if (!engine)
			continue;
		td_engine_abort(td, engine);
		td_engine_put(td, engine);
	}
}
