/*
 * DMA that an IOMMU may stall
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_ARM_STALLABLE_IOMMU_H
#define HW_ARM_STALLABLE_IOMMU_H

#include "exec/memory.h"
#include "hw/pci/pci_device.h"
#include "qom/object.h"

/*
 * An IOMMU that can hold ("stall") a faulting access until software has
 * repaired its cause. The IOMMUMemoryRegion of a device's address space
 * implements this interface; translate() of the region itself can't wait,
 * and knows no PASID.
 *
 * All functions and callbacks are called with the BQL held.
 */
#define TYPE_STALLABLE_IOMMU "stallable-iommu"

typedef struct StallableIOMMU StallableIOMMU;
typedef struct StallableIOMMUClass StallableIOMMUClass;
DECLARE_CLASS_CHECKERS(StallableIOMMUClass, STALLABLE_IOMMU,
                       TYPE_STALLABLE_IOMMU)
#define STALLABLE_IOMMU(obj) \
    INTERFACE_CHECK(StallableIOMMU, (obj), TYPE_STALLABLE_IOMMU)

typedef enum StallableResult {
    STALLABLE_OK,       /* translated */
    STALLABLE_STALLED,  /* held, client->resume() comes later */
    STALLABLE_ABORT,    /* terminated with an abort */
} StallableResult;

typedef enum StallResponse {
    STALL_RETRY,        /* translate again, as if the access had just arrived */
    STALL_ABORT,        /* terminated with an abort */
} StallResponse;

/* Whoever issues the accesses, one at a time */
typedef struct StallClient StallClient;
struct StallClient {
    /*
     * The response to a stall. The IOMMU is in the middle of a command or of
     * a register write of the guest, and holds its own lock: do no more here
     * than to schedule a bottom half.
     */
    void (*resume)(StallClient *client, StallResponse response);
    /* Set and cleared by the IOMMU */
    bool stalled;
};

/* What the IOTLB holds for an address */
typedef struct IOTLBProbe {
    bool cached;
    bool readable;      /* for the access that was asked about */
    bool writable;
    uint8_t level;      /* of the translation table */
    uint8_t granule;    /* log2 of its granule's size */
} IOTLBProbe;

/* Since the machine was created; a reset does not clear them */
typedef struct StallableCounters {
    uint64_t tlbi;              /* TLB invalidation commands */
    uint64_t stalls;
    uint64_t resumes;           /* CMD_RESUME, of any kind */
    uint64_t capacity_losses;   /* IOTLB evictions and full flushes */
    uint64_t hit_perm_faults;   /* faults of a cached entry, without a walk */
} StallableCounters;

struct StallableIOMMUClass {
    InterfaceClass parent_class;

    /*
     * translate: one access that does not cross a page; @pasid may be
     * PCI_NO_PASID. @entry is valid only with STALLABLE_OK. With
     * STALLABLE_STALLED @client may not translate again before it is resumed.
     */
    StallableResult (*translate)(StallableIOMMU *iommu, uint32_t pasid,
                                 hwaddr addr, IOMMUAccessFlags flag,
                                 StallClient *client, IOMMUTLBEntry *entry);

    /* cancel: the access of @client that is stalled, if any, is gone */
    void (*cancel)(StallableIOMMU *iommu, StallClient *client);

    /* probe: look into the IOTLB; nothing is walked, counted or changed */
    void (*probe)(StallableIOMMU *iommu, uint32_t pasid, hwaddr addr,
                  IOTLBProbe *probe);

    void (*get_counters)(StallableIOMMU *iommu, StallableCounters *counters);
};

/* The IOMMU in front of @pdev, or NULL if that has none which can stall */
StallableIOMMU *pci_device_stallable_iommu(PCIDevice *pdev);

#endif
