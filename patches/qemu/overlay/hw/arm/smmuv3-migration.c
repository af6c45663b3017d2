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
#include "smmuv3-migration.h"

struct SMMUv3Migration {
    SMMUv3State *s;
    Notifier machine_done;
    int32_t nr_configs;
    SMMUv3SavedConfig *configs;
    int32_t nr_entries;
    SMMUv3SavedEntry *entries;
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
    m->configs = smmuv3_save_configs(s, &m->nr_configs);
    m->entries = smmuv3_save_iotlb(s, &m->nr_entries);
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
    smmuv3_load_configs(s, m->configs, m->nr_configs);
    smmuv3_load_iotlb(s, m->entries, m->nr_entries);
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
    .version_id = 2,
    .minimum_version_id = 2,
    .needed = migration_needed,
    .pre_save = migration_pre_save,
    .post_save = migration_post_save,
    .post_load = migration_post_load,
    .fields = (const VMStateField[]) {
        VMSTATE_INT32(nr_configs, SMMUv3Migration),
        VMSTATE_STRUCT_VARRAY_ALLOC(configs, SMMUv3Migration, nr_configs, 1,
                                    vmstate_smmuv3_config, SMMUv3SavedConfig),
        VMSTATE_INT32(nr_entries, SMMUv3Migration),
        VMSTATE_STRUCT_VARRAY_ALLOC(entries, SMMUv3Migration, nr_entries, 1,
                                    vmstate_smmuv3_entry, SMMUv3SavedEntry),
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
