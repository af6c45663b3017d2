/*
 * ARM SMMUv3: what shared virtual addressing needs
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * State that is added to SMMUv3State. Functions: hw/arm/smmuv3-sva-internal.h
 */

#ifndef HW_ARM_SMMUV3_SVA_H
#define HW_ARM_SMMUV3_SVA_H

#include "hw/qdev-properties.h"
#include "qemu/notify.h"
#include "qemu/thread.h"
#include "qemu/queue.h"
#include "qemu/stats64.h"

#define SMMU_SVA_CMD_TYPES      0x47    /* up to CMD_SYNC */
#define SMMU_SVA_EVENT_TYPES    0x25    /* up to E_PAGE_REQUEST */

typedef struct SMMUv3Stall SMMUv3Stall;
typedef struct SMMUv3Migration SMMUv3Migration;
typedef struct StallClient StallClient;

/* Property "httu", encoded as IDR0.HTTU */
typedef enum SMMUv3HTTU {
    SMMUV3_HTTU_NONE,
    SMMUV3_HTTU_ACCESS,
    SMMUV3_HTTU_DIRTY,
} SMMUv3HTTU;

/* Property "btm" */
typedef enum SMMUv3BTM {
    SMMUV3_BTM_OFF,
    SMMUV3_BTM_ON,
    SMMUV3_BTM_FORCE,   /* even if CR2.PTM is set */
} SMMUv3BTM;

/* Property "stall" */
typedef enum SMMUv3StallModel {
    SMMUV3_STALL_OFF,   /* terminate only: IDR0.STALL_MODEL 0b01 */
    SMMUV3_STALL_ON,    /* stall or terminate: 0b00 */
    SMMUV3_STALL_FORCE, /* stall only: 0b10 */
} SMMUv3StallModel;

extern const PropertyInfo smmuv3_prop_stall;
extern const PropertyInfo smmuv3_prop_httu;
extern const PropertyInfo smmuv3_prop_btm;

#define SMMUV3_SVA_PROPERTIES                                               \
    /* Bits of SubstreamID, 0: no substreams */                             \
    DEFINE_PROP_UINT8("ssidsize", SMMUv3State, sva.ssidsize, 0),            \
    /* Stall model as well as terminate model, or alone */                  \
    DEFINE_PROP_SIGNED("stall", SMMUv3State, sva.stall, SMMUV3_STALL_OFF,   \
                       smmuv3_prop_stall, SMMUv3StallModel),                \
    /* Output address bits; Linux wants no less than the CPU's for SVA */   \
    DEFINE_PROP_UINT8("oas", SMMUv3State, sva.oas, 44),                     \
    /* Hardware update of translation tables */                             \
    DEFINE_PROP_SIGNED("httu", SMMUv3State, sva.httu, SMMUV3_HTTU_NONE,     \
                       smmuv3_prop_httu, SMMUv3HTTU),                       \
    /* Invalidation that CPUs broadcast */                                  \
    DEFINE_PROP_SIGNED("btm", SMMUv3State, sva.btm, SMMUV3_BTM_OFF,         \
                       smmuv3_prop_btm, SMMUv3BTM),                         \
    /* One IOTLB entry for a whole run of contiguous descriptors */         \
    DEFINE_PROP_BOOL("contiguous", SMMUv3State,                             \
                     smmu_state.iotlb_contiguous, false),                   \
    /* Walks that end in a permission fault are cached */                   \
    DEFINE_PROP_BOOL("cache-faults", SMMUv3State, smmu_state.iotlb_faults,  \
                     false),                                                \
    /* Records that the journal keeps, 0: none */                           \
    DEFINE_PROP_UINT32("journal-size", SMMUv3State, sva.journal.size, 1024)

/*
 * Never cleared. Some DMA comes without the BQL, and its faults are recorded
 * without the SMMU's lock: hence Stat64.
 */
typedef struct SMMUv3SVAStats {
    Stat64 cmd[SMMU_SVA_CMD_TYPES];     /* consumed without error */
    Stat64 event[SMMU_SVA_EVENT_TYPES]; /* written to the event queue */
    Stat64 events_lost;
    Stat64 stalls;
    Stat64 stalls_unrecorded;           /* no record could be written then */
    Stat64 resume_retry;
    Stat64 resume_abort;                /* terminated, Ab == 1 */
    Stat64 resume_term;                 /* terminated, Ab == 0 */
    Stat64 resume_nomatch;
    Stat64 stall_term;                  /* stalls ended by CMD_STALL_TERM */
    Stat64 stall_disable;               /* ... by SMMUEN = 0 or a reset */
    Stat64 stall_cancel;                /* ... by the device */
    Stat64 btm_received;                /* broadcasts that were obeyed ... */
    Stat64 btm_invalidated;             /* ... and entries that they hit */
    Stat64 btm_ignored;                 /* private tables, or another VMID */
} SMMUv3SVAStats;

typedef enum SMMUv3JournalKind {
    SMMUV3_JOURNAL_FAULT,       /* and the access was terminated */
    SMMUV3_JOURNAL_STALL,
    SMMUV3_JOURNAL_RETRY,       /* CMD_RESUME ... */
    SMMUV3_JOURNAL_ABORT,       /* ... with Ab == 1 */
    SMMUV3_JOURNAL_TERMINATE,   /* ... with Ab == 0 */
    SMMUV3_JOURNAL_NO_MATCH,    /* ... of what is not stalled */
    SMMUV3_JOURNAL_REISSUE,     /* a stall without a record is tried again */
    SMMUV3_JOURNAL_STALL_TERM,  /* a stall ends by CMD_STALL_TERM ... */
    SMMUV3_JOURNAL_DISABLE,     /* ... by SMMUEN = 0 or a reset */
    SMMUV3_JOURNAL_CANCEL,      /* ... by the device */
    SMMUV3_JOURNAL_COMMAND,     /* CMD_TLBI_*, CMD_CFGI_* */
    SMMUV3_JOURNAL_BROADCAST,   /* a CPU's TLBI */
    SMMUV3_JOURNAL_EVICTION,    /* of one entry, to make room */
    SMMUV3_JOURNAL_FULL_FLUSH,  /* of all entries, to make room */
} SMMUv3JournalKind;

typedef struct SMMUv3JournalRecord {
    uint64_t sequence;          /* from 0, without gaps */
    int64_t ns;                 /* virtual time */
    uint32_t kind;              /* SMMUv3JournalKind */
    uint8_t what;               /* type of the event or command */
    bool has_addr;
    uint32_t sid;               /* UINT32_MAX: none */
    uint32_t ssid;              /* PCI_NO_PASID: none */
    int32_t stag;               /* -1: none, as for the next two */
    int32_t asid;
    int32_t vmid;
    uint64_t addr;
    uint64_t size;              /* bytes; 0: of a page, whatever that is */
} SMMUv3JournalRecord;

typedef struct SMMUv3Journal {
    QemuMutex lock;
    uint32_t size;              /* property */
    uint64_t next;              /* sequence number */
    SMMUv3JournalRecord *records;
} SMMUv3Journal;

typedef struct SMMUv3SVA {
    /* properties */
    uint8_t ssidsize;           /* bits of SubstreamID, 0: no substreams */
    uint8_t oas;                /* output address bits */
    SMMUv3StallModel stall;
    SMMUv3HTTU httu;
    SMMUv3BTM btm;
    Notifier tlbi_listener;

    /* stalled accesses (BQL) */
    QTAILQ_HEAD(, SMMUv3Stall) stalls;
    uint32_t outstanding;
    uint32_t recorded;          /* those of them that software knows of */
    uint16_t next_stag;
    uint64_t next_ticket;
    QTAILQ_HEAD(, StallClient) unclaimed; /* loaded before their stalls */
    SMMUv3Migration *migration;

    SMMUv3Journal journal;

    SMMUv3SVAStats stats;
} SMMUv3SVA;

#endif
