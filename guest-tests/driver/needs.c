// SPDX-License-Identifier: GPL-2.0-only
/*
 * Say which precondition of SVA does not hold: the IOMMU core only says no.
 *
 * The list is that of arm_smmu_sva_supported(), arm_smmu_enable_pasid() and
 * arm_smmu_master_iopf_supported(). What the SMMU can do is read from its own
 * identification registers (IHI 0070, SMMU_IDR0, IDR1, IDR5).
 */
#include <asm/cpufeature.h>
#include <linux/bitfield.h>
#include <linux/io.h>
#include <linux/pci-ats.h>
#include <linux/platform_device.h>
#include <linux/property.h>
#include <linux/sizes.h>

#include "driver.h"

#define IDR0			0x0
#define   IDR0_COHACC		BIT(4)
#define   IDR0_ASID16		BIT(12)
#define   IDR0_STALL_MODEL	GENMASK(25, 24)
#define   STALL_MODEL_NONE	1
#define IDR1			0x4
#define   IDR1_SSIDSIZE		GENMASK(10, 6)
#define IDR5			0x14
#define   IDR5_OAS		GENMASK(2, 0)
#define   IDR5_GRAN4K		BIT(4)
#define   IDR5_GRAN16K		BIT(5)
#define   IDR5_GRAN64K		BIT(6)
#define IDR_SIZE		0x20

struct smmu_id {
	u32 idr0, idr1, idr5;
};

/* The SMMU itself: its driver names the IOMMU after it, as a child of it. */
static bool read_smmu_id(struct device *dev, struct smmu_id *id)
{
	struct iommu_device *iommu = dev->iommu ? dev->iommu->iommu_dev : NULL;
	struct device *smmu = iommu && iommu->dev ? iommu->dev->parent : NULL;
	struct resource *res;
	void __iomem *regs;

	if (!smmu || !dev_is_platform(smmu))
		return false;
	res = platform_get_resource(to_platform_device(smmu), IORESOURCE_MEM, 0);
	if (!res)
		return false;
	regs = ioremap(res->start, IDR_SIZE);
	if (!regs)
		return false;
	id->idr0 = readl(regs + IDR0);
	id->idr1 = readl(regs + IDR1);
	id->idr5 = readl(regs + IDR5);
	iounmap(regs);
	return true;
}

static u32 smmu_output_bits(const struct smmu_id *id)
{
	static const u8 bits[] = { 32, 36, 40, 42, 44, 48, 52, 56 };

	return bits[FIELD_GET(IDR5_OAS, id->idr5)];
}

static u64 cpu_mmfr0(void)
{
	return read_sanitised_ftr_reg(SYS_ID_AA64MMFR0_EL1);
}

static u32 cpu_output_bits(void)
{
	return id_aa64mmfr0_parange_to_phys_shift(
		cpuid_feature_extract_unsigned_field(cpu_mmfr0(),
						     ID_AA64MMFR0_EL1_PARANGE_SHIFT));
}

static bool smmu_walks_page_size(const struct smmu_id *id)
{
	switch (PAGE_SIZE) {
	case SZ_4K:
		return id->idr5 & IDR5_GRAN4K;
	case SZ_16K:
		return id->idr5 & IDR5_GRAN16K;
	default:
		return id->idr5 & IDR5_GRAN64K;
	}
}

static bool cpu_has_asid16(void)
{
	return cpuid_feature_extract_unsigned_field(cpu_mmfr0(),
						    ID_AA64MMFR0_EL1_ASIDBITS_SHIFT);
}

/* Each returns true when it has told of something that is missing. */
static bool smmu_lacks(struct device *dev)
{
	struct smmu_id id;

	if (!read_smmu_id(dev, &id))
		return false;
	if (!FIELD_GET(IDR1_SSIDSIZE, id.idr1)) {
		dev_err(dev, "no SVA: the SMMU has no substreams (IDR1.SSIDSIZE is 0)\n");
		return true;
	}
	if (FIELD_GET(IDR0_STALL_MODEL, id.idr0) == STALL_MODEL_NONE) {
		dev_err(dev, "no SVA: the SMMU does not stall faulting accesses (IDR0.STALL_MODEL is 1)\n");
		return true;
	}
	if (smmu_output_bits(&id) < cpu_output_bits()) {
		dev_err(dev, "no SVA: the SMMU's output address size, %u bits, is below the CPU's PARange, %u bits\n",
			smmu_output_bits(&id), cpu_output_bits());
		return true;
	}
	if (!(id.idr0 & IDR0_COHACC)) {
		dev_err(dev, "no SVA: the SMMU's walks are not coherent (IDR0.COHACC is 0)\n");
		return true;
	}
	if (!smmu_walks_page_size(&id)) {
		dev_err(dev, "no SVA: the SMMU has no %lu KiB granule (IDR5)\n",
			PAGE_SIZE / SZ_1K);
		return true;
	}
	if (cpu_has_asid16() && !(id.idr0 & IDR0_ASID16)) {
		dev_err(dev, "no SVA: the SMMU has 8-bit ASIDs, the CPU 16-bit ones (IDR0.ASID16)\n");
		return true;
	}
	return false;
}

static bool pasid_lacks(struct pci_dev *pdev)
{
	if (pci_pasid_features(pdev) < 0) {
		pci_err(pdev, "no SVA: the device offers no PASID, or CONFIG_PCI_PASID is not set\n");
		return true;
	}
#ifdef CONFIG_PCI_PASID
	if (!pdev->pasid_enabled) {
		pci_err(pdev, "no SVA: the SMMU driver did not enable PASID on the device\n");
		return true;
	}
#endif
	return false;
}

static bool lacks(struct pci_dev *pdev)
{
	struct device *dev = &pdev->dev;

	if (!IS_ENABLED(CONFIG_ARM_SMMU_V3_SVA)) {
		dev_err(dev, "no SVA: the kernel was built without CONFIG_ARM_SMMU_V3_SVA\n");
		return true;
	}
	if (!device_iommu_mapped(dev)) {
		dev_err(dev, "no SVA: no SMMU in front of the device\n");
		return true;
	}
	if (smmu_lacks(dev) || pasid_lacks(pdev))
		return true;
	if (!device_property_read_bool(dev, "dma-can-stall")) {
		dev_err(dev, "no SVA: the device may not stall: no dma-can-stall property (IOPF)\n");
		return true;
	}
	return false;
}

/**
 * td_sva_possible - check every precondition that can be checked beforehand
 * @pdev: the device
 *
 * Return: false after one message that names the first that does not hold.
 */
bool td_sva_possible(struct pci_dev *pdev)
{
	return !lacks(pdev);
}

/**
 * td_show_machine - say in the kernel log what the machine is
 * @pdev: the device
 *
 * Registers as they are, and the page size: whoever asked for a machine can see whether this is it.
 */
void td_show_machine(struct pci_dev *pdev)
{
	struct smmu_id id;

	if (!read_smmu_id(&pdev->dev, &id))
		return;
	pci_info(pdev, "SMMU IDR0 %#x IDR1 %#x IDR5 %#x, CPU ID_AA64MMFR1 %#llx, page size %lu\n",
		 id.idr0, id.idr1, id.idr5,
		 read_sanitised_ftr_reg(SYS_ID_AA64MMFR1_EL1), PAGE_SIZE);
}

/**
 * td_explain_no_sva - say why SVA was refused
 * @pdev: the device
 * @error: what the IOMMU core answered
 */
void td_explain_no_sva(struct pci_dev *pdev, int error)
{
	if (!lacks(pdev))
		pci_err(pdev, "no SVA: refused with error %d, though no known precondition is missing\n",
			error);
}
