/*
 * ARM SMMUv3: counters
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * One read of the QOM property "stats" gives them all, as a flat dictionary
 * of unsigned integers.
 */

#include "qemu/osdep.h"
#include "qapi/visitor.h"
#include "smmuv3-sva-internal.h"

QEMU_BUILD_BUG_ON(SMMU_SVA_CMD_TYPES <= SMMU_CMD_SYNC);
QEMU_BUILD_BUG_ON(SMMU_SVA_EVENT_TYPES <= SMMU_EVT_E_PAGE_REQ);

static uint64_t smmuv3_stats_tlbi(const SMMUv3SVAStats *stats)
{
    uint64_t n = 0;

    for (int i = SMMU_CMD_TLBI_NH_ALL; i <= SMMU_CMD_TLBI_NSNH_ALL; i++) {
        n += stat64_get(&stats->cmd[i]);
    }
    return n;
}

static uint64_t smmuv3_stats_events(const SMMUv3SVAStats *stats)
{
    uint64_t n = 0;

    for (int i = 0; i < ARRAY_SIZE(stats->event); i++) {
        n += stat64_get(&stats->event[i]);
    }
    return n;
}

void smmuv3_sva_count_cmd(SMMUv3State *s, Cmd *cmd)
{
    stat64_add(&s->sva.stats.cmd[CMD_TYPE(cmd)], 1);
    smmuv3_journal_command(s, cmd);
}

void smmuv3_sva_count_event(SMMUv3State *s, SMMUEventType type)
{
    stat64_add(&s->sva.stats.event[type], 1);
}

void smmuv3_sva_get_counters(SMMUv3State *s, StallableCounters *counters)
{
    SMMUIOTLBStats *iotlb = &s->smmu_state.iotlb_stats;
    SMMUv3SVAStats *stats = &s->sva.stats;

    *counters = (StallableCounters) {
        .tlbi = smmuv3_stats_tlbi(stats),
        .stalls = stat64_get(&stats->stalls),
        .resumes = stat64_get(&stats->cmd[SMMU_CMD_RESUME]),
        .capacity_losses = stat64_get(&iotlb->evictions) +
                           stat64_get(&iotlb->full_flushes),
        .hit_perm_faults = stat64_get(&iotlb->hit_perm_faults),
    };
}

static bool visit_counter(Visitor *v, const char *name, uint64_t n,
                          Error **errp)
{
    return visit_type_uint64(v, name, &n, errp);
}

/* "SMMU_CMD_TLBI_NH_VA" is visited as "cmd-tlbi-nh-va" */
static bool visit_typed_counters(Visitor *v, const char *const *names,
                                 int n, Stat64 *counters, Error **errp)
{
    for (int i = 0; i < n; i++) {
        g_autofree char *name = NULL;

        if (!names[i] || !g_str_has_prefix(names[i], "SMMU_")) {
            continue;
        }
        name = g_ascii_strdown(names[i] + strlen("SMMU_"), -1);
        g_strdelimit(name, "_", '-');
        /* "evt-..." is what the enum calls an event */
        if (g_str_has_prefix(name, "evt-")) {
            char *event = g_strconcat("event-", name + strlen("evt-"), NULL);

            g_free(name);
            name = event;
        }
        if (!visit_counter(v, name, stat64_get(&counters[i]), errp)) {
            return false;
        }
    }
    return true;
}

static bool visit_stats(SMMUv3State *s, Visitor *v, Error **errp)
{
    SMMUState *bs = &s->smmu_state;
    SMMUIOTLBStats *iotlb = &bs->iotlb_stats;
    SMMUv3SVAStats *stats = &s->sva.stats;
    uint64_t entries;

    qemu_mutex_lock(&s->mutex);
    entries = bs->iotlb_size ? g_hash_table_size(bs->iotlb) : 0;
    qemu_mutex_unlock(&s->mutex);

    const struct {
        const char *name;
        uint64_t value;
    } plain[] = {
        { "iotlb-size", bs->iotlb_size },
        { "iotlb-entries", entries },
        { "iotlb-hits", stat64_get(&iotlb->hits) },
        { "iotlb-misses", stat64_get(&iotlb->misses) },
        { "iotlb-inserts", stat64_get(&iotlb->inserts) },
        { "iotlb-evictions", stat64_get(&iotlb->evictions) },
        { "iotlb-full-flushes", stat64_get(&iotlb->full_flushes) },
        { "iotlb-hit-perm-faults", stat64_get(&iotlb->hit_perm_faults) },
        { "httu-access", stat64_get(&iotlb->httu_access) },
        { "httu-dirty", stat64_get(&iotlb->httu_dirty) },
        { "httu-races", stat64_get(&iotlb->httu_races) },
        { "events", smmuv3_stats_events(stats) },
        { "events-lost", stat64_get(&stats->events_lost) },
        { "stalls", stat64_get(&stats->stalls) },
        { "stalls-outstanding", s->sva.outstanding },
        { "stalls-unrecorded", stat64_get(&stats->stalls_unrecorded) },
        { "resume-retry", stat64_get(&stats->resume_retry) },
        { "resume-abort", stat64_get(&stats->resume_abort) },
        { "resume-term", stat64_get(&stats->resume_term) },
        { "resume-nomatch", stat64_get(&stats->resume_nomatch) },
        { "stall-term", stat64_get(&stats->stall_term) },
        { "stall-disable", stat64_get(&stats->stall_disable) },
        { "stall-cancel", stat64_get(&stats->stall_cancel) },
        { "tlbi", smmuv3_stats_tlbi(stats) },
        { "btm-received", stat64_get(&stats->btm_received) },
        { "btm-invalidated", stat64_get(&stats->btm_invalidated) },
        { "btm-ignored", stat64_get(&stats->btm_ignored) },
    };

    for (int i = 0; i < ARRAY_SIZE(plain); i++) {
        if (!visit_counter(v, plain[i].name, plain[i].value, errp)) {
            return false;
        }
    }
    return visit_typed_counters(v, cmd_stringify, ARRAY_SIZE(cmd_stringify),
                                stats->cmd, errp) &&
           visit_typed_counters(v, event_stringify,
                                ARRAY_SIZE(event_stringify), stats->event,
                                errp);
}

/* BQL held, as for every QOM property */
static void smmuv3_get_stats(Object *obj, Visitor *v, const char *name,
                             void *opaque, Error **errp)
{
    if (!visit_start_struct(v, name, NULL, 0, errp)) {
        return;
    }
    if (visit_stats(ARM_SMMUV3(obj), v, errp)) {
        visit_check_struct(v, errp);
    }
    visit_end_struct(v, NULL);
}

void smmuv3_sva_stats_class_init(ObjectClass *klass)
{
    object_class_property_add(klass, "stats", "struct", smmuv3_get_stats, NULL,
                              NULL, NULL);
    object_class_property_set_description(klass, "stats",
        "Counters since the machine was created");
}
