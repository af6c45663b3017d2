/*
 * ARM SMMUv3: does the IOTLB hold what the translation tables say?
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Each stage-1 entry is compared, piece by piece, with a walk that is made
 * for the purpose: by code of its own, from configuration that is read from
 * memory. It counts nothing, caches nothing, records no event and updates no
 * descriptor.
 *
 * IHI 0070: 3.21.1 TLB invalidation; Arm ARM D8 for the tables. Which tables:
 * see smmuv3-audit-config.c.
 */

#include "qemu/osdep.h"
#include "qemu/main-loop.h"
#include "smmuv3-sva-internal.h"
#include "smmu-internal.h"

/* One audit. @entry is the one at hand, @cfg how to walk for it. */
typedef struct SMMUAudit {
    IOTLBAudit *result;
    SMMUAuditConfigs configs;
    uint64_t pieces;
    SMMUTLBEntry *entry;
    const SMMUTransCfg *cfg;
    uint64_t high;              /* bits of addresses that no walk looks at */
    IOTLBDiff last;             /* pieces that differ alike are one */
    bool have_last;
} SMMUAudit;

/* What a walk says of @size bytes at @addr */
typedef struct SMMUPiece {
    uint64_t addr;
    uint64_t size;
    IOTLBWalkEnd end;
    IOTLBSide walked;
} SMMUPiece;

static void audit_flush(SMMUAudit *a)
{
    IOTLBAudit *result = a->result;

    if (!a->have_last) {
        return;
    }
    a->have_last = false;
    result->count[a->last.kind]++;
    if (result->diffs->len < result->max_diffs) {
        g_array_append_val(result->diffs, a->last);
    }
}

static IOTLBSide audit_cached(const SMMUTLBEntry *entry, uint64_t addr)
{
    IOMMUAccessFlags perm = entry->entry.perm & entry->parent_perm;

    return (IOTLBSide) {
        .readable = perm & IOMMU_RO,
        .writable = perm & IOMMU_WO,
        .level = entry->level,
        .descriptor = entry->desc,
        .address = entry->entry.translated_addr +
                   (addr & entry->entry.addr_mask),
    };
}

/* False: they agree */
static bool audit_classify(const IOTLBSide *cached, const SMMUPiece *p,
                           IOTLBDiffKind *kind)
{
    const IOTLBSide *walked = &p->walked;

    if (!cached->readable && !cached->writable) {
        /* a cached fault: it leads nowhere, wherever the tables do */
        *kind = IOTLB_RESTRICTIVE;
        return p->end == IOTLB_WALK_OK &&
               (walked->readable || walked->writable);
    }
    if (p->end != IOTLB_WALK_OK) {
        *kind = IOTLB_UNMAPPED;
    } else if (walked->address != cached->address) {
        *kind = IOTLB_WRONG_PAGE;
    } else if ((cached->readable && !walked->readable) ||
               (cached->writable && !walked->writable)) {
        *kind = IOTLB_PERMISSIVE;
    } else if ((walked->readable && !cached->readable) ||
               (walked->writable && !cached->writable)) {
        *kind = IOTLB_RESTRICTIVE;
    } else {
        return false;
    }
    return true;
}

/* Whether @p only goes on with what the last difference says */
static bool audit_extends(const IOTLBDiff *last, const SMMUPiece *p,
                          IOTLBDiffKind kind, uint64_t iova)
{
    const IOTLBSide *w = &last->walked;

    return last->kind == kind && last->end == p->end &&
           last->iova + last->size == iova &&
           w->level == p->walked.level &&
           w->readable == p->walked.readable &&
           w->writable == p->walked.writable &&
           (p->end != IOTLB_WALK_OK ||
            w->address + last->size == p->walked.address);
}

static void audit_piece(SMMUAudit *a, const SMMUPiece *p)
{
    const SMMUTLBEntry *e = a->entry;
    uint64_t iova = p->addr | a->high;
    IOTLBSide cached = audit_cached(e, iova);
    IOTLBDiffKind kind;

    if (smmu_write_makes_dirty(e, IOMMU_WO)) {
        /* A write through it will ask the table (HTTU) */
        cached.writable = p->walked.writable;
    }
    a->pieces++;
    if (!audit_classify(&cached, p, &kind)) {
        audit_flush(a);
        return;
    }
    if (a->have_last && audit_extends(&a->last, p, kind, iova)) {
        a->last.size += p->size;
        return;
    }
    audit_flush(a);
    a->have_last = true;
    a->last = (IOTLBDiff) {
        .kind = kind,
        .end = p->end,
        .sid = smmu_get_sid(e->filled_by.sdev),
        .pasid = e->filled_by.ssid,
        .asid = e->global ? -1 : e->key->asid,
        .vmid = e->key->vmid,
        .iova = iova,
        .size = p->size,
        .granule = e->granule,
        .cached = cached,
        .walked = p->walked,
    };
}

static bool audit_read(hwaddr addr, uint64_t *pte)
{
    return ldq_le_dma(&address_space_memory, addr, pte,
                      MEMTXATTRS_UNSPECIFIED) == MEMTX_OK;
}

/*
 * Stage 2 for @ipa: output address and permissions into @side, and how many
 * bytes from @ipa on are translated alike. False: it denies the access.
 */
static bool audit_stage_2(const SMMUS2Cfg *cfg, uint64_t ipa, IOTLBSide *side,
                          uint64_t *size)
{
    int g = cfg->granule_sz;
    int inputsize = 64 - cfg->tsz;
    int level = get_start_level(cfg->sl0, g);
    uint64_t base = extract64(cfg->vttb, 0, cfg->eff_ps) &
                    ~VMSA_IDXMSK(inputsize, VMSA_STRIDE(g), level);
    /* concatenated tables are one with a wider index */
    uint64_t index = ipa >> level_shift(level, g);
    uint64_t pte;

    *size = 1ULL << level_shift(level, g);
    if (inputsize < 64 && ipa >> inputsize) {
        return false;
    }
    for (;; level++) {
        int shift = level_shift(level, g);

        *size = (1ULL << shift) - (ipa & MAKE_64BIT_MASK(0, shift));
        if (!audit_read(base + index * sizeof(pte), &pte) ||
            is_invalid_pte(pte) || is_reserved_pte(pte, level, g)) {
            return false;
        }
        if (!is_table_pte(pte, level)) {
            side->address = PTE_ADDRESS(pte, shift) |
                            smmu_pte_address_52(pte, g, cfg->eff_ps) |
                            (ipa & MAKE_64BIT_MASK(0, shift));
            side->readable = PTE_AP(pte) & IOMMU_RO;
            side->writable = PTE_AP(pte) & IOMMU_WO;
            return !(side->address >> cfg->eff_ps);
        }
        base = PTE_ADDRESS(pte, g) |
               smmu_pte_address_52(pte, g, cfg->eff_ps);
        index = extract64(ipa, level_shift(level + 1, g), g - 3);
    }
}

/* A piece that stage 1 maps to the IPA @p->walked.address: add stage 2 */
static void audit_nested_piece(SMMUAudit *a, SMMUPiece p)
{
    uint64_t end = p.addr + p.size;

    while (p.addr < end && a->pieces < AUDIT_MAX_PIECES) {
        IOTLBSide s2 = {};
        SMMUPiece part = p;
        uint64_t size;

        if (audit_stage_2(&a->cfg->s2cfg, p.walked.address, &s2, &size)) {
            part.walked.address = s2.address;
            part.walked.readable &= s2.readable;
            part.walked.writable &= s2.writable;
        } else {
            part.end = IOTLB_WALK_STAGE_2;
        }
        part.size = MIN(size, end - p.addr);
        audit_piece(a, &part);
        p.addr += part.size;
        p.walked.address += part.size;
    }
}

/* A valid leaf descriptor for [@p->addr, @p->addr + @p->size) */
static void audit_leaf(SMMUAudit *a, SMMUPiece p, uint8_t aptable,
                       int granule_sz)
{
    int shift = level_shift(p.walked.level, granule_sz);
    uint64_t pte = p.walked.descriptor;
    uint8_t ap = (PTE_AP(pte) | (aptable & 2)) & ~(aptable & 1);

    p.walked.address = PTE_ADDRESS(pte, shift) |
                       smmu_pte_address_52(pte, granule_sz, a->cfg->oas) |
                       (p.addr & MAKE_64BIT_MASK(0, shift));
    if (p.walked.address >> a->cfg->oas) {
        p.end = IOTLB_WALK_ADDRESS_SIZE;
    } else {
        /* The access flag is not looked at: a fault for it heals itself */
        p.walked.readable = ap & 1;
        p.walked.writable = (ap & 1) && !(ap & 2);
        if (a->cfg->stage == SMMU_NESTED) {
            audit_nested_piece(a, p);
            return;
        }
    }
    audit_piece(a, &p);
}

/* Where the stage-1 descriptor at @addr is, stage 2 considered */
static IOTLBWalkEnd audit_descriptor_address(SMMUAudit *a, uint64_t *addr)
{
    IOTLBSide s2 = {};
    uint64_t size;

    if (a->cfg->stage != SMMU_NESTED) {
        return IOTLB_WALK_OK;
    }
    if (!audit_stage_2(&a->cfg->s2cfg, *addr, &s2, &size) || !s2.readable) {
        return IOTLB_WALK_STAGE_2;
    }
    *addr = s2.address;
    return IOTLB_WALK_OK;
}

/* All of [@lo, @hi), which the stage-1 table at @base maps */
static void audit_table(SMMUAudit *a, const SMMUTransTableInfo *tt,
                        uint64_t base, int level, uint64_t lo, uint64_t hi,
                        uint8_t aptable)
{
    int g = tt->granule_sz;
    int shift = level_shift(level, g);
    uint64_t mask = MAKE_64BIT_MASK(0, shift);

    while (lo < hi && a->pieces < AUDIT_MAX_PIECES) {
        uint64_t next = MIN((lo | mask) + 1, hi);
        uint32_t index = iova_level_offset(lo, 64 - tt->tsz, level, g);
        SMMUPiece p = { .addr = lo, .size = next - lo, .walked.level = level };
        uint64_t pte = 0;
        uint64_t below = 0;
        uint64_t addr = base + index * sizeof(pte);

        p.end = audit_descriptor_address(a, &addr);
        if (p.end != IOTLB_WALK_OK) {
            /* it can't be read */
        } else if (!audit_read(addr, &pte)) {
            p.end = IOTLB_WALK_ABORT;
        } else if (is_invalid_pte(pte) || is_reserved_pte(pte, level, g)) {
            p.end = IOTLB_WALK_TRANSLATION;
        } else if (is_table_pte(pte, level)) {
            below = PTE_ADDRESS(pte, g) |
                    smmu_pte_address_52(pte, g, a->cfg->oas);
            if (below >> a->cfg->oas) {
                p.end = IOTLB_WALK_ADDRESS_SIZE;
            }
        }
        p.walked.descriptor = pte;
        if (p.end != IOTLB_WALK_OK) {
            audit_piece(a, &p);
        } else if (is_table_pte(pte, level)) {
            audit_table(a, tt, below, level + 1, lo, next,
                        aptable | (tt->had ? 0 : PTE_APTABLE(pte)));
        } else {
            audit_leaf(a, p, aptable, g);
        }
        lo = next;
    }
}

static void audit_entry(SMMUAudit *a, SMMUTLBEntry *entry)
{
    uint64_t iova = entry->entry.iova;
    uint64_t size = entry->entry.addr_mask + 1;
    SMMUTransTableInfo *tt = NULL;
    SMMUPiece whole = { .addr = iova, .size = size };
    int inputsize, level;
    uint64_t lo;

    a->entry = entry;
    a->high = 0;
    a->cfg = smmuv3_audit_config(&a->configs, entry);
    if (a->cfg) {
        tt = select_tt((SMMUTransCfg *)a->cfg, iova);
    }
    if (!tt || tt->disabled) {
        whole.end = a->cfg ? IOTLB_WALK_TRANSLATION : IOTLB_WALK_NO_TABLE;
        audit_piece(a, &whole);
    } else {
        inputsize = 64 - tt->tsz;
        level = 4 - (inputsize - 4) / VMSA_STRIDE(tt->granule_sz);
        lo = extract64(iova, 0, inputsize);
        a->high = iova - lo;
        audit_table(a, tt, extract64(tt->ttb, 0, a->cfg->oas) &
                    ~VMSA_IDXMSK(inputsize, VMSA_STRIDE(tt->granule_sz),
                                 level),
                    level, lo, lo + MIN(size, BIT_ULL(inputsize) - lo), 0);
    }
    audit_flush(a);
    a->result->entries++;
}

void smmuv3_audit(SMMUv3State *s, IOTLBAudit *result)
{
    SMMUState *bs = &s->smmu_state;
    SMMUAudit a = { .result = result };
    SMMUTLBEntry *entry;

    assert(bql_locked());
    QEMU_LOCK_GUARD(&s->mutex);
    if (!smmu_enabled(s) || !bs->iotlb_size) {
        return; /* no access is translated with what the IOTLB holds */
    }
    smmuv3_audit_configs_init(&a.configs, s);
    QTAILQ_FOREACH(entry, &bs->iotlb_fifo, next) {
        if (entry->key->asid < 0) {
            continue; /* stage 2 alone */
        }
        if (a.pieces >= AUDIT_MAX_PIECES) {
            result->incomplete = true;
            break;
        }
        audit_entry(&a, entry);
    }
    result->incomplete |= a.pieces >= AUDIT_MAX_PIECES;
    smmuv3_audit_configs_destroy(&a.configs);
}
