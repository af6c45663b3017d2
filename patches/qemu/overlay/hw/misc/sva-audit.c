/*
 * PCIe test device for shared virtual addressing (SVA): what a guest asks of
 * whoever watches the machine
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The audit of the IOTLB, for a test that wants to judge at a point that only
 * the guest knows; and sync points.
 */

#include "qemu/osdep.h"
#include "qapi/qapi-events-sva-testdev.h"
#include "sva-testdev-internal.h"

static void sva_audit(SVATestDev *d)
{
    StallableIOMMU *iommu = pci_device_stallable_iommu(PCI_DEVICE(d));
    GArray *diffs = g_array_set_size(d->audit.diffs, 0);

    d->audit = (IOTLBAudit) { .diffs = diffs, .max_diffs = SVA_AUDIT_SHOWN };
    d->audits++;
    d->audit_status = SVA_AUDIT_NO_IOMMU;
    if (iommu) {
        STALLABLE_IOMMU_GET_CLASS(iommu)->audit(iommu, &d->audit);
        d->audit_status = d->audit.incomplete ? SVA_AUDIT_INCOMPLETE : 0;
    }
}

static void sva_sync(SVATestDev *d, uint32_t number)
{
    g_autofree char *path = object_get_canonical_path(OBJECT(d));

    d->sync = number;
    d->syncs++;
    qapi_event_send_sva_testdev_sync(DEVICE(d)->id, path, number, d->syncs,
                                     qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL));
}

void sva_audit_init(SVATestDev *d)
{
    d->audit.diffs = g_array_new(false, false, sizeof(IOTLBDiff));
}

void sva_audit_exit(SVATestDev *d)
{
    g_array_unref(d->audit.diffs);
}

void sva_audit_reset(SVATestDev *d)
{
    GArray *diffs = g_array_set_size(d->audit.diffs, 0);

    d->audit = (IOTLBAudit) { .diffs = diffs };
    d->audits = 0;
    d->audit_status = 0;
    d->audit_index = 0;
    d->sync = 0;
    d->syncs = 0;
}

static uint64_t sva_pair(uint64_t low, uint64_t high)
{
    return MIN(low, UINT32_MAX) | MIN(high, UINT32_MAX) << 32;
}

static uint32_t sva_side(const IOTLBSide *side)
{
    return (side->readable ? SVA_PROBE_READ : 0) |
           (side->writable ? SVA_PROBE_WRITE : 0) |
           side->level << SVA_PROBE_LEVEL_SHIFT;
}

static uint64_t sva_diff_read(const IOTLBDiff *diff, hwaddr reg)
{
    switch (reg) {
    case SVA_REG_DIFF_KIND:
        return sva_pair(SVA_DIFF_RESTRICTIVE + diff->kind, diff->end);
    case SVA_REG_DIFF_SID:
        return sva_pair(diff->sid, diff->pasid);
    case SVA_REG_DIFF_ASID:
        return sva_pair(diff->asid, (uint32_t)diff->vmid);
    case SVA_REG_DIFF_ADDR:
        return diff->iova;
    case SVA_REG_DIFF_SIZE:
        return diff->size;
    case SVA_REG_DIFF_CACHED:
        return sva_pair(sva_side(&diff->cached) | SVA_PROBE_CACHED |
                        diff->granule << SVA_PROBE_GRANULE_SHIFT,
                        sva_side(&diff->walked));
    case SVA_REG_CACHED_DESC:
        return diff->cached.descriptor;
    case SVA_REG_CACHED_OUT:
        return diff->cached.address;
    case SVA_REG_WALKED_DESC:
        return diff->walked.descriptor;
    case SVA_REG_WALKED_OUT:
        return diff->walked.address;
    default:
        return 0;
    }
}

uint64_t sva_audit_read(const SVATestDev *d, hwaddr reg)
{
    const IOTLBAudit *a = &d->audit;

    switch (reg) {
    case SVA_REG_AUDIT:
        return sva_pair(d->audits, d->audit_status);
    case SVA_REG_AUDIT_ENTRIES:
        return sva_pair(a->entries, d->audit_index);
    case SVA_REG_RESTRICTIVE:
        return sva_pair(a->count[IOTLB_RESTRICTIVE],
                        a->count[IOTLB_PERMISSIVE]);
    case SVA_REG_WRONG_PAGE:
        return sva_pair(a->count[IOTLB_WRONG_PAGE], a->count[IOTLB_UNMAPPED]);
    case SVA_REG_SYNC:
        return sva_pair(d->sync, d->syncs);
    default:
        if (d->audit_index >= a->diffs->len) {
            return 0;
        }
        return sva_diff_read(&g_array_index(a->diffs, IOTLBDiff,
                                            d->audit_index), reg);
    }
}

bool sva_audit_write(SVATestDev *d, hwaddr reg, uint32_t v)
{
    switch (reg) {
    case SVA_REG_AUDIT:
        if (v & 1) {
            sva_audit(d);
        }
        return true;
    case SVA_REG_AUDIT_INDEX:
        d->audit_index = v;
        return true;
    case SVA_REG_SYNC:
        sva_sync(d, v);
        return true;
    default:
        return false;
    }
}
