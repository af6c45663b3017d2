/*
 * ARM SMMUv3: which translation tables an IOTLB entry is to be compared with
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Those of the stream and substream that filled the entry, if their CD has the
 * entry's ASID and VMID still (IHI 0070 3.17); or else those of any other
 * substream known to the SMMU that has both, as they share the entry. If there
 * is none the ASID is not in use, and software should have invalidated the
 * entry before it gave the ASID up: the next user would find it.
 */

#include "qemu/osdep.h"
#include "smmuv3-sva-internal.h"

/*
 * The configuration of a substream, as it is in memory now; NULL if it does
 * not translate in stage 1. Where the way to it takes stage 2, that is walked
 * with the IOTLB put aside.
 */
static const SMMUTransCfg *audit_config(SMMUAuditConfigs *a,
                                        const SMMUConfigKey *key)
{
    SMMUState *bs = &a->s->smmu_state;
    SMMUEventInfo event = { .inval_ste_allowed = true, .no_update = true };
    SMMUIOTLBStats stats = bs->iotlb_stats;
    uint32_t iotlb_size = bs->iotlb_size;
    GHashTable *iotlb = bs->iotlb;
    SMMUTransCfg *cfg;

    if (g_hash_table_lookup_extended(a->configs, key, NULL, (void **)&cfg)) {
        return cfg;
    }
    cfg = g_new0(SMMUTransCfg, 1);
    bs->iotlb = g_hash_table_new_full(NULL, NULL, g_free,
                                      smmu_iotlb_entry_free);
    bs->iotlb_size = 0;
    if (smmuv3_decode_config(&key->sdev->iommu, key->ssid, cfg, &event) ||
        cfg->aborted || cfg->bypassed || cfg->stage == SMMU_STAGE_2) {
        g_free(cfg);
        cfg = NULL;
    }
    g_hash_table_destroy(bs->iotlb);
    bs->iotlb = iotlb;
    bs->iotlb_size = iotlb_size;
    bs->iotlb_stats = stats;
    g_hash_table_insert(a->configs, g_memdup2(key, sizeof(*key)), cfg);
    return cfg;
}

static bool audit_config_matches(const SMMUTransCfg *cfg,
                                 const SMMUTLBEntry *entry)
{
    return cfg && cfg->s2cfg.vmid == entry->key->vmid &&
           (entry->global ? cfg->aset == entry->aset :
                            cfg->asid == entry->key->asid);
}

/* Whoever has the ASID and VMID of @entry, if those who filled it have not */
static const SMMUTransCfg *audit_search_heir(SMMUAuditConfigs *a,
                                             SMMUTLBEntry *entry)
{
    SMMUState *bs = &a->s->smmu_state;
    g_autoptr(GList) keys = NULL;
    const SMMUTransCfg *cfg;
    SMMUTLBEntry *other;

    keys = g_hash_table_get_keys(bs->configs);
    for (GList *l = keys; l; l = l->next) {
        cfg = audit_config(a, l->data);
        if (audit_config_matches(cfg, entry)) {
            return cfg;
        }
    }
    QTAILQ_FOREACH(other, &bs->iotlb_fifo, next) {
        if (entry->global || other->key->asid == entry->key->asid) {
            cfg = audit_config(a, &other->filled_by);
            if (audit_config_matches(cfg, entry)) {
                return cfg;
            }
        }
    }
    return NULL;
}

const SMMUTransCfg *smmuv3_audit_config(SMMUAuditConfigs *a,
                                        SMMUTLBEntry *entry)
{
    const SMMUTransCfg *cfg = audit_config(a, &entry->filled_by);
    /* a global entry is of every ASID, of the same ASET */
    int asid = entry->global ? -1 - entry->aset : entry->key->asid;
    int64_t tag = deposit64(asid, 32, 32, entry->key->vmid);
    gpointer heir;

    if (audit_config_matches(cfg, entry)) {
        return cfg;
    }
    /* A process that is gone may have left any number of entries: ask once */
    if (!g_hash_table_lookup_extended(a->heirs, &tag, NULL, &heir)) {
        heir = (gpointer)audit_search_heir(a, entry);
        g_hash_table_insert(a->heirs, g_memdup2(&tag, sizeof(tag)), heir);
    }
    return heir;
}

void smmuv3_audit_configs_init(SMMUAuditConfigs *a, SMMUv3State *s)
{
    a->s = s;
    a->configs = g_hash_table_new_full(smmu_config_key_hash,
                                       smmu_config_key_equal, g_free, g_free);
    a->heirs = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
}

void smmuv3_audit_configs_destroy(SMMUAuditConfigs *a)
{
    g_hash_table_destroy(a->heirs);
    g_hash_table_destroy(a->configs);
}
