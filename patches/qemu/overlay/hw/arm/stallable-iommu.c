/*
 * DMA that an IOMMU may stall
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/module.h"
#include "hw/arm/stallable-iommu.h"

StallableIOMMU *pci_device_stallable_iommu(PCIDevice *pdev)
{
    AddressSpace *as = pci_device_iommu_address_space(pdev);

    return (StallableIOMMU *)object_dynamic_cast(OBJECT(as->root),
                                                 TYPE_STALLABLE_IOMMU);
}

static const TypeInfo stallable_iommu_info = {
    .name       = TYPE_STALLABLE_IOMMU,
    .parent     = TYPE_INTERFACE,
    .class_size = sizeof(StallableIOMMUClass),
};

static void stallable_iommu_register_types(void)
{
    type_register_static(&stallable_iommu_info);
}

type_init(stallable_iommu_register_types)
