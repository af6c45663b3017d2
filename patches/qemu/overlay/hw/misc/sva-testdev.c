/*
 * PCIe test device for shared virtual addressing (SVA)
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Registers: include/hw/misc/sva-testdev.h. Engines: sva-engine.c. Audit and
 * sync points: sva-audit.c.
 */

#include "qemu/osdep.h"
#include "qemu/log.h"
#include "qemu/module.h"
#include "qemu/units.h"
#include "hw/pci/msix.h"
#include "hw/pci/pcie.h"
#include "hw/qdev-properties.h"
#include "qapi/error.h"
#include "standard-headers/linux/pci_regs.h"
#include "sva-testdev-internal.h"

#define SVA_BAR_SIZE        (64 * KiB)
#define SVA_MAX_ENGINES     ((SVA_BAR_SIZE - SVA_ENGINE_BASE) / SVA_ENGINE_SIZE)
#define SVA_MAX_PASID_BITS  20
#define SVA_EXP_CAP         0x80

/* SVA_REG_RESET: whoever waits for a command sees that it has ended */
static void sva_engines_reset(SVATestDev *d)
{
    for (uint32_t i = 0; i < d->num_engines; i++) {
        SVAEngine *e = &d->engines[i];
        bool busy = e->status & SVA_ST_BUSY;

        sva_engine_reset(e);
        if (busy) {
            e->status = SVA_ST_DONE | SVA_ST_ERROR;
        }
    }
}

static uint32_t sva_probe(SVATestDev *d)
{
    StallableIOMMU *iommu = pci_device_stallable_iommu(PCI_DEVICE(d));
    IOTLBProbe p;

    if (!iommu) {
        return 0;
    }
    STALLABLE_IOMMU_GET_CLASS(iommu)->probe(iommu, d->probe_pasid,
                                            d->probe_addr, &p);
    if (!p.cached) {
        return 0;
    }
    return SVA_PROBE_CACHED |
           (p.readable ? SVA_PROBE_READ : 0) |
           (p.writable ? SVA_PROBE_WRITE : 0) |
           p.level << SVA_PROBE_LEVEL_SHIFT |
           p.granule << SVA_PROBE_GRANULE_SHIFT;
}

static uint64_t sva_counter(SVATestDev *d, hwaddr reg)
{
    StallableIOMMU *iommu = pci_device_stallable_iommu(PCI_DEVICE(d));
    StallableCounters c = {};

    if (iommu) {
        STALLABLE_IOMMU_GET_CLASS(iommu)->get_counters(iommu, &c);
    }
    switch (reg) {
    case SVA_REG_TLBI:
        return c.tlbi;
    case SVA_REG_STALLS:
        return c.stalls;
    case SVA_REG_RESUMES:
        return c.resumes;
    case SVA_REG_FULL_FLUSHES:
        return c.capacity_losses;
    case SVA_REG_HIT_PERM_FAULTS:
        return c.hit_perm_faults;
    default:
        return 0;
    }
}

/* @reg is a multiple of 8 */
static uint64_t sva_device_reg(SVATestDev *d, hwaddr reg)
{
    switch (reg) {
    case SVA_REG_MAGIC:
        return SVA_MAGIC | (uint64_t)SVA_VERSION << 32;
    case SVA_REG_ENGINES:
        return d->num_engines;
    case SVA_REG_PROBE_ADDR:
        return d->probe_addr;
    case SVA_REG_PROBE_PASID:
        return d->probe_pasid | (uint64_t)sva_probe(d) << 32;
    default:
        return reg < SVA_REG_AUDIT ? sva_counter(d, reg) :
                                     sva_audit_read(d, reg);
    }
}

static SVAEngine *sva_find_engine(SVATestDev *d, hwaddr *addr)
{
    uint32_t index;

    if (*addr < SVA_ENGINE_BASE) {
        return NULL;
    }
    index = (*addr - SVA_ENGINE_BASE) / SVA_ENGINE_SIZE;
    *addr %= SVA_ENGINE_SIZE;
    return index < d->num_engines ? &d->engines[index] : NULL;
}

static uint64_t sva_mmio_read(void *opaque, hwaddr addr, unsigned size)
{
    SVATestDev *d = opaque;
    bool is_engine = addr >= SVA_ENGINE_BASE;
    SVAEngine *e = sva_find_engine(d, &addr);
    hwaddr reg = addr & ~7ULL;
    uint64_t v = 0;

    if (e) {
        v = sva_engine_read(e, reg);
    } else if (!is_engine) {
        v = sva_device_reg(d, reg);
    }
    return extract64(v, (addr & 4) * 8, 32);
}

static void sva_device_write(SVATestDev *d, hwaddr reg, uint32_t v)
{
    switch (reg) {
    case SVA_REG_RESET:
        if (v & 1) {
            sva_engines_reset(d);
        }
        break;
    case SVA_REG_PROBE_ADDR:
        d->probe_addr = deposit64(d->probe_addr, 0, 32, v);
        break;
    case SVA_REG_PROBE_ADDR + 4:
        d->probe_addr = deposit64(d->probe_addr, 32, 32, v);
        break;
    case SVA_REG_PROBE_PASID:
        d->probe_pasid = v;
        break;
    default:
        if (sva_audit_write(d, reg, v)) {
            break;
        }
        qemu_log_mask(LOG_GUEST_ERROR, "%s: write to register 0x%"
                      HWADDR_PRIx "\n", TYPE_SVA_TESTDEV, reg);
    }
}

static void sva_mmio_write(void *opaque, hwaddr addr, uint64_t v,
                           unsigned size)
{
    SVATestDev *d = opaque;
    bool is_engine = addr >= SVA_ENGINE_BASE;
    SVAEngine *e = sva_find_engine(d, &addr);

    if (e) {
        sva_engine_write(e, addr, v);
    } else if (!is_engine) {
        sva_device_write(d, addr, v);
    }
}

static const MemoryRegionOps sva_mmio_ops = {
    .read = sva_mmio_read,
    .write = sva_mmio_write,
    .endianness = DEVICE_LITTLE_ENDIAN,
    .valid = { .min_access_size = 4, .max_access_size = 8 },
    .impl = { .min_access_size = 4, .max_access_size = 4 },
};

static bool sva_check_properties(SVATestDev *d, Error **errp)
{
    if (d->pasid_bits > SVA_MAX_PASID_BITS) {
        error_setg(errp, "Property '%s.pasid-bits' doesn't take value %d"
                   " (minimum: 0, maximum: %d)", TYPE_SVA_TESTDEV,
                   d->pasid_bits, SVA_MAX_PASID_BITS);
        return false;
    }
    if (!d->num_engines || d->num_engines > SVA_MAX_ENGINES) {
        error_setg(errp, "Property '%s.engines' doesn't take value %u"
                   " (minimum: 1, maximum: %d)", TYPE_SVA_TESTDEV,
                   d->num_engines, (int)SVA_MAX_ENGINES);
        return false;
    }
    return true;
}

static void sva_realize(PCIDevice *pdev, Error **errp)
{
    SVATestDev *d = SVA_TESTDEV(pdev);
    uint8_t *config = pdev->config;
    int ret;

    if (!sva_check_properties(d, errp)) {
        return;
    }
    pci_config_set_vendor_id(config, d->vendor);
    pci_config_set_device_id(config, d->device);
    pci_config_set_revision(config, d->revision);

    /*
     * On the root complex it is an RCiEP; its DEVCAP2 has End-End TLP prefix
     * supported. Linux wants both, or else ACS, before it enables PASID.
     */
    ret = pcie_endpoint_cap_init(pdev, SVA_EXP_CAP);
    if (ret < 0) {
        error_setg_errno(errp, -ret, "no PCI Express capability");
        return;
    }
    if (d->pasid_bits) {
        pcie_add_capability(pdev, PCI_EXT_CAP_ID_PASID, 1, SVA_PASID_CAP,
                            PCI_EXT_CAP_PASID_SIZEOF);
        pci_set_word(config + SVA_PASID_CAP + PCI_PASID_CAP,
                     d->pasid_bits << 8);
        pci_set_word(pdev->wmask + SVA_PASID_CAP + PCI_PASID_CTRL,
                     PCI_PASID_CTRL_ENABLE);
    }
    if (msix_init_exclusive_bar(pdev, d->num_engines, 2, errp)) {
        pcie_cap_exit(pdev);
        return;
    }

    memory_region_init_io(&d->mmio, OBJECT(d), &sva_mmio_ops, d,
                          TYPE_SVA_TESTDEV, SVA_BAR_SIZE);
    pci_register_bar(pdev, 0, PCI_BASE_ADDRESS_SPACE_MEMORY, &d->mmio);

    sva_audit_init(d);
    d->engines = g_new0(SVAEngine, d->num_engines);
    for (uint32_t i = 0; i < d->num_engines; i++) {
        sva_engine_init(&d->engines[i], d, i);
        msix_vector_use(pdev, i);
    }
    sva_migration_init(d);
}

static void sva_exit(PCIDevice *pdev)
{
    SVATestDev *d = SVA_TESTDEV(pdev);

    sva_migration_exit(d);
    for (uint32_t i = 0; i < d->num_engines; i++) {
        sva_engine_exit(&d->engines[i]);
    }
    g_free(d->engines);
    sva_audit_exit(d);
    msix_uninit_exclusive_bar(pdev);
    pcie_cap_exit(pdev);
}

static void sva_reset(DeviceState *dev)
{
    SVATestDev *d = SVA_TESTDEV(dev);

    for (uint32_t i = 0; i < d->num_engines; i++) {
        sva_engine_reset(&d->engines[i]);
    }
    d->probe_addr = 0;
    d->probe_pasid = PCI_NO_PASID;
    sva_audit_reset(d);
    if (d->pasid_bits) {
        pci_set_word(PCI_DEVICE(d)->config + SVA_PASID_CAP + PCI_PASID_CTRL,
                     0);
    }
}

static const Property sva_properties[] = {
    DEFINE_PROP_UINT32("engines", SVATestDev, num_engines, 8),
    DEFINE_PROP_UINT8("pasid-bits", SVATestDev, pasid_bits, 16),
    /* HiSilicon ZIP: Linux's quirk_huawei_pcie_sva marks it dma-can-stall */
    DEFINE_PROP_UINT16("vendor", SVATestDev, vendor, 0x19e5),
    DEFINE_PROP_UINT16("device", SVATestDev, device, 0xa250),
    DEFINE_PROP_UINT8("revision", SVATestDev, revision, 0x21),
};

static void sva_class_init(ObjectClass *klass, void *data)
{
    DeviceClass *dc = DEVICE_CLASS(klass);
    PCIDeviceClass *k = PCI_DEVICE_CLASS(klass);

    k->realize = sva_realize;
    k->exit = sva_exit;
    k->class_id = PCI_CLASS_OTHERS;
    dc->desc = "PCIe test device for SVA: PASID, DMA that waits for stalls";
    dc->vmsd = &sva_vmstate;
    device_class_set_legacy_reset(dc, sva_reset);
    device_class_set_props(dc, sva_properties);
    set_bit(DEVICE_CATEGORY_MISC, dc->categories);
}

static const TypeInfo sva_info = {
    .name = TYPE_SVA_TESTDEV,
    .parent = TYPE_PCI_DEVICE,
    .instance_size = sizeof(SVATestDev),
    .class_init = sva_class_init,
    .interfaces = (InterfaceInfo[]) {
        { INTERFACE_PCIE_DEVICE },
        { },
    },
};

static void sva_register_types(void)
{
    type_register_static(&sva_info);
}

type_init(sva_register_types)
