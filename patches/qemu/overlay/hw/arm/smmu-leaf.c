/*
 * ARM SMMU: leaf descriptors, what they permit and how hardware updates them
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * IHI 0070: 3.13 Translation tables and Access flag/Dirty state (HTTU).
 * Arm ARM: D8.4 permissions, D8.5 hardware management of the two flags, D8.7.1
 * the Contiguous bit.
 *
 * A descriptor is updated by compare-and-swap in guest memory, where a CPU
 * may change it at the same time; whoever loses the race walks again.
 */

#include "qemu/osdep.h"
#include "hw/arm/smmu-common.h"
#include "system/dma.h"
#include "smmu-internal.h"

#define PTE_AF_MASK     BIT_ULL(10)
#define PTE_NG(pte)     extract64(pte, 11, 1)
#define PTE_DBM(pte)    extract64(pte, 51, 1)
#define PTE_CONTIGUOUS(pte) extract64(pte, 52, 1)
/* Stage 1: AP[2], no writes. Stage 2: S2AP[1], writes. */
#define PTE_DIRTY_MASK  BIT_ULL(7)

/* Returns 0, -EAGAIN if *@pa is no longer @old, -EINVAL if it can't be */
static int smmu_desc_cmpxchg(hwaddr pa, uint64_t old, uint64_t new)
{
    dma_addr_t len = sizeof(new);
    uint64_t *p = dma_memory_map(&address_space_memory, pa, &len,
                                 DMA_DIRECTION_FROM_DEVICE,
                                 MEMTXATTRS_UNSPECIFIED);
    bool done = false;
    ram_addr_t offset;

    if (!p) {
        return -EINVAL;
    }
    /* what is not RAM is mapped to a bounce buffer, and can't be atomic */
    if (len < sizeof(new) || !memory_region_from_host(p, &offset)) {
        dma_memory_unmap(&address_space_memory, p, len,
                         DMA_DIRECTION_FROM_DEVICE, 0);
        return -EINVAL;
    }
    done = qatomic_cmpxchg(p, cpu_to_le64(old), cpu_to_le64(new)) ==
           cpu_to_le64(old);
    dma_memory_unmap(&address_space_memory, p, len,
                     DMA_DIRECTION_FROM_DEVICE, done ? sizeof(new) : 0);
    return done ? 0 : -EAGAIN;
}

/* Make the descriptor of @tlbe, at physical address @pa, to be @desc */
static int smmu_desc_update(SMMUState *bs, SMMUTLBEntry *tlbe, hwaddr pa,
                            uint64_t desc, SMMUStage stage,
                            SMMUPTWEventInfo *info)
{
    uint64_t changed = tlbe->desc ^ desc;
    int ret;

    if (!changed || info->no_update) {
        return 0;
    }
    ret = smmu_desc_cmpxchg(pa, tlbe->desc, desc);
    if (ret == -EAGAIN) {
        stat64_add(&bs->iotlb_stats.httu_races, 1);
        return ret;
    }
    if (ret) {
        info->type = SMMU_PTW_ERR_WALK_EABT;
        info->stage = stage;
        info->addr = pa;
        return ret;
    }
    if (changed & PTE_AF_MASK) {
        stat64_add(&bs->iotlb_stats.httu_access, 1);
    }
    if (changed & PTE_DIRTY_MASK) {
        stat64_add(&bs->iotlb_stats.httu_dirty, 1);
    }
    tlbe->desc = desc;
    return 0;
}

/* @ipa: of stage 2 alone */
static int smmu_leaf_fault(SMMUPTWEventType type, SMMUStage stage, hwaddr ipa,
                           SMMUTLBEntry *tlbe, SMMUPTWEventInfo *info)
{
    info->type = type;
    info->stage = stage;
    info->addr = ipa;
    return -EINVAL;
}

uint64_t smmu_pte_address_52(uint64_t pte, int granule_sz, int oas)
{
    return oas == 52 && granule_sz == 16 ? extract64(pte, 12, 4) << 48 : 0;
}

int smmu_contiguous_shift(int level, int granule_sz)
{
    switch (granule_sz) {
    case 12:
        return level >= 1 ? 4 : 0;
    case 14:
        return level == 3 ? 7 : level == 2 ? 5 : 0;
    default:
        return level >= 2 ? 5 : 0;
    }
}

/*
 * Make @tlbe one entry for the whole run that its descriptor is part of, if
 * the run is one: as many valid descriptors as there should be, all with the
 * bit, which map consecutive addresses. What it permits is what the one
 * descriptor says that was walked: no more is read by hardware.
 */
static void smmu_leaf_contiguous(SMMUState *bs, SMMUTLBEntry *tlbe)
{
    int shift = smmu_contiguous_shift(tlbe->level, tlbe->granule);
    uint64_t size = tlbe->entry.addr_mask + 1;
    hwaddr table = tlbe->desc_addr & ~MAKE_64BIT_MASK(0, shift + 3);
    uint64_t first = 0;

    tlbe->contiguous = false;
    if (!bs->iotlb_contiguous || !shift || !PTE_CONTIGUOUS(tlbe->desc)) {
        return;
    }
    for (int n = 0; n < 1 << shift; n++) {
        uint64_t pte, out;

        if (ldq_le_dma(&address_space_memory, table + n * sizeof(pte), &pte,
                       MEMTXATTRS_UNSPECIFIED)) {
            return;
        }
        out = PTE_ADDRESS(pte, level_shift(tlbe->level, tlbe->granule));
        first = n ? first : out;
        if ((pte & ARM_LPAE_PTE_TYPE_MASK) !=
            (tlbe->desc & ARM_LPAE_PTE_TYPE_MASK) || !PTE_CONTIGUOUS(pte) ||
            first & ((size << shift) - 1) || out != first + n * size) {
            return;
        }
    }
    tlbe->contiguous = true;
    tlbe->entry.addr_mask = (size << shift) - 1;
    tlbe->entry.iova &= ~tlbe->entry.addr_mask;
    tlbe->entry.translated_addr &= ~tlbe->entry.addr_mask;
}

/* Stage 1's part of @tlbe */
static void smmu_leaf_s1_fill(SMMUState *bs, SMMUTransCfg *cfg, uint8_t ap,
                              bool clean, SMMUTLBEntry *tlbe)
{
    smmu_leaf_contiguous(bs, tlbe);
    tlbe->s1_mask = tlbe->entry.addr_mask;
    tlbe->s1_level = tlbe->level;
    tlbe->s1_granule = tlbe->granule;
    tlbe->aset = cfg->aset;
    tlbe->global = !PTE_NG(tlbe->desc);
    tlbe->clean = clean && !(ap & 2) ? SMMU_CLEAN_S1 | SMMU_CLEAN_S2 : 0;
    tlbe->entry.perm = !(ap & 1) ? IOMMU_NONE :
                       clean ? IOMMU_RO : PTE_AP_TO_PERM(ap);
    tlbe->parent_perm = tlbe->entry.perm;
}

int smmu_leaf_s1(SMMUState *bs, SMMUTransCfg *cfg, dma_addr_t desc_ipa,
                 uint8_t aptable, IOMMUAccessFlags perm, SMMUTLBEntry *tlbe,
                 SMMUPTWEventInfo *info)
{
    uint64_t desc = tlbe->desc;
    uint8_t ap = PTE_AP(desc);
    bool clean = cfg->hd && PTE_DBM(desc) && (ap & 2);
    hwaddr pa = tlbe->desc_addr;
    int ret;

    tlbe->entry.perm = IOMMU_NONE;
    tlbe->entry.translated_addr |= smmu_pte_address_52(desc, tlbe->granule,
                                                       cfg->oas);
    if (tlbe->entry.translated_addr >> cfg->oas) {
        return smmu_leaf_fault(SMMU_PTW_ERR_ADDR_SIZE, SMMU_STAGE_1, 0,
                               tlbe, info);
    }
    if (!PTE_AF(desc) && !cfg->ha && !cfg->affd) {
        return smmu_leaf_fault(SMMU_PTW_ERR_ACCESS, SMMU_STAGE_1, 0,
                               tlbe, info);
    }

    /* APTable[1]: no writes, not even to clean pages. APTable[0]: no user */
    ap = ((ap & (clean ? ~2 : ~0)) | (aptable & 2)) & ~(aptable & 1);
    if (is_permission_fault(ap, perm)) {
        smmu_leaf_s1_fill(bs, cfg, ap, clean, tlbe);
        return smmu_leaf_fault(SMMU_PTW_ERR_PERMISSION, SMMU_STAGE_1, 0,
                               tlbe, info);
    }

    if (cfg->ha) {
        desc |= PTE_AF_MASK;
    }
    if (clean && (perm & IOMMU_WO)) {
        desc &= ~PTE_DIRTY_MASK;
        clean = false;
    }
    /* Such an update is a write, which stage 2 has to permit (3.13.5) */
    if (desc != tlbe->desc && cfg->stage == SMMU_NESTED && !info->no_update) {
        pa = desc_ipa;
        if (translate_table_addr_ipa(bs, &pa, IOMMU_WO, cfg, info)) {
            return -EINVAL;
        }
    }
    ret = smmu_desc_update(bs, tlbe, pa, desc, SMMU_STAGE_1, info);
    if (ret) {
        return ret;
    }
    smmu_leaf_s1_fill(bs, cfg, ap, clean, tlbe);
    return 0;
}

/* Stage 2's part of @tlbe */
static void smmu_leaf_s2_fill(SMMUState *bs, uint8_t s2ap, bool clean,
                              SMMUTLBEntry *tlbe)
{
    smmu_leaf_contiguous(bs, tlbe);
    tlbe->s1_mask = tlbe->entry.addr_mask;
    tlbe->s1_level = tlbe->level;
    tlbe->s1_granule = tlbe->granule;
    tlbe->ipa = tlbe->entry.iova;
    tlbe->aset = false;
    tlbe->global = false;
    tlbe->clean = clean ? SMMU_CLEAN_S1 | SMMU_CLEAN_S2 : 0;
    tlbe->entry.perm = s2ap;
    tlbe->parent_perm = s2ap;
}

int smmu_leaf_s2(SMMUState *bs, SMMUTransCfg *cfg, dma_addr_t ipa,
                 IOMMUAccessFlags perm, SMMUTLBEntry *tlbe,
                 SMMUPTWEventInfo *info)
{
    SMMUS2Cfg *s2cfg = &cfg->s2cfg;
    uint64_t desc = tlbe->desc;
    uint8_t s2ap = PTE_AP(desc);
    bool clean = s2cfg->hd && PTE_DBM(desc) && !(s2ap & IOMMU_WO);
    int ret;

    tlbe->entry.perm = IOMMU_NONE;
    tlbe->entry.translated_addr |= smmu_pte_address_52(desc, tlbe->granule,
                                                       s2cfg->eff_ps);
    if (tlbe->entry.translated_addr >> s2cfg->eff_ps) {
        return smmu_leaf_fault(SMMU_PTW_ERR_ADDR_SIZE, SMMU_STAGE_2, ipa,
                               tlbe, info);
    }
    if (!PTE_AF(desc) && !s2cfg->ha && !s2cfg->affd) {
        return smmu_leaf_fault(SMMU_PTW_ERR_ACCESS, SMMU_STAGE_2, ipa,
                               tlbe, info);
    }
    if (is_permission_fault_s2(s2ap | (clean ? IOMMU_WO : 0), perm)) {
        smmu_leaf_s2_fill(bs, s2ap, clean, tlbe);
        return smmu_leaf_fault(SMMU_PTW_ERR_PERMISSION, SMMU_STAGE_2, ipa,
                               tlbe, info);
    }

    if (s2cfg->ha) {
        desc |= PTE_AF_MASK;
    }
    if (clean && (perm & IOMMU_WO)) {
        desc |= PTE_DIRTY_MASK;
        s2ap |= IOMMU_WO;
        clean = false;
    }
    ret = smmu_desc_update(bs, tlbe, tlbe->desc_addr, desc, SMMU_STAGE_2,
                           info);
    if (ret) {
        return ret;
    }
    smmu_leaf_s2_fill(bs, s2ap, clean, tlbe);
    return 0;
}

bool smmu_caches_fault(SMMUState *s, SMMUTransCfg *cfg,
                       const SMMUTLBEntry *entry, const SMMUPTWEventInfo *info)
{
    bool affd = cfg->stage == SMMU_STAGE_1 ? cfg->affd && !cfg->ha :
                                             cfg->s2cfg.affd && !cfg->s2cfg.ha;

    /* Nothing is cached whose access flag is clear */
    return s->iotlb_faults && cfg->stage != SMMU_NESTED &&
           info->type == SMMU_PTW_ERR_PERMISSION &&
           (PTE_AF(entry->desc) || affd);
}

bool smmu_write_makes_dirty(const SMMUTLBEntry *entry, IOMMUAccessFlags flag)
{
    bool s1 = entry->entry.perm & IOMMU_WO;
    bool s2 = entry->parent_perm & IOMMU_WO;

    return (flag & IOMMU_WO) && !(s1 && s2) &&
           (s1 || (entry->clean & SMMU_CLEAN_S1)) &&
           (s2 || (entry->clean & SMMU_CLEAN_S2));
}

void smmu_combine(SMMUTLBEntry *entry, const SMMUTLBEntry *s2)
{
    entry->clean = (entry->clean & SMMU_CLEAN_S1) | (s2->clean & SMMU_CLEAN_S2);
    if (s2->entry.addr_mask < entry->s1_mask) {
        entry->contiguous = s2->contiguous;
    }
    entry->desc_s2 = s2->desc;
    entry->ipa = s2->entry.iova + (entry->entry.translated_addr -
                                   s2->entry.translated_addr);
    entry->ipa &= ~entry->entry.addr_mask;
}

bool smmu_hit_fault(SMMUState *s, SMMUTransCfg *cfg, const SMMUTLBEntry *entry,
                    hwaddr addr, IOMMUAccessFlags flag, SMMUPTWEventInfo *info)
{
    int s1 = entry->entry.perm;

    if ((flag & entry->entry.perm & entry->parent_perm) == flag) {
        return false;
    }
    if (entry->clean & SMMU_CLEAN_S1) {
        s1 |= IOMMU_WO;
    }
    stat64_add(&s->iotlb_stats.hit_perm_faults, 1);
    info->type = SMMU_PTW_ERR_PERMISSION;
    if (cfg->stage == SMMU_STAGE_1 ||
        (cfg->stage == SMMU_NESTED && (flag & s1) != flag)) {
        info->stage = SMMU_STAGE_1;
    } else {
        info->stage = SMMU_STAGE_2;
        info->addr = entry->ipa + (addr & entry->entry.addr_mask);
    }
    return true;
}
