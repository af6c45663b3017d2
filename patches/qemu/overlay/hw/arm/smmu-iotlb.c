/*
 * ARM SMMU: substreams in the configuration cache, size of the IOTLB
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Both caches are protected by the lock of the SMMU that owns them.
 */

#include "qemu/osdep.h"
#include "hw/arm/smmu-common.h"
#include "hw/pci/pci_bus.h"
#include "smmu-internal.h"

guint smmu_config_key_hash(gconstpointer v)
{
    const SMMUConfigKey *key = v;

    /* Substreams of one device are few and close to each other */
    return g_direct_hash(key->sdev) ^ (key->ssid * 0x9e3779b1u);
}

gboolean smmu_config_key_equal(gconstpointer v1, gconstpointer v2)
{
    const SMMUConfigKey *k1 = v1, *k2 = v2;

    return k1->sdev == k2->sdev && k1->ssid == k2->ssid;
}

static gboolean smmu_config_key_is_of_sdev(gpointer key, gpointer value,
                                           gpointer user_data)
{
    return ((SMMUConfigKey *)key)->sdev == user_data;
}

void smmu_configs_inv_sdev(SMMUState *s, SMMUDevice *sdev)
{
    g_hash_table_foreach_remove(s->configs, smmu_config_key_is_of_sdev, sdev);
}

void smmu_configs_inv_cd(SMMUState *s, SMMUDevice *sdev, uint32_t ssid)
{
    SMMUConfigKey key = { .sdev = sdev, .ssid = ssid };

    g_hash_table_remove(s->configs, &key);
    if (!ssid) {
        /* IHI 0070 4.3.3: the CD at index 0, whatever S1DSS uses it for */
        key.ssid = PCI_NO_PASID;
        g_hash_table_remove(s->configs, &key);
    }
}

void smmu_iotlb_entry_free(gpointer p)
{
    SMMUTLBEntry *entry = p;

    QTAILQ_REMOVE(&entry->smmu->iotlb_fifo, entry, next);
    g_free(entry);
}

static void smmu_iotlb_make_room(SMMUState *s)
{
    if (!s->iotlb_size) {
        g_hash_table_remove_all(s->iotlb);
    } else if (g_hash_table_size(s->iotlb) < s->iotlb_size) {
        return;
    } else if (s->iotlb_size == SMMU_IOTLB_MAX_SIZE) {
        stat64_add(&s->iotlb_stats.full_flushes, 1);
        smmuv3_journal_eviction(s, NULL);
        smmu_iotlb_inv_all(s);
    } else {
        stat64_add(&s->iotlb_stats.evictions, 1);
        smmuv3_journal_eviction(s, QTAILQ_FIRST(&s->iotlb_fifo));
        g_hash_table_remove(s->iotlb, QTAILQ_FIRST(&s->iotlb_fifo)->key);
    }
}

void smmu_iotlb_add(SMMUState *s, SMMUIOTLBKey *key, SMMUTLBEntry *entry)
{
    if (entry->global) {
        key->asid = SMMU_IOTLB_ASID_GLOBAL + entry->aset;
    }
    key->contiguous = entry->contiguous;
    /* only what a write has made dirty is there already */
    g_hash_table_remove(s->iotlb, key);
    smmu_iotlb_make_room(s);
    stat64_add(&s->iotlb_stats.inserts, 1);
    entry->smmu = s;
    entry->key = key;
    QTAILQ_INSERT_TAIL(&s->iotlb_fifo, entry, next);
    /* not g_hash_table_insert(), which might keep an equal key's memory */
    g_hash_table_replace(s->iotlb, key, entry);
}

SMMUTLBEntry *smmu_iotlb_find(SMMUState *s, SMMUTransCfg *cfg, SMMUIOTLBKey key,
                              hwaddr iova)
{
    int asid = key.asid;
    hwaddr start = key.iova;
    SMMUTLBEntry *entry;

    for (int global = 0; global <= (asid >= 0); global++) {
        key.asid = global ? SMMU_IOTLB_ASID_GLOBAL + cfg->aset : asid;
        key.contiguous = false;
        key.iova = start;
        entry = g_hash_table_lookup(s->iotlb, &key);
        if (!entry && s->iotlb_contiguous) {
            int granule_sz = key.tg * 2 + 10;
            int shift = smmu_contiguous_shift(key.level, granule_sz);

            key.contiguous = true;
            key.iova = iova & ~MAKE_64BIT_MASK(0, shift +
                                               level_shift(key.level,
                                                           granule_sz));
            entry = g_hash_table_lookup(s->iotlb, &key);
        }
        if (entry) {
            return entry;
        }
    }
    return NULL;
}

bool smmu_iotlb_spared(const SMMUTLBEntry *entry, uint8_t tg, uint8_t ttl)
{
    ttl = smmu_ttl(tg, ttl);
    return tg && (entry->s1_granule != tg * 2 + 10 ||
                  (ttl && ttl != entry->s1_level));
}

hwaddr smmu_untagged(const SMMUTransCfg *cfg, hwaddr iova)
{
    bool upper = extract64(iova, 55, 1);

    if (upper ? TBI1(cfg->tbi) : TBI0(cfg->tbi)) {
        iova = sextract64(iova, 0, 56);
    }
    return iova;
}

SMMUTLBEntry *smmu_iotlb_peek(SMMUState *s, SMMUTransCfg *cfg, hwaddr iova)
{
    SMMUTransTableInfo tt = {
        .granule_sz = cfg->s2cfg.granule_sz,
        .tsz = cfg->s2cfg.tsz,
    };
    SMMUTLBEntry *entry;

    if (cfg->stage != SMMU_STAGE_2) {
        SMMUTransTableInfo *s1;

        iova = smmu_untagged(cfg, iova);
        s1 = select_tt(cfg, iova);
        if (!s1) {
            return NULL;
        }
        tt = *s1;
    }
    entry = smmu_iotlb_lookup_all_levels(s, cfg, &tt, iova);
    if (!entry && cfg->stage == SMMU_NESTED) {
        /* the combined entry may be of stage 2's granule */
        tt.granule_sz = cfg->s2cfg.granule_sz;
        entry = smmu_iotlb_lookup_all_levels(s, cfg, &tt, iova);
    }
    return entry;
}

/* Addresses are compared without the byte that may be a tag */
static bool smmu_iotlb_overlaps(const SMMUTLBEntry *entry, uint64_t addr,
                                uint64_t size)
{
    uint64_t mask = entry->s1_mask & MAKE_64BIT_MASK(0, 56);
    uint64_t first = extract64(entry->entry.iova, 0, 56) & ~mask;

    addr = extract64(addr, 0, 56);
    return addr <= (first | mask) && addr + (size ? size - 1 : 0) >= first;
}

static gboolean smmu_iotlb_matches(gpointer k, gpointer value, gpointer data)
{
    SMMUTLBEntry *entry = value;
    SMMUIOTLBKey *key = k;
    SMMUIOTLBMatch *m = data;
    bool is_stage_2 = key->asid < 0;

    if ((m->vmid >= 0 && m->vmid != key->vmid) ||
        (!m->any_stage && m->stage_2 != is_stage_2) ||
        (m->by_addr && !smmu_iotlb_overlaps(entry, m->addr, m->size))) {
        return false;
    }
    if (is_stage_2) {
        return true;
    }
    return (m->asid < 0 || m->asid == key->asid ||
            (m->and_global && entry->global)) &&
           !(m->shared_only && entry->aset);
}

unsigned smmu_iotlb_inv_match(SMMUState *s, SMMUIOTLBMatch *m)
{
    return g_hash_table_foreach_remove(s->iotlb, smmu_iotlb_matches, m);
}
