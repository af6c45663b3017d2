/*
 * ARM SMMUv3: what shared virtual addressing needs
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * State that is added to SMMUv3State. Functions: hw/arm/smmuv3-sva-internal.h
 */

#ifndef HW_ARM_SMMUV3_SVA_H
#define HW_ARM_SMMUV3_SVA_H

#include "qemu/queue.h"
#include "qemu/stats64.h"

#define SMMU_SVA_CMD_TYPES      0x47    /* up to CMD_SYNC */
#define SMMU_SVA_EVENT_TYPES    0x25    /* up to E_PAGE_REQUEST */

typedef struct SMMUv3Stall SMMUv3Stall;

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
} SMMUv3SVAStats;

typedef struct SMMUv3SVA {
    /* properties */
    uint8_t ssidsize;           /* bits of SubstreamID, 0: no substreams */
    uint8_t oas;                /* output address bits */
    bool stall;                 /* stall model as well as terminate model */

    /* stalled accesses (BQL) */
    QTAILQ_HEAD(, SMMUv3Stall) stalls;
    uint32_t outstanding;
    uint32_t recorded;          /* those of them that software knows of */
    uint16_t next_stag;
    Error *migration_blocker;

    SMMUv3SVAStats stats;
} SMMUv3SVA;

#endif
