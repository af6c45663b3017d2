/*
 * PCIe test device for shared virtual addressing (SVA): migration
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * An engine moves in the midst of a command: its access may be stalled, it
 * may wait for a timer, or be about to run. What the last audit found stays
 * behind; the guest has to ask again.
 */

#include "qemu/osdep.h"
#include "hw/pci/msix.h"
#include "migration/vmstate.h"
#include "system/runstate.h"
#include "sva-testdev-internal.h"

static const VMStateDescription vmstate_sva_engine = {
    .name = "sva-testdev/engine",
    .version_id = 1,
    .minimum_version_id = 1,
    .fields = (const VMStateField[]) {
        VMSTATE_UINT64(addr, SVAEngine),
        VMSTATE_UINT32(len, SVAEngine),
        VMSTATE_UINT32(pasid, SVAEngine),
        VMSTATE_UINT64(data, SVAEngine),
        VMSTATE_UINT64(data2, SVAEngine),
        VMSTATE_UINT32(status, SVAEngine),
        VMSTATE_UINT32(stalls, SVAEngine),
        VMSTATE_UINT32(retries, SVAEngine),
        VMSTATE_UINT32(max_stalls, SVAEngine),
        VMSTATE_UINT32(retry_ns, SVAEngine),
        VMSTATE_UINT32(done, SVAEngine),
        VMSTATE_UINT64(fault_addr, SVAEngine),
        VMSTATE_UINT32(fault_how, SVAEngine),
        VMSTATE_UINT64(fault_time, SVAEngine),
        VMSTATE_UINT64(sum, SVAEngine),
        VMSTATE_UINT64(bad_addr, SVAEngine),
        VMSTATE_UINT64(bad_value, SVAEngine),
        VMSTATE_UINT64(bad_access, SVAEngine),
        VMSTATE_UINT32(bad_count, SVAEngine),
        VMSTATE_UINT32(bad_how, SVAEngine),
        VMSTATE_UINT64(accesses, SVAEngine),
        VMSTATE_UINT32(aborts, SVAEngine),
        VMSTATE_UINT32(expect, SVAEngine),
        VMSTATE_UINT32(period_ns, SVAEngine),
        VMSTATE_UINT32(step, SVAEngine),
        VMSTATE_UINT32(cmd, SVAEngine),
        VMSTATE_UINT32(stalls_here, SVAEngine),
        VMSTATE_UINT64(first, SVAEngine),
        VMSTATE_UINT32(fetched, SVAEngine),
        VMSTATE_UINT64(random, SVAEngine),
        VMSTATE_UINT32(word, SVAEngine),
        VMSTATE_UINT32(steps, SVAEngine),
        VMSTATE_BOOL(stop, SVAEngine),
        VMSTATE_BUFFER_POINTER_UNSAFE(buf, SVAEngine, 1, SVA_ACCESS_SIZE),
        VMSTATE_BOOL(client.stalled, SVAEngine),
        VMSTATE_UINT64(client.ticket, SVAEngine),
        VMSTATE_BOOL(answered, SVAEngine),
        VMSTATE_UINT32(response, SVAEngine),
        VMSTATE_TIMER_PTR(timer, SVAEngine),
        VMSTATE_END_OF_LIST()
    }
};

/* Bottom halves do not migrate, and run although the machine is stopped */
static void sva_vm_state(void *opaque, bool running, RunState state)
{
    SVATestDev *d = opaque;

    for (uint32_t i = 0; running && i < d->num_engines; i++) {
        SVAEngine *e = &d->engines[i];

        if (e->cmd && !e->client.stalled && !timer_pending(e->timer)) {
            qemu_bh_schedule(e->bh);
        }
    }
}

static int sva_post_load(void *opaque, int version_id)
{
    SVATestDev *d = opaque;
    StallableIOMMU *iommu = pci_device_stallable_iommu(PCI_DEVICE(d));

    for (uint32_t i = 0; i < d->num_engines; i++) {
        SVAEngine *e = &d->engines[i];

        if (e->client.stalled) {
            if (!iommu) {
                return -EINVAL;
            }
            STALLABLE_IOMMU_GET_CLASS(iommu)->claim(iommu, &e->client);
        }
    }
    return 0;
}

const VMStateDescription sva_vmstate = {
    .name = TYPE_SVA_TESTDEV,
    .version_id = 1,
    .minimum_version_id = 1,
    .post_load = sva_post_load,
    .fields = (const VMStateField[]) {
        VMSTATE_PCI_DEVICE(parent_obj, SVATestDev),
        VMSTATE_MSIX(parent_obj, SVATestDev),
        VMSTATE_UINT32_EQUAL(num_engines, SVATestDev, NULL),
        VMSTATE_STRUCT_VARRAY_POINTER_UINT32(engines, SVATestDev, num_engines,
                                             vmstate_sva_engine, SVAEngine),
        VMSTATE_UINT64(probe_addr, SVATestDev),
        VMSTATE_UINT32(probe_pasid, SVATestDev),
        VMSTATE_UINT32(audits, SVATestDev),
        VMSTATE_UINT32(sync, SVATestDev),
        VMSTATE_UINT32(syncs, SVATestDev),
        VMSTATE_END_OF_LIST()
    }
};

void sva_migration_init(SVATestDev *d)
{
    d->vm_state = qemu_add_vm_change_state_handler(sva_vm_state, d);
}

void sva_migration_exit(SVATestDev *d)
{
    qemu_del_vm_change_state_handler(d->vm_state);
}
