/*
 * PCIe test device for shared virtual addressing (SVA): one DMA engine
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/main-loop.h"
#include "hw/pci/msix.h"
#include "qapi/qapi-events-sva-testdev.h"
#include "standard-headers/linux/pci_regs.h"
#include "system/runstate.h"
#include "sva-testdev-internal.h"
#include "trace.h"

/* Then the main loop gets a chance; what is left is another bottom half */
#define SVA_ACCESSES_AT_A_TIME  256
/* PERIOD_NS == 0 */
#define SVA_HAMMER_PERIOD_NS    (20 * SCALE_US)

void sva_finish(SVAEngine *e, uint32_t status)
{
    trace_sva_engine_finish(e->index, status, e->done, e->stalls, e->retries);
    e->cmd = 0;
    e->answered = false;
    /* keep what was refused while the command ran, and what it found */
    e->status &= SVA_ST_BAD_PROGRAMMING | SVA_ST_MISMATCH;
    e->status |= SVA_ST_DONE | status;
    msix_notify(PCI_DEVICE(e->dev), e->index);
}

void sva_quiesce(SVAEngine *e)
{
    StallableIOMMU *iommu = pci_device_stallable_iommu(PCI_DEVICE(e->dev));

    if (iommu) {
        STALLABLE_IOMMU_GET_CLASS(iommu)->cancel(iommu, &e->client);
    }
    timer_del(e->timer);
    qemu_bh_cancel(e->bh);
    e->answered = false;
}

/* The status of an access that may not be made at all, 0 if it may */
static uint32_t sva_check_access(SVAEngine *e)
{
    PCIDevice *pdev = PCI_DEVICE(e->dev);

    if (!(pci_get_word(pdev->config + PCI_COMMAND) & PCI_COMMAND_MASTER)) {
        return SVA_ST_ERROR | SVA_ST_BAD_PROGRAMMING;
    }
    if (e->pasid == PCI_NO_PASID) {
        return 0;
    }
    if (!e->dev->pasid_bits ||
        !(pci_get_word(pdev->config + SVA_PASID_CAP + PCI_PASID_CTRL) &
          PCI_PASID_CTRL_ENABLE)) {
        return SVA_ST_ERROR | SVA_ST_NO_PASID;
    }
    if (e->pasid >> e->dev->pasid_bits) {
        return SVA_ST_ERROR | SVA_ST_BAD_PROGRAMMING;
    }
    return 0;
}

static uint32_t sva_check_command(SVAEngine *e, uint32_t cmd)
{
    return sva_op_is_programmed(e, cmd) ? sva_check_access(e) :
           SVA_ST_ERROR | SVA_ST_BAD_PROGRAMMING;
}

static StallableResult sva_translate(SVAEngine *e, uint64_t addr,
                                     IOMMUAccessFlags flag,
                                     IOMMUTLBEntry *entry)
{
    PCIDevice *pdev = PCI_DEVICE(e->dev);
    StallableIOMMU *iommu = pci_device_stallable_iommu(pdev);

    if (iommu) {
        return STALLABLE_IOMMU_GET_CLASS(iommu)->translate(iommu, e->pasid,
                                                           addr, flag,
                                                           &e->client, entry);
    }
    if (e->pasid != PCI_NO_PASID) {
        return STALLABLE_ABORT; /* nobody knows what it means */
    }
    /* another IOMMU or none: the address space translates */
    *entry = (IOMMUTLBEntry) {
        .target_as = pci_get_address_space(pdev),
        .translated_addr = addr,
        .addr_mask = SVA_ACCESS_SIZE - 1,
        .perm = IOMMU_RW,
    };
    return STALLABLE_OK;
}

/* An access has been made, or has failed for good */
static void sva_settled(SVAEngine *e)
{
    e->accesses++;
    e->stalls_here = 0;
    if (e->steps) {
        e->steps--;
    }
}

/* What became of an access that did not go through */
static void sva_fault(SVAEngine *e, const SVAAccess *a, uint32_t how)
{
    e->fault_addr = a->addr;
    e->fault_how = how | (a->flag & IOMMU_WO ? SVA_FAULT_WRITE : 0);
    e->fault_time = qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL);
}

static void sva_aborted(SVAEngine *e, const SVAAccess *a)
{
    sva_fault(e, a, SVA_FAULT_ABORTED);
    e->aborts++;
    if (!sva_op_is_hammer(e->cmd)) {
        sva_finish(e, SVA_ST_ERROR);
        return;
    }
    if (e->expect == SVA_EXPECT_DONE || e->expect == SVA_EXPECT_PATTERN) {
        sva_violation(e, a->addr, SVA_BAD_ABORTED, 0);
    }
    sva_settled(e);
    sva_op_next_word(e);
}

/* Make the next access. False: the command waits, or has ended. */
static bool sva_access(SVAEngine *e)
{
    uint32_t status = sva_check_access(e);
    SVAAccess a = sva_op_access(e);
    IOMMUTLBEntry entry;
    hwaddr pa;

    if (status) {
        sva_finish(e, status);
        return false;
    }
    switch (sva_translate(e, a.addr, a.flag, &entry)) {
    case STALLABLE_STALLED:
        e->stalls++;
        e->stalls_here++;
        sva_fault(e, &a, SVA_FAULT_STALLED);
        trace_sva_engine_stall(e->index, a.addr, a.flag, e->stalls);
        return false;
    case STALLABLE_OK:
        pa = (entry.translated_addr & ~entry.addr_mask) |
             (a.addr & entry.addr_mask);
        if (sva_op_make(e, &a, entry.target_as, pa)) {
            sva_settled(e);
            if (sva_op_advance(e, &a)) {
                if (e->cmd == SVA_CMD_READ) {
                    e->data = e->first;
                }
                sva_finish(e, 0);
            }
            return e->cmd;
        }
        break;
    case STALLABLE_ABORT:
        break;
    }
    sva_aborted(e, &a);
    return e->cmd;
}

static void sva_tell_gave_up(SVAEngine *e)
{
    g_autofree char *path = object_get_canonical_path(OBJECT(e->dev));

    qapi_event_send_sva_testdev_gave_up(
        DEVICE(e->dev)->id, path, e->index, e->pasid != PCI_NO_PASID,
        e->pasid, e->fault_addr, e->stalls_here,
        qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL));
}

/* The stall has its response. False: that has ended the command. */
static bool sva_take_response(SVAEngine *e)
{
    SVAAccess a = sva_op_access(e);

    e->answered = false;
    if (e->response == STALL_ABORT) {
        sva_aborted(e, &a);
        return e->cmd;
    }
    if (e->max_stalls && e->stalls_here >= e->max_stalls) {
        sva_tell_gave_up(e);
        sva_finish(e, SVA_ST_ERROR | SVA_ST_GAVE_UP);
        return false;
    }
    e->retries++;
    return true;
}

/* Whether the next access may be made now; a retry is no next access */
static bool sva_may_go_on(SVAEngine *e)
{
    if (e->stalls_here) {
        return true;
    }
    if (e->stop) {
        sva_finish(e, 0);
        return false;
    }
    if (e->step && !e->steps) {
        e->status |= SVA_ST_PAUSED;
        return false;
    }
    return true;
}

static void sva_run(void *opaque)
{
    SVAEngine *e = opaque;
    uint32_t period = e->period_ns ?: SVA_HAMMER_PERIOD_NS;

    if (!e->cmd || e->client.stalled || !runstate_is_running()) {
        return; /* a stopped machine comes back to it: sva_vm_state() */
    }
    if (e->answered && !sva_take_response(e)) {
        return;
    }
    for (int i = 0; i < SVA_ACCESSES_AT_A_TIME; i++) {
        if (!sva_may_go_on(e) || !sva_access(e)) {
            return;
        }
        if (sva_op_is_hammer(e->cmd) && !e->stop) {
            timer_mod(e->timer,
                      qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL) + period);
            return;
        }
    }
    qemu_bh_schedule(e->bh);
}

static void sva_timer(void *opaque)
{
    SVAEngine *e = opaque;

    qemu_bh_schedule(e->bh);
}

static void sva_resume(StallClient *client, StallResponse response)
{
    SVAEngine *e = container_of(client, SVAEngine, client);

    e->response = response;
    e->answered = true;
    if (response == STALL_RETRY && e->retry_ns) {
        timer_mod(e->timer,
                  qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL) + e->retry_ns);
    } else {
        qemu_bh_schedule(e->bh);
    }
}

/* What is counted and found since CMD */
static void sva_clear_results(SVAEngine *e)
{
    e->status = 0;
    e->stalls = 0;
    e->stalls_here = 0;
    e->retries = 0;
    e->done = 0;
    e->fetched = 0;
    e->accesses = 0;
    e->aborts = 0;
    e->fault_addr = 0;
    e->fault_how = 0;
    e->fault_time = 0;
    e->bad_addr = 0;
    e->bad_value = 0;
    e->bad_access = 0;
    e->bad_count = 0;
    e->bad_how = 0;
    e->sum = 0;
    e->first = 0;
    e->steps = 0;
    e->stop = false;
}

void sva_start(SVAEngine *e, uint32_t cmd)
{
    uint32_t status;

    sva_clear_results(e);
    trace_sva_engine_start(e->index, cmd, e->addr, e->len, e->pasid);
    status = sva_check_command(e, cmd);
    if (status) {
        sva_finish(e, status);
        return;
    }
    e->cmd = cmd;
    e->status = SVA_ST_BUSY;
    sva_op_start(e);
    qemu_bh_schedule(e->bh);
}

void sva_engine_init(SVAEngine *e, SVATestDev *d, uint32_t index)
{
    e->dev = d;
    e->index = index;
    e->pasid = PCI_NO_PASID;
    e->client.resume = sva_resume;
    e->bh = qemu_bh_new_guarded(sva_run, e, &DEVICE(d)->mem_reentrancy_guard);
    e->buf = g_malloc(SVA_ACCESS_SIZE);
    e->timer = timer_new_ns(QEMU_CLOCK_VIRTUAL, sva_timer, e);
}

void sva_engine_exit(SVAEngine *e)
{
    sva_quiesce(e);
    qemu_bh_delete(e->bh);
    timer_free(e->timer);
    g_free(e->buf);
}

void sva_engine_reset(SVAEngine *e)
{
    sva_quiesce(e);
    sva_clear_results(e);
    e->cmd = 0;
    e->addr = 0;
    e->len = 0;
    e->pasid = PCI_NO_PASID;
    e->data = 0;
    e->data2 = 0;
    e->max_stalls = 0;
    e->retry_ns = 0;
    e->period_ns = 0;
    e->expect = SVA_EXPECT_ANY;
    e->step = 0;
}
