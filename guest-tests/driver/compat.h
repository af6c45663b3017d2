/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One name for what kernels call differently. Kbuild looks into the headers of
 * the kernel at hand: trees between releases, and backports, come here too.
 */
#ifndef SVA_TESTDEV_COMPAT_H
#define SVA_TESTDEV_COMPAT_H

#include <linux/iommu.h>

#ifdef HAVE_SVA_BIND_DRVDATA
static inline struct iommu_sva *td_bind_mm(struct device *dev, struct mm_struct *mm)
{
	return iommu_sva_bind_device(dev, mm, NULL);
}
#else
static inline struct iommu_sva *td_bind_mm(struct device *dev, struct mm_struct *mm)
{
	return iommu_sva_bind_device(dev, mm);
}
#endif

#ifdef HAVE_DEV_FEAT_SVA
static inline int td_enable_sva(struct device *dev)
{
	int ret = iommu_dev_enable_feature(dev, IOMMU_DEV_FEAT_IOPF);

	if (ret)
		return ret;
	ret = iommu_dev_enable_feature(dev, IOMMU_DEV_FEAT_SVA);
	if (ret)
		iommu_dev_disable_feature(dev, IOMMU_DEV_FEAT_IOPF);
	return ret;
}

static inline void td_disable_sva(struct device *dev)
{
	iommu_dev_disable_feature(dev, IOMMU_DEV_FEAT_SVA);
	iommu_dev_disable_feature(dev, IOMMU_DEV_FEAT_IOPF);
}
#else /* the IOMMU driver does both when a PASID is attached */
static inline int td_enable_sva(struct device *dev)
{
	return 0;
}

static inline void td_disable_sva(struct device *dev)
{
}
#endif

#endif
