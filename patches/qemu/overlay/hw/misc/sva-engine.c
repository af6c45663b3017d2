/*
 * PCIe test device for shared virtual addressing (SVA): one DMA engine
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/log.h"
#include "qemu/main-loop.h"
#include "qemu/units.h"
#include "hw/pci/msix.h"
#include "qapi/qapi-events-sva-testdev.h"
#include "standard-headers/linux/pci_regs.h"
#include "sva-testdev-internal.h"
#include "trace.h"

/* A TLP does not cross such a boundary */
#define SVA_ACCESS_SIZE         (4 * KiB)
/* Then the main loop gets a chance; what is left is another bottom half */
#define SVA_ACCESSES_AT_A_TIME  256

static void sva_finish(SVAEngine *e, uint32_t status)
{
    trace_sva_engine_finish(e->index, status, e->done, e->stalls, e->retries);
    e->cmd = 0;
    e->answered = false;
    /* keep what was refused while the command ran */
    e->status = (e->status & SVA_ST_BAD_PROGRAMMING) | SVA_ST_DONE | status;
    msix_notify(PCI_DEVICE(e->dev), e->index);
}

/* Forget the access that is stalled and the retry that is due, if any */
static void sva_quiesce(SVAEngine *e)
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
    bool bad;

    switch (cmd) {
    case SVA_CMD_READ:
    case SVA_CMD_WRITE:
        bad = !e->len || e->addr + e->len - 1 < e->addr;
        break;
    case SVA_CMD_FETCH_ADD:
        bad = e->addr & 7;
        break;
    default:
        bad = true;
    }
    return bad ? SVA_ST_ERROR | SVA_ST_BAD_PROGRAMMING : sva_check_access(e);
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

static bool sva_fetch_add(SVAEngine *e, AddressSpace *as, hwaddr pa)
{
    dma_addr_t len = sizeof(uint64_t);
    uint64_t *p = dma_memory_map(as, pa, &len, DMA_DIRECTION_FROM_DEVICE,
                                 MEMTXATTRS_UNSPECIFIED);
    uint64_t old, cur;
    ram_addr_t offset;

    if (!p) {
        return false;
    }
    /* what is not RAM is mapped to a bounce buffer, and can't be atomic */
    if (len < sizeof(*p) || !memory_region_from_host(p, &offset)) {
        dma_memory_unmap(as, p, len, DMA_DIRECTION_FROM_DEVICE, 0);
        return false;
    }
    cur = qatomic_read(p);
    do {
        old = cur;
        cur = qatomic_cmpxchg(p, old,
                              cpu_to_le64(le64_to_cpu(old) + e->data));
    } while (cur != old);
    dma_memory_unmap(as, p, len, DMA_DIRECTION_FROM_DEVICE, sizeof(*p));
    e->data = le64_to_cpu(old);
    return true;
}

static bool sva_rw(SVAEngine *e, AddressSpace *as, hwaddr pa, uint32_t len)
{
    g_autofree uint8_t *buf = g_malloc(len);
    bool write = e->cmd == SVA_CMD_WRITE;

    if (write) {
        for (uint32_t i = 0; i < len; i++) {
            buf[i] = e->data >> (((e->done + i) & 7) * 8);
        }
    }
    if (address_space_rw(as, pa, MEMTXATTRS_UNSPECIFIED, buf, len, write)) {
        return false;
    }
    if (!write) {
        for (uint32_t i = 0; i < len; i++) {
            if (e->done + i < 8) {
                e->first |= (uint64_t)buf[i] << ((e->done + i) * 8);
            }
            e->sum += buf[i];
        }
    }
    return true;
}

static uint32_t sva_length(SVAEngine *e)
{
    return e->cmd == SVA_CMD_FETCH_ADD ? sizeof(uint64_t) : e->len;
}

/* Make the next access. False: the command waits, or has ended. */
static bool sva_access(SVAEngine *e)
{
    IOMMUAccessFlags flag = e->cmd == SVA_CMD_READ ? IOMMU_RO :
                            e->cmd == SVA_CMD_WRITE ? IOMMU_WO : IOMMU_RW;
    uint64_t addr = e->addr + e->done;
    uint32_t len = MIN(sva_length(e) - e->done,
                       SVA_ACCESS_SIZE - (addr & (SVA_ACCESS_SIZE - 1)));
    uint32_t status = sva_check_access(e);
    IOMMUTLBEntry entry;
    bool ok = false;
    hwaddr pa;

    if (status) {
        sva_finish(e, status);
        return false;
    }
    switch (sva_translate(e, addr, flag, &entry)) {
    case STALLABLE_STALLED:
        e->stalls++;
        e->stalls_here++;
        e->fault_addr = addr;
        trace_sva_engine_stall(e->index, addr, flag, e->stalls);
        return false;
    case STALLABLE_OK:
        pa = (entry.translated_addr & ~entry.addr_mask) |
             (addr & entry.addr_mask);
        ok = e->cmd == SVA_CMD_FETCH_ADD ?
             sva_fetch_add(e, entry.target_as, pa) :
             sva_rw(e, entry.target_as, pa, len);
        break;
    case STALLABLE_ABORT:
        break;
    }
    if (!ok) {
        e->fault_addr = addr;
        sva_finish(e, SVA_ST_ERROR);
        return false;
    }
    e->done += len;
    e->stalls_here = 0;
    return true;
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
    e->answered = false;
    if (e->response == STALL_ABORT) {
        sva_finish(e, SVA_ST_ERROR);
        return false;
    }
    if (e->max_stalls && e->stalls_here >= e->max_stalls) {
        sva_tell_gave_up(e);
        sva_finish(e, SVA_ST_ERROR | SVA_ST_GAVE_UP);
        return false;
    }
    e->retries++;
    return true;
}

static void sva_run(void *opaque)
{
    SVAEngine *e = opaque;

    if (!e->cmd || e->client.stalled) {
        return;
    }
    if (e->answered && !sva_take_response(e)) {
        return;
    }
    for (int i = 0; i < SVA_ACCESSES_AT_A_TIME; i++) {
        if (!sva_access(e)) {
            return;
        }
        if (e->done == sva_length(e)) {
            if (e->cmd == SVA_CMD_READ) {
                e->data = e->first;
            }
            sva_finish(e, 0);
            return;
        }
    }
    qemu_bh_schedule(e->bh);
}

static void sva_retry_timer(void *opaque)
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

static void sva_start(SVAEngine *e, uint32_t cmd)
{
    uint32_t status;

    e->status = 0;
    e->stalls = 0;
    e->stalls_here = 0;
    e->retries = 0;
    e->done = 0;
    e->fault_addr = 0;
    e->sum = 0;
    e->first = 0;
    trace_sva_engine_start(e->index, cmd, e->addr, e->len, e->pasid);
    status = sva_check_command(e, cmd);
    if (status) {
        sva_finish(e, status);
        return;
    }
    e->cmd = cmd;
    e->status = SVA_ST_BUSY;
    qemu_bh_schedule(e->bh);
}

void sva_engine_init(SVAEngine *e, SVATestDev *d, uint32_t index)
{
    e->dev = d;
    e->index = index;
    e->pasid = PCI_NO_PASID;
    e->client.resume = sva_resume;
    e->bh = qemu_bh_new_guarded(sva_run, e, &DEVICE(d)->mem_reentrancy_guard);
    e->timer = timer_new_ns(QEMU_CLOCK_VIRTUAL, sva_retry_timer, e);
}

void sva_engine_exit(SVAEngine *e)
{
    sva_quiesce(e);
    qemu_bh_delete(e->bh);
    timer_free(e->timer);
}

void sva_engine_reset(SVAEngine *e)
{
    sva_quiesce(e);
    e->cmd = 0;
    e->addr = 0;
    e->len = 0;
    e->pasid = PCI_NO_PASID;
    e->data = 0;
    e->data2 = 0;
    e->status = 0;
    e->stalls = 0;
    e->retries = 0;
    e->max_stalls = 0;
    e->retry_ns = 0;
    e->done = 0;
    e->fault_addr = 0;
    e->sum = 0;
}

uint64_t sva_engine_read(const SVAEngine *e, hwaddr reg)
{
    switch (reg) {
    case SVA_ENG_ADDR:
        return e->addr;
    case SVA_ENG_LEN:
        return e->len | (uint64_t)e->pasid << 32;
    case SVA_ENG_DATA:
        return e->data;
    case SVA_ENG_DATA2:
        return e->data2;
    case SVA_ENG_CMD:
        return (uint64_t)e->status << 32;
    case SVA_ENG_STALLS:
        return e->stalls | (uint64_t)e->retries << 32;
    case SVA_ENG_MAX_STALLS:
        return e->max_stalls | (uint64_t)e->retry_ns << 32;
    case SVA_ENG_ABORT:
        return (uint64_t)e->done << 32;
    case SVA_ENG_FAULT_ADDR:
        return e->fault_addr;
    case SVA_ENG_SUM:
        return e->sum;
    default:
        return 0;
    }
}

void sva_engine_write(SVAEngine *e, hwaddr reg, uint32_t v)
{
    if (reg == SVA_ENG_ABORT) {
        if (e->status & SVA_ST_BUSY) {
            sva_quiesce(e);
            sva_finish(e, SVA_ST_ERROR);
        }
        return;
    }
    if (e->status & SVA_ST_BUSY) {
        e->status |= SVA_ST_BAD_PROGRAMMING;
        return;
    }
    switch (reg) {
    case SVA_ENG_ADDR:
        e->addr = deposit64(e->addr, 0, 32, v);
        break;
    case SVA_ENG_ADDR + 4:
        e->addr = deposit64(e->addr, 32, 32, v);
        break;
    case SVA_ENG_LEN:
        e->len = v;
        break;
    case SVA_ENG_PASID:
        e->pasid = v;
        break;
    case SVA_ENG_DATA:
        e->data = deposit64(e->data, 0, 32, v);
        break;
    case SVA_ENG_DATA + 4:
        e->data = deposit64(e->data, 32, 32, v);
        break;
    case SVA_ENG_DATA2:
        e->data2 = deposit64(e->data2, 0, 32, v);
        break;
    case SVA_ENG_DATA2 + 4:
        e->data2 = deposit64(e->data2, 32, 32, v);
        break;
    case SVA_ENG_CMD:
        sva_start(e, v);
        break;
    case SVA_ENG_MAX_STALLS:
        e->max_stalls = v;
        break;
    case SVA_ENG_RETRY_NS:
        e->retry_ns = v;
        break;
    default:
        qemu_log_mask(LOG_GUEST_ERROR, "%s: write to engine register 0x%"
                      HWADDR_PRIx "\n", TYPE_SVA_TESTDEV, reg);
    }
}
