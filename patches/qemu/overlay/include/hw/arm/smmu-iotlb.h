/*
 * ARM SMMU: substreams in the configuration cache, size of the IOTLB
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_ARM_SMMU_IOTLB_H
#define HW_ARM_SMMU_IOTLB_H

#include "qemu/stats64.h"

typedef struct SMMUState SMMUState;
typedef struct SMMUDevice SMMUDevice;
typedef struct SMMUIOTLBKey SMMUIOTLBKey;
typedef struct SMMUTLBEntry SMMUTLBEntry;
typedef struct SMMUTransCfg SMMUTransCfg;

/* Key of the configuration cache */
typedef struct SMMUConfigKey {
    SMMUDevice *sdev;
    uint32_t ssid;              /* PCI_NO_PASID for no substream */
} SMMUConfigKey;

/* Never cleared. Some DMA comes without the BQL: hence Stat64. */
typedef struct SMMUIOTLBStats {
    Stat64 hits;
    Stat64 misses;
    Stat64 inserts;
    Stat64 evictions;           /* single entries, to make room for a new one */
    Stat64 full_flushes;        /* all entries, to make room for a new one */
    Stat64 hit_perm_faults;     /* faults of a cached entry, without a walk */
} SMMUIOTLBStats;

guint smmu_config_key_hash(gconstpointer v);
gboolean smmu_config_key_equal(gconstpointer v1, gconstpointer v2);

/* Drop the configuration of all substreams of @sdev, and of none */
void smmu_configs_inv_sdev(SMMUState *s, SMMUDevice *sdev);

/* Drop what was decoded from the CD at index @ssid of the table of @sdev */
void smmu_configs_inv_cd(SMMUState *s, SMMUDevice *sdev, uint32_t ssid);

/*
 * Add @entry, which then belongs to the IOTLB, as does @key. What gives way
 * to it, if the IOTLB is full, depends on its size:
 * - SMMU_IOTLB_MAX_SIZE, the default: everything;
 * - 0: no entry is ever found again, each is freed when the next one comes;
 * - any other: the oldest entry.
 */
void smmu_iotlb_add(SMMUState *s, SMMUIOTLBKey *key, SMMUTLBEntry *entry);

/* The entry that would translate @iova; not counted as a hit or a miss */
SMMUTLBEntry *smmu_iotlb_peek(SMMUState *s, SMMUTransCfg *cfg, hwaddr iova);

/* GDestroyNotify of the IOTLB's entries */
void smmu_iotlb_entry_free(gpointer entry);

#endif
