/*
 * ARM SMMUv3: migration of IOTLB and configuration cache
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A loop or a stale entry must not heal by being moved.
 */

#include "qemu/osdep.h"
#include "smmuv3-sva-internal.h"
#include "smmuv3-migration.h"

const VMStateDescription vmstate_smmuv3_entry = {
    .name = "smmuv3-sva/entry",
    .version_id = 1,
    .minimum_version_id = 1,
    .fields = (const VMStateField[]) {
        VMSTATE_UINT64(iova, SMMUv3SavedEntry),
        VMSTATE_UINT64(addr_mask, SMMUv3SavedEntry),
        VMSTATE_UINT64(translated_addr, SMMUv3SavedEntry),
        VMSTATE_UINT64(desc, SMMUv3SavedEntry),
        VMSTATE_UINT64(desc_addr, SMMUv3SavedEntry),
        VMSTATE_UINT64(desc_s2, SMMUv3SavedEntry),
        VMSTATE_UINT64(ipa, SMMUv3SavedEntry),
        VMSTATE_UINT64(s1_mask, SMMUv3SavedEntry),
        VMSTATE_INT32(asid, SMMUv3SavedEntry),
        VMSTATE_INT32(vmid, SMMUv3SavedEntry),
        VMSTATE_UINT32(sid, SMMUv3SavedEntry),
        VMSTATE_UINT32(ssid, SMMUv3SavedEntry),
        VMSTATE_UINT8(perm, SMMUv3SavedEntry),
        VMSTATE_UINT8(parent_perm, SMMUv3SavedEntry),
        VMSTATE_UINT8(level, SMMUv3SavedEntry),
        VMSTATE_UINT8(granule, SMMUv3SavedEntry),
        VMSTATE_UINT8(s1_level, SMMUv3SavedEntry),
        VMSTATE_UINT8(s1_granule, SMMUv3SavedEntry),
        VMSTATE_UINT8(clean, SMMUv3SavedEntry),
        VMSTATE_BOOL(aset, SMMUv3SavedEntry),
        VMSTATE_BOOL(global, SMMUv3SavedEntry),
        VMSTATE_BOOL(contiguous, SMMUv3SavedEntry),
        VMSTATE_END_OF_LIST()
    }
};

static const VMStateDescription vmstate_tt = {
    .name = "smmuv3-sva/tt",
    .version_id = 1,
    .minimum_version_id = 1,
    .fields = (const VMStateField[]) {
        VMSTATE_BOOL(disabled, SMMUTransTableInfo),
        VMSTATE_UINT64(ttb, SMMUTransTableInfo),
        VMSTATE_UINT8(tsz, SMMUTransTableInfo),
        VMSTATE_UINT8(granule_sz, SMMUTransTableInfo),
        VMSTATE_BOOL(had, SMMUTransTableInfo),
        VMSTATE_END_OF_LIST()
    }
};

const VMStateDescription vmstate_smmuv3_config = {
    .name = "smmuv3-sva/config",
    .version_id = 1,
    .minimum_version_id = 1,
    .fields = (const VMStateField[]) {
        VMSTATE_UINT32(sid, SMMUv3SavedConfig),
        VMSTATE_UINT32(ssid, SMMUv3SavedConfig),
        VMSTATE_UINT32(cfg.stage, SMMUv3SavedConfig),
        VMSTATE_BOOL(cfg.disabled, SMMUv3SavedConfig),
        VMSTATE_BOOL(cfg.bypassed, SMMUv3SavedConfig),
        VMSTATE_BOOL(cfg.aborted, SMMUv3SavedConfig),
        VMSTATE_BOOL(cfg.affd, SMMUv3SavedConfig),
        VMSTATE_BOOL(cfg.ha, SMMUv3SavedConfig),
        VMSTATE_BOOL(cfg.hd, SMMUv3SavedConfig),
        VMSTATE_BOOL(cfg.aa64, SMMUv3SavedConfig),
        VMSTATE_BOOL(cfg.record_faults, SMMUv3SavedConfig),
        VMSTATE_BOOL(cfg.s1stalld, SMMUv3SavedConfig),
        VMSTATE_BOOL(cfg.stall, SMMUv3SavedConfig),
        VMSTATE_UINT8(cfg.oas, SMMUv3SavedConfig),
        VMSTATE_UINT8(cfg.tbi, SMMUv3SavedConfig),
        VMSTATE_INT32(cfg.asid, SMMUv3SavedConfig),
        VMSTATE_BOOL(cfg.aset, SMMUv3SavedConfig),
        VMSTATE_STRUCT_ARRAY(cfg.tt, SMMUv3SavedConfig, 2, 1, vmstate_tt,
                             SMMUTransTableInfo),
        VMSTATE_UINT8(cfg.s2cfg.tsz, SMMUv3SavedConfig),
        VMSTATE_UINT8(cfg.s2cfg.sl0, SMMUv3SavedConfig),
        VMSTATE_BOOL(cfg.s2cfg.affd, SMMUv3SavedConfig),
        VMSTATE_BOOL(cfg.s2cfg.ha, SMMUv3SavedConfig),
        VMSTATE_BOOL(cfg.s2cfg.hd, SMMUv3SavedConfig),
        VMSTATE_BOOL(cfg.s2cfg.record_faults, SMMUv3SavedConfig),
        VMSTATE_BOOL(cfg.s2cfg.stall, SMMUv3SavedConfig),
        VMSTATE_UINT8(cfg.s2cfg.granule_sz, SMMUv3SavedConfig),
        VMSTATE_UINT8(cfg.s2cfg.eff_ps, SMMUv3SavedConfig),
        VMSTATE_INT32(cfg.s2cfg.vmid, SMMUv3SavedConfig),
        VMSTATE_UINT64(cfg.s2cfg.vttb, SMMUv3SavedConfig),
        VMSTATE_END_OF_LIST()
    }
};

SMMUv3SavedConfig *smmuv3_save_configs(SMMUv3State *s, int32_t *nr)
{
    SMMUState *bs = &s->smmu_state;
    SMMUv3SavedConfig *configs;
    SMMUTransCfg *cfg;
    GHashTableIter iter;

    QEMU_LOCK_GUARD(&s->mutex);
    configs = g_new0(SMMUv3SavedConfig, g_hash_table_size(bs->configs));
    g_hash_table_iter_init(&iter, bs->configs);
    while (g_hash_table_iter_next(&iter, NULL, (gpointer *)&cfg)) {
        configs[(*nr)++] = (SMMUv3SavedConfig) {
            .sid = smmu_get_sid(cfg->key.sdev),
            .ssid = cfg->key.ssid,
            .cfg = *cfg,
        };
    }
    return configs;
}

void smmuv3_load_configs(SMMUv3State *s, SMMUv3SavedConfig *configs,
                         int32_t nr)
{
    SMMUState *bs = &s->smmu_state;

    QEMU_LOCK_GUARD(&s->mutex);
    for (int i = 0; i < nr; i++) {
        SMMUv3SavedConfig *saved = &configs[i];
        SMMUConfigKey key = {
            .sdev = smmu_find_sdev(bs, saved->sid),
            .ssid = saved->ssid,
        };

        if (key.sdev) {
            saved->cfg.key = key;
            saved->cfg.iotlb_hits = saved->cfg.iotlb_misses = 0;
            g_hash_table_insert(bs->configs, g_memdup2(&key, sizeof(key)),
                                g_memdup2(&saved->cfg, sizeof(saved->cfg)));
        }
    }
}

SMMUv3SavedEntry *smmuv3_save_iotlb(SMMUv3State *s, int32_t *nr)
{
    SMMUState *bs = &s->smmu_state;
    SMMUv3SavedEntry *entries;
    SMMUTLBEntry *e;

    QEMU_LOCK_GUARD(&s->mutex);
    if (!bs->iotlb_size) {
        return NULL; /* the entry that is left will never be found */
    }
    entries = g_new0(SMMUv3SavedEntry, g_hash_table_size(bs->iotlb));
    QTAILQ_FOREACH(e, &bs->iotlb_fifo, next) {
        entries[(*nr)++] = (SMMUv3SavedEntry) {
            .iova = e->entry.iova,
            .addr_mask = e->entry.addr_mask,
            .translated_addr = e->entry.translated_addr,
            .desc = e->desc,
            .desc_addr = e->desc_addr,
            .desc_s2 = e->desc_s2,
            .ipa = e->ipa,
            .s1_mask = e->s1_mask,
            .asid = e->key->asid,
            .vmid = e->key->vmid,
            .sid = smmu_get_sid(e->filled_by.sdev),
            .ssid = e->filled_by.ssid,
            .perm = e->entry.perm,
            .parent_perm = e->parent_perm,
            .level = e->level,
            .granule = e->granule,
            .s1_level = e->s1_level,
            .s1_granule = e->s1_granule,
            .clean = e->clean,
            .aset = e->aset,
            .global = e->global,
            .contiguous = e->contiguous,
        };
    }
    return entries;
}

void smmuv3_load_iotlb(SMMUv3State *s, const SMMUv3SavedEntry *entries,
                       int32_t nr)
{
    SMMUState *bs = &s->smmu_state;

    QEMU_LOCK_GUARD(&s->mutex);
    for (int i = 0; i < nr; i++) {
        const SMMUv3SavedEntry *saved = &entries[i];
        SMMUDevice *sdev = smmu_find_sdev(bs, saved->sid);
        SMMUIOTLBKey *key;
        SMMUTLBEntry *e;

        if (!sdev) {
            continue; /* the device is not there any more */
        }
        e = g_new0(SMMUTLBEntry, 1);
        *e = (SMMUTLBEntry) {
            .entry = {
                .target_as = &address_space_memory,
                .iova = saved->iova,
                .addr_mask = saved->addr_mask,
                .translated_addr = saved->translated_addr,
                .perm = saved->perm,
            },
            .parent_perm = saved->parent_perm,
            .level = saved->level,
            .granule = saved->granule,
            .s1_level = saved->s1_level,
            .s1_granule = saved->s1_granule,
            .clean = saved->clean,
            .desc = saved->desc,
            .desc_addr = saved->desc_addr,
            .desc_s2 = saved->desc_s2,
            .ipa = saved->ipa,
            .s1_mask = saved->s1_mask,
            .aset = saved->aset,
            .global = saved->global,
            .contiguous = saved->contiguous,
            .filled_by = { .sdev = sdev, .ssid = saved->ssid },
        };
        key = g_new0(SMMUIOTLBKey, 1);
        *key = smmu_get_iotlb_key(saved->asid, saved->vmid, saved->iova,
                                  (saved->granule - 10) / 2, saved->level);
        smmu_iotlb_add(bs, key, e);
    }
}
