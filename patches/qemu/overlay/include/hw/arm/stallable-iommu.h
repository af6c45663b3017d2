/*
 * DMA that an IOMMU may stall
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_ARM_STALLABLE_IOMMU_H
#define HW_ARM_STALLABLE_IOMMU_H

#include "system/dma.h"
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
    /* Set and cleared by the IOMMU; both migrate with the client */
    bool stalled;
    uint64_t ticket;    /* which stall, for claim() */
    QTAILQ_ENTRY(StallClient) unclaimed; /* the IOMMU's */
};

/* What the IOTLB holds for an address */
typedef struct IOTLBProbe {
    bool cached;
    bool readable;      /* for the access that was asked about */
    bool writable;
    uint8_t level;      /* of the translation table */
    uint8_t granule;    /* log2 of its granule's size */
} IOTLBProbe;

/* How an entry of the IOTLB differs from the tables that it came from */
typedef enum IOTLBDiffKind {
    IOTLB_RESTRICTIVE,  /* permits less than the tables */
    IOTLB_PERMISSIVE,   /* permits more */
    IOTLB_WRONG_PAGE,   /* leads to another page */
    IOTLB_UNMAPPED,     /* leads somewhere, the tables nowhere */
    IOTLB_DIFF_KINDS,
} IOTLBDiffKind;

/* Why a walk leads nowhere */
typedef enum IOTLBWalkEnd {
    IOTLB_WALK_OK,
    IOTLB_WALK_TRANSLATION,     /* invalid descriptor, or walks disabled */
    IOTLB_WALK_ADDRESS_SIZE,    /* output address too wide */
    IOTLB_WALK_ABORT,           /* no memory where a table should be */
    IOTLB_WALK_STAGE_2,         /* stage 2 denies it */
    IOTLB_WALK_NO_TABLE,        /* nothing is configured with this ASID */
} IOTLBWalkEnd;

/* What the IOTLB, or a walk, says of the first byte of a difference */
typedef struct IOTLBSide {
    bool readable;
    bool writable;
    uint8_t level;              /* of the table where the walk ended */
    uint64_t descriptor;        /* stage 1, as read from memory */
    hwaddr address;             /* output */
} IOTLBSide;

typedef struct IOTLBDiff {
    IOTLBDiffKind kind;
    IOTLBWalkEnd end;
    uint32_t sid;               /* StreamID that the entry was filled for */
    uint32_t pasid;             /* ... and SubstreamID, or PCI_NO_PASID */
    int asid;                   /* -1: global */
    int vmid;                   /* -1: none */
    hwaddr iova;
    uint64_t size;              /* bytes that differ in this way */
    uint8_t granule;            /* of the entry, log2 */
    IOTLBSide cached;
    IOTLBSide walked;
} IOTLBDiff;

typedef struct IOTLBAudit {
    uint64_t entries;           /* that were compared */
    uint64_t count[IOTLB_DIFF_KINDS];
    bool incomplete;            /* too much to compare: not all was */
    GArray *diffs;              /* of IOTLBDiff, the first max_diffs */
    uint32_t max_diffs;
} IOTLBAudit;

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

    /*
     * claim: @client has been loaded, with stalled and ticket as they were
     * saved. The IOMMU's own state may come earlier or later.
     */
    void (*claim)(StallableIOMMU *iommu, StallClient *client);

    /* probe: look into the IOTLB; nothing is walked, counted or changed */
    void (*probe)(StallableIOMMU *iommu, uint32_t pasid, hwaddr addr,
                  IOTLBProbe *probe);

    /*
     * audit: compare what the IOTLB holds with what a walk finds now. Nothing
     * is counted or changed, in the IOMMU and in memory. @audit is zeroed, but
     * for diffs and max_diffs.
     */
    void (*audit)(StallableIOMMU *iommu, IOTLBAudit *audit);

    void (*get_counters)(StallableIOMMU *iommu, StallableCounters *counters);
};

/* The IOMMU in front of @pdev, or NULL if that has none which can stall */
StallableIOMMU *pci_device_stallable_iommu(PCIDevice *pdev);

#endif
