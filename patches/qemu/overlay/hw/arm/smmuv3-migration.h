/*
 * ARM SMMUv3: what migrates of the IOTLB and of the configuration cache
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_ARM_SMMUV3_MIGRATION_H
#define HW_ARM_SMMUV3_MIGRATION_H

#include "migration/vmstate.h"
#include "hw/arm/smmuv3.h"

typedef struct SMMUv3SavedEntry {
    uint64_t iova;
    uint64_t addr_mask;
    uint64_t translated_addr;
    uint64_t desc;
    uint64_t desc_addr;
    uint64_t desc_s2;
    uint64_t ipa;
    uint64_t s1_mask;
    int32_t asid;
    int32_t vmid;
    uint32_t sid;
    uint32_t ssid;
    uint8_t perm;
    uint8_t parent_perm;
    uint8_t level;
    uint8_t granule;
    uint8_t s1_level;
    uint8_t s1_granule;
    uint8_t clean;
    bool aset;
    bool global;
    bool contiguous;
} SMMUv3SavedEntry;

typedef struct SMMUv3SavedConfig {
    uint32_t sid;
    uint32_t ssid;
    SMMUTransCfg cfg;           /* but for cfg.key */
} SMMUv3SavedConfig;

extern const VMStateDescription vmstate_smmuv3_entry;
extern const VMStateDescription vmstate_smmuv3_config;

/* All that is cached: an array of *@nr, which was 0, for g_free(), or NULL */
SMMUv3SavedConfig *smmuv3_save_configs(SMMUv3State *s, int32_t *nr);
SMMUv3SavedEntry *smmuv3_save_iotlb(SMMUv3State *s, int32_t *nr);

/* What is of a device that is not there any more is left out */
void smmuv3_load_configs(SMMUv3State *s, SMMUv3SavedConfig *configs,
                         int32_t nr);
void smmuv3_load_iotlb(SMMUv3State *s, const SMMUv3SavedEntry *entries,
                       int32_t nr);

#endif
