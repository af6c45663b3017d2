/*
 * ARM SMMU: substreams in the configuration cache, what the IOTLB holds
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_ARM_SMMU_IOTLB_H
#define HW_ARM_SMMU_IOTLB_H

#include "system/dma.h"
#include "qemu/stats64.h"

typedef struct SMMUState SMMUState;
typedef struct SMMUDevice SMMUDevice;
typedef struct SMMUIOTLBKey SMMUIOTLBKey;
typedef struct SMMUTLBEntry SMMUTLBEntry;
typedef struct SMMUTransCfg SMMUTransCfg;
typedef struct SMMUPTWEventInfo SMMUPTWEventInfo;

/* SMMUTLBEntry.clean: which stage's descriptor a write would make dirty */
#define SMMU_CLEAN_S1   (1 << 0)
#define SMMU_CLEAN_S2   (1 << 1)

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
    Stat64 httu_access;         /* access flags set in memory */
    Stat64 httu_dirty;          /* descriptors made dirty in memory */
    Stat64 httu_races;          /* updates that somebody else was faster than */
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

/* ASID of the key of global entries; plus CD.ASET, which has to match */
#define SMMU_IOTLB_ASID_GLOBAL  0x10000

/*
 * The entry of @key's level and granule that translates @iova: of the ASID of
 * @key, or global; of one descriptor, or of a contiguous run
 */
SMMUTLBEntry *smmu_iotlb_find(SMMUState *s, SMMUTransCfg *cfg, SMMUIOTLBKey key,
                              hwaddr iova);

/* The level that @ttl means with @tg (IHI 0070 4.4.1.1). 0: any. */
static inline uint8_t smmu_ttl(uint8_t tg, uint8_t ttl)
{
    return tg == 2 && ttl == 1 ? 0 : ttl; /* 16K has no blocks there */
}

/*
 * Whether @entry survives a CMD_TLBI of its address: with @tg, only entries of
 * that granule go, and with @ttl too, only those of that level (IHI 0070
 * 4.4.1.1). Both are 0 for any; without @tg, @ttl says nothing.
 */
bool smmu_iotlb_spared(const SMMUTLBEntry *entry, uint8_t tg, uint8_t ttl);

/* @iova without the top byte, if the CD ignores that (CD.TBI) */
hwaddr smmu_untagged(const SMMUTransCfg *cfg, hwaddr iova);

/* The entry that would translate @iova; not counted as a hit or a miss */
SMMUTLBEntry *smmu_iotlb_peek(SMMUState *s, SMMUTransCfg *cfg, hwaddr iova);

/*
 * smmu_leaf_s1 - check and update a leaf descriptor of stage 1
 * @desc_ipa: where it is, as stage 1 says; @tlbe->desc_addr: the physical
 *            address
 * @aptable: APTable of all tables on the way
 * @perm: the access
 * @tlbe: all but the permissions, which are filled in here
 *
 * Returns 0, -EAGAIN if the descriptor has changed meanwhile, or another error
 * with @info filled.
 */
int smmu_leaf_s1(SMMUState *bs, SMMUTransCfg *cfg, dma_addr_t desc_ipa,
                 uint8_t aptable, IOMMUAccessFlags perm, SMMUTLBEntry *tlbe,
                 SMMUPTWEventInfo *info);

/* smmu_leaf_s2 - the same for stage 2; @ipa: of the access */
int smmu_leaf_s2(SMMUState *bs, SMMUTransCfg *cfg, dma_addr_t ipa,
                 IOMMUAccessFlags perm, SMMUTLBEntry *tlbe,
                 SMMUPTWEventInfo *info);

/*
 * An access of @flag needs a walk though @entry is cached: it is a write, and
 * all that @entry lacks is to be marked dirty in memory (IHI 0070 3.13.3).
 */
bool smmu_write_makes_dirty(const SMMUTLBEntry *entry, IOMMUAccessFlags flag);

/*
 * @entry is in the IOTLB. Returns true, with @info filled, if it does not
 * permit an access of @flag to @addr.
 */
bool smmu_hit_fault(SMMUState *s, SMMUTransCfg *cfg, const SMMUTLBEntry *entry,
                    hwaddr addr, IOMMUAccessFlags flag,
                    SMMUPTWEventInfo *info);

/* A walk ended in the fault of @info: @entry is to be cached all the same */
bool smmu_caches_fault(SMMUState *s, SMMUTransCfg *cfg,
                       const SMMUTLBEntry *entry,
                       const SMMUPTWEventInfo *info);

/* Log2 of the descriptors in a contiguous run; 0: no run is at that level */
int smmu_contiguous_shift(int level, int granule_sz);

/* Bits 51:48 of the address in a descriptor, where it has so many */
uint64_t smmu_pte_address_52(uint64_t pte, int granule_sz, int oas);

/*
 * What @entry, of stage 1, has from stage 2's @s2; its address and size are
 * those of the combination already
 */
void smmu_combine(SMMUTLBEntry *entry, const SMMUTLBEntry *s2);

/* Which entries a broadcast is about. VMID -1: any; ASID -1: any. */
typedef struct SMMUIOTLBMatch {
    int vmid;
    int asid;
    bool and_global;    /* entries of no ASID too */
    bool shared_only;   /* only what CDs with ASET == 0 have filled */
    bool stage_2;       /* entries of stage 2 alone, not of stage 1 */
    bool any_stage;
    bool by_addr;       /* addr; size 0: the entry that contains it */
    uint64_t addr;
    uint64_t size;
} SMMUIOTLBMatch;

/* Invalidate what matches; how many entries that was */
unsigned smmu_iotlb_inv_match(SMMUState *s, SMMUIOTLBMatch *m);

/* The IOTLB gives @entry up to make room, or all (NULL): for the journal */
void smmuv3_journal_eviction(SMMUState *s, const SMMUTLBEntry *entry);

/* GDestroyNotify of the IOTLB's entries */
void smmu_iotlb_entry_free(gpointer entry);

#endif
