// SPDX-License-Identifier: GPL-2.0-only
/* Ask the device to compare the SMMU's TLB with the page tables; sync points. */
#include <linux/io-64-nonatomic-lo-hi.h>

#include "driver.h"

/**
 * td_audit - compare all that the TLB holds with the tables that it came from
 * @td: device
 * @audit: result
 *
 * Return: 0, or -ENODEV when there is no SMMU that could be asked.
 */
int td_audit(struct td_device *td, struct sva_testdev_audit *audit)
{
	void __iomem *regs = td->regs;
	u64 total;
	u32 status;

	mutex_lock(&td->probe_lock);
	writel(1, regs + TD_AUDIT);
	status = readl(regs + TD_AUDIT_STATUS);
	*audit = (struct sva_testdev_audit) {
		.number = readl(regs + TD_AUDIT),
		.incomplete = !!(status & TD_AUDIT_INCOMPLETE),
		.entries = readl(regs + TD_AUDIT_ENTRIES),
		.restrictive = readl(regs + TD_RESTRICTIVE),
		.permissive = readl(regs + TD_PERMISSIVE),
		.wrong_page = readl(regs + TD_WRONG_PAGE),
		.unmapped = readl(regs + TD_UNMAPPED),
	};
	mutex_unlock(&td->probe_lock);
	total = (u64)audit->restrictive + audit->permissive + audit->wrong_page +
		audit->unmapped;
	audit->shown = min_t(u64, total, TD_AUDIT_SHOWN);
	return status & TD_AUDIT_NO_IOMMU ? -ENODEV : 0;
}

/**
 * td_difference - one of the differences that the last audit found
 * @td: device
 * @diff: number of the audit and index in, the difference out
 *
 * Return: 0; -ESTALE when there has been another audit; -ENOENT when there are
 * no more, or none of which the device keeps details.
 */
int td_difference(struct td_device *td, struct sva_testdev_difference *diff)
{
	void __iomem *regs = td->regs;
	int ret = -ESTALE;

	mutex_lock(&td->probe_lock);
	if (readl(regs + TD_AUDIT) != diff->number)
		goto unlock;
	writel(diff->index, regs + TD_AUDIT_INDEX);
	diff->kind = readl(regs + TD_DIFF_KIND);
	diff->walk = readl(regs + TD_DIFF_WALK);
	diff->stream = readl(regs + TD_DIFF_SID);
	diff->pasid = readl(regs + TD_DIFF_PASID);
	diff->asid = readl(regs + TD_DIFF_ASID);
	diff->cached = readl(regs + TD_DIFF_CACHED);
	diff->walked = readl(regs + TD_DIFF_WALKED);
	diff->addr = readq(regs + TD_DIFF_ADDR);
	diff->size = readq(regs + TD_DIFF_SIZE);
	diff->cached_desc = readq(regs + TD_CACHED_DESC);
	diff->cached_out = readq(regs + TD_CACHED_OUT);
	diff->walked_desc = readq(regs + TD_WALKED_DESC);
	diff->walked_out = readq(regs + TD_WALKED_OUT);
	ret = diff->kind ? 0 : -ENOENT;
unlock:
	mutex_unlock(&td->probe_lock);
	return ret;
}

int td_sync(struct td_device *td, struct sva_testdev_sync *sync)
{
	mutex_lock(&td->probe_lock);
	writel(sync->number, td->regs + TD_SYNC);
	sync->count = readl(td->regs + TD_SYNCS);
	mutex_unlock(&td->probe_lock);
	return 0;
}
