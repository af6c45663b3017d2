/*
 * ARM SMMUv3: migration of what shared virtual addressing adds
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The contents of IOTLB and configuration cache, for a loop or a stale entry
 * must not heal by being moved; stalled accesses, journal and counters.
 *
 * This is a section of its own, and the last: a device is found by its
 * StreamID, of which the bus number is in the bridges' configuration. So the
 * devices are there already, with the clients of the stalls (StallClient);
 * nothing depends on it, though.
 */

#include "qemu/osdep.h"
#include "migration/vmstate.h"
#include "system/system.h"
#include "smmuv3-sva-internal.h"

typedef struct SavedEntry {
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
    uint8_t clean;
    bool aset;
    bool global;
    bool contiguous;
} SavedEntry;

typedef struct SavedConfig {
    uint32_t sid;
    uint32_t ssid;
    SMMUTransCfg cfg;           /* but for cfg.key */
} SavedConfig;

struct SMMUv3Migration {
    SMMUv3State *s;
    Notifier machine_done;
    int32_t nr_configs;
    SavedConfig *configs;
    int32_t nr_entries;
    SavedEntry *entries;
    int32_t nr_stalls;
    SMMUv3Stall *stalls;
    int32_t nr_records;
    SMMUv3JournalRecord *records;
    uint64_t next_record;
    uint32_t nr_counters;
    uint64_t *counters;
    uint16_t next_stag;
    uint64_t next_ticket;
};

static const VMStateDescription vmstate_entry = {
    .name = "smmuv3-sva/entry",
    .version_id = 1,
    .minimum_version_id = 1,
    .fields = (const VMStateField[]) {
        VMSTATE_UINT64(iova, SavedEntry),
        VMSTATE_UINT64(addr_mask, SavedEntry),
        VMSTATE_UINT64(translated_addr, SavedEntry),
        VMSTATE_UINT64(desc, SavedEntry),
        VMSTATE_UINT64(desc_addr, SavedEntry),
        VMSTATE_UINT64(desc_s2, SavedEntry),
        VMSTATE_UINT64(ipa, SavedEntry),
        VMSTATE_UINT64(s1_mask, SavedEntry),
        VMSTATE_INT32(asid, SavedEntry),
        VMSTATE_INT32(vmid, SavedEntry),
        VMSTATE_UINT32(sid, SavedEntry),
        VMSTATE_UINT32(ssid, SavedEntry),
        VMSTATE_UINT8(perm, SavedEntry),
        VMSTATE_UINT8(parent_perm, SavedEntry),
        VMSTATE_UINT8(level, SavedEntry),
        VMSTATE_UINT8(granule, SavedEntry),
        VMSTATE_UINT8(clean, SavedEntry),
        VMSTATE_BOOL(aset, SavedEntry),
        VMSTATE_BOOL(global, SavedEntry),
        VMSTATE_BOOL(contiguous, SavedEntry),
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

static const VMStateDescription vmstate_config = {
    .name = "smmuv3-sva/config",
    .version_id = 1,
    .minimum_version_id = 1,
    .fields = (const VMStateField[]) {
        VMSTATE_UINT32(sid, SavedConfig),
        VMSTATE_UINT32(ssid, SavedConfig),
        VMSTATE_UINT32(cfg.stage, SavedConfig),
        VMSTATE_BOOL(cfg.disabled, SavedConfig),
        VMSTATE_BOOL(cfg.bypassed, SavedConfig),
        VMSTATE_BOOL(cfg.aborted, SavedConfig),
        VMSTATE_BOOL(cfg.affd, SavedConfig),
        VMSTATE_BOOL(cfg.ha, SavedConfig),
        VMSTATE_BOOL(cfg.hd, SavedConfig),
        VMSTATE_BOOL(cfg.aa64, SavedConfig),
        VMSTATE_BOOL(cfg.record_faults, SavedConfig),
        VMSTATE_BOOL(cfg.s1stalld, SavedConfig),
        VMSTATE_BOOL(cfg.stall, SavedConfig),
        VMSTATE_UINT8(cfg.oas, SavedConfig),
        VMSTATE_UINT8(cfg.tbi, SavedConfig),
        VMSTATE_INT32(cfg.asid, SavedConfig),
        VMSTATE_BOOL(cfg.aset, SavedConfig),
        VMSTATE_STRUCT_ARRAY(cfg.tt, SavedConfig, 2, 1, vmstate_tt,
                             SMMUTransTableInfo),
        VMSTATE_UINT8(cfg.s2cfg.tsz, SavedConfig),
        VMSTATE_UINT8(cfg.s2cfg.sl0, SavedConfig),
        VMSTATE_BOOL(cfg.s2cfg.affd, SavedConfig),
        VMSTATE_BOOL(cfg.s2cfg.ha, SavedConfig),
        VMSTATE_BOOL(cfg.s2cfg.hd, SavedConfig),
        VMSTATE_BOOL(cfg.s2cfg.record_faults, SavedConfig),
        VMSTATE_BOOL(cfg.s2cfg.stall, SavedConfig),
        VMSTATE_UINT8(cfg.s2cfg.granule_sz, SavedConfig),
        VMSTATE_UINT8(cfg.s2cfg.eff_ps, SavedConfig),
        VMSTATE_INT32(cfg.s2cfg.vmid, SavedConfig),
        VMSTATE_UINT64(cfg.s2cfg.vttb, SavedConfig),
        VMSTATE_END_OF_LIST()
    }
};

static const VMStateDescription vmstate_record = {
    .name = "smmuv3-sva/record",
    .version_id = 1,
    .minimum_version_id = 1,
    .fields = (const VMStateField[]) {
        VMSTATE_UINT64(sequence, SMMUv3JournalRecord),
        VMSTATE_INT64(ns, SMMUv3JournalRecord),
        VMSTATE_UINT32(kind, SMMUv3JournalRecord),
        VMSTATE_UINT8(what, SMMUv3JournalRecord),
        VMSTATE_BOOL(has_addr, SMMUv3JournalRecord),
        VMSTATE_UINT32(sid, SMMUv3JournalRecord),
        VMSTATE_UINT32(ssid, SMMUv3JournalRecord),
        VMSTATE_INT32(stag, SMMUv3JournalRecord),
        VMSTATE_INT32(asid, SMMUv3JournalRecord),
        VMSTATE_INT32(vmid, SMMUv3JournalRecord),
        VMSTATE_UINT64(addr, SMMUv3JournalRecord),
        VMSTATE_UINT64(size, SMMUv3JournalRecord),
        VMSTATE_END_OF_LIST()
    }
};

static const VMStateDescription vmstate_stall = {
    .name = "smmuv3-sva/stall",
    .version_id = 1,
    .minimum_version_id = 1,
    .fields = (const VMStateField[]) {
        VMSTATE_UINT32(sid, SMMUv3Stall),
        VMSTATE_UINT16(stag, SMMUv3Stall),
        VMSTATE_BOOL(recorded, SMMUv3Stall),
        VMSTATE_UINT64(ticket, SMMUv3Stall),
        VMSTATE_STRUCT(journal, SMMUv3Stall, 1, vmstate_record,
                       SMMUv3JournalRecord),
        VMSTATE_END_OF_LIST()
    }
};

/* All counters, as an array */
static Stat64 *counter(SMMUv3State *s, unsigned i)
{
    unsigned nr_iotlb = sizeof(SMMUIOTLBStats) / sizeof(Stat64);

    return i < nr_iotlb ? (Stat64 *)&s->smmu_state.iotlb_stats + i :
                          (Stat64 *)&s->sva.stats + (i - nr_iotlb);
}

static unsigned count_counters(void)
{
    return (sizeof(SMMUIOTLBStats) + sizeof(SMMUv3SVAStats)) / sizeof(Stat64);
}

static void migration_free(SMMUv3Migration *m)
{
    g_clear_pointer(&m->configs, g_free);
    g_clear_pointer(&m->entries, g_free);
    g_clear_pointer(&m->stalls, g_free);
    g_clear_pointer(&m->records, g_free);
    g_clear_pointer(&m->counters, g_free);
    m->nr_configs = m->nr_entries = m->nr_stalls = m->nr_records = 0;
    m->nr_counters = 0;
}

static void save_configs(SMMUv3Migration *m)
{
    SMMUState *bs = &m->s->smmu_state;
    SMMUTransCfg *cfg;
    GHashTableIter iter;

    QEMU_LOCK_GUARD(&m->s->mutex);
    m->configs = g_new0(SavedConfig, g_hash_table_size(bs->configs));
    g_hash_table_iter_init(&iter, bs->configs);
    while (g_hash_table_iter_next(&iter, NULL, (gpointer *)&cfg)) {
        m->configs[m->nr_configs++] = (SavedConfig) {
            .sid = smmu_get_sid(cfg->key.sdev),
            .ssid = cfg->key.ssid,
            .cfg = *cfg,
        };
    }
}

static void load_configs(SMMUv3Migration *m)
{
    SMMUState *bs = &m->s->smmu_state;

    QEMU_LOCK_GUARD(&m->s->mutex);
    for (int i = 0; i < m->nr_configs; i++) {
        SavedConfig *saved = &m->configs[i];
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

static void save_iotlb(SMMUv3Migration *m)
{
    SMMUState *bs = &m->s->smmu_state;
    SMMUTLBEntry *e;

    QEMU_LOCK_GUARD(&m->s->mutex);
    if (!bs->iotlb_size) {
        return; /* the entry that is left will never be found */
    }
    m->entries = g_new0(SavedEntry, g_hash_table_size(bs->iotlb));
    QTAILQ_FOREACH(e, &bs->iotlb_fifo, next) {
        m->entries[m->nr_entries++] = (SavedEntry) {
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
            .clean = e->clean,
            .aset = e->aset,
            .global = e->global,
            .contiguous = e->contiguous,
        };
    }
}

static void load_iotlb(SMMUv3Migration *m)
{
    SMMUState *bs = &m->s->smmu_state;

    QEMU_LOCK_GUARD(&m->s->mutex);
    for (int i = 0; i < m->nr_entries; i++) {
        const SavedEntry *saved = &m->entries[i];
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

static void save_journal(SMMUv3Migration *m)
{
    SMMUv3Journal *j = &m->s->sva.journal;
    uint64_t n;

    QEMU_LOCK_GUARD(&j->lock);
    n = MIN(j->next, j->size);
    m->records = g_new0(SMMUv3JournalRecord, n);
    for (m->nr_records = 0; m->nr_records < n; m->nr_records++) {
        m->records[m->nr_records] =
            j->records[(j->next - n + m->nr_records) % j->size];
    }
    m->next_record = j->next;
}

static void load_journal(SMMUv3Migration *m)
{
    SMMUv3Journal *j = &m->s->sva.journal;

    QEMU_LOCK_GUARD(&j->lock);
    for (int i = 0; j->size && i < m->nr_records; i++) {
        j->records[m->records[i].sequence % j->size] = m->records[i];
    }
    j->next = m->next_record;
}

static int migration_pre_save(void *opaque)
{
    SMMUv3Migration *m = opaque;
    SMMUv3State *s = m->s;
    SMMUv3Stall *st;

    migration_free(m);
    save_configs(m);
    save_iotlb(m);
    save_journal(m);
    m->stalls = g_new0(SMMUv3Stall, s->sva.outstanding);
    QTAILQ_FOREACH(st, &s->sva.stalls, next) {
        m->stalls[m->nr_stalls++] = *st;
    }
    m->nr_counters = count_counters();
    m->counters = g_new0(uint64_t, m->nr_counters);
    for (unsigned i = 0; i < m->nr_counters; i++) {
        m->counters[i] = stat64_get(counter(s, i));
    }
    m->next_stag = s->sva.next_stag;
    m->next_ticket = s->sva.next_ticket;
    return 0;
}

static int migration_post_save(void *opaque)
{
    migration_free(opaque);
    return 0;
}

static int migration_post_load(void *opaque, int version_id)
{
    SMMUv3Migration *m = opaque;
    SMMUv3State *s = m->s;

    if (m->nr_counters != count_counters() || m->next_record < m->nr_records) {
        return -EINVAL;
    }
    load_configs(m);
    load_iotlb(m);
    load_journal(m);
    for (unsigned i = 0; i < m->nr_counters; i++) {
        Stat64 *c = counter(s, i);

        stat64_init(c, m->counters[i]);
    }
    s->sva.next_stag = m->next_stag;
    s->sva.next_ticket = m->next_ticket;
    for (int i = 0; i < m->nr_stalls; i++) {
        smmuv3_sva_stall_restore(s, &m->stalls[i]);
    }
    migration_free(m);
    return 0;
}

/* With the properties that stock QEMU has, there is nothing that it lacks */
static bool migration_needed(void *opaque)
{
    SMMUv3Migration *m = opaque;
    SMMUv3SVA *sva = &m->s->sva;
    SMMUState *bs = &m->s->smmu_state;

    return sva->ssidsize || sva->stall || sva->httu || sva->btm ||
           bs->iotlb_contiguous || bs->iotlb_faults ||
           bs->iotlb_size != SMMU_IOTLB_MAX_SIZE;
}

static const VMStateDescription vmstate_sva = {
    .name = "smmuv3-sva",
    .version_id = 1,
    .minimum_version_id = 1,
    .needed = migration_needed,
    .pre_save = migration_pre_save,
    .post_save = migration_post_save,
    .post_load = migration_post_load,
    .fields = (const VMStateField[]) {
        VMSTATE_INT32(nr_configs, SMMUv3Migration),
        VMSTATE_STRUCT_VARRAY_ALLOC(configs, SMMUv3Migration, nr_configs, 1,
                                    vmstate_config, SavedConfig),
        VMSTATE_INT32(nr_entries, SMMUv3Migration),
        VMSTATE_STRUCT_VARRAY_ALLOC(entries, SMMUv3Migration, nr_entries, 1,
                                    vmstate_entry, SavedEntry),
        VMSTATE_INT32(nr_stalls, SMMUv3Migration),
        VMSTATE_STRUCT_VARRAY_ALLOC(stalls, SMMUv3Migration, nr_stalls, 1,
                                    vmstate_stall, SMMUv3Stall),
        VMSTATE_INT32(nr_records, SMMUv3Migration),
        VMSTATE_STRUCT_VARRAY_ALLOC(records, SMMUv3Migration, nr_records, 1,
                                    vmstate_record, SMMUv3JournalRecord),
        VMSTATE_UINT64(next_record, SMMUv3Migration),
        VMSTATE_UINT32(nr_counters, SMMUv3Migration),
        VMSTATE_VARRAY_UINT32_ALLOC(counters, SMMUv3Migration, nr_counters, 1,
                                    vmstate_info_uint64, uint64_t),
        VMSTATE_UINT16(next_stag, SMMUv3Migration),
        VMSTATE_UINT64(next_ticket, SMMUv3Migration),
        VMSTATE_END_OF_LIST()
    }
};

static void migration_register(Notifier *notifier, void *data)
{
    SMMUv3Migration *m = container_of(notifier, SMMUv3Migration, machine_done);

    vmstate_register(VMSTATE_IF(m->s), 0, &vmstate_sva, m);
}

void smmuv3_migration_realize(SMMUv3State *s)
{
    s->sva.migration = g_new0(SMMUv3Migration, 1);
    s->sva.migration->s = s;
    s->sva.migration->machine_done.notify = migration_register;
    qemu_add_machine_init_done_notifier(&s->sva.migration->machine_done);
}
