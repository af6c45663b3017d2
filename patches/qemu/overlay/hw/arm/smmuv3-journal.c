/*
 * ARM SMMUv3: journal
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The last faults, stalls, resumes, invalidations and evictions, in the order
 * in which they happened. The QOM property "journal" gives them all:
 *
 *   { "lost": how many older ones there were, "records": [ ... ] }
 *
 * Its lock is innermost: records come from wherever the SMMU translates, with
 * or without the BQL and the SMMU's own lock.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/visitor.h"
#include "qemu/timer.h"
#include "smmuv3-sva-internal.h"

#define JOURNAL_MAX_SIZE    (1 << 20)

static const char *const journal_kinds[] = {
    [SMMUV3_JOURNAL_FAULT] = "fault",
    [SMMUV3_JOURNAL_STALL] = "stall",
    [SMMUV3_JOURNAL_RETRY] = "retry",
    [SMMUV3_JOURNAL_ABORT] = "abort",
    [SMMUV3_JOURNAL_TERMINATE] = "terminate",
    [SMMUV3_JOURNAL_NO_MATCH] = "resume-nomatch",
    [SMMUV3_JOURNAL_REISSUE] = "reissue",
    [SMMUV3_JOURNAL_STALL_TERM] = "stall-term",
    [SMMUV3_JOURNAL_DISABLE] = "disable",
    [SMMUV3_JOURNAL_CANCEL] = "cancel",
    [SMMUV3_JOURNAL_COMMAND] = "command",
    [SMMUV3_JOURNAL_BROADCAST] = "broadcast",
    [SMMUV3_JOURNAL_EVICTION] = "eviction",
    [SMMUV3_JOURNAL_FULL_FLUSH] = "full-flush",
};

void smmuv3_journal_add(SMMUv3State *s, const SMMUv3JournalRecord *record)
{
    SMMUv3Journal *j = &s->sva.journal;
    SMMUv3JournalRecord *r;

    if (!j->size) {
        return;
    }
    QEMU_LOCK_GUARD(&j->lock);
    r = &j->records[j->next % j->size];
    *r = *record;
    r->sequence = j->next++;
    r->ns = qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL);
}

void smmuv3_journal_event(SMMUv3State *s, SMMUv3JournalKind kind,
                          const SMMUEventInfo *event)
{
    SMMUv3JournalRecord r = {
        .kind = kind,
        .what = event->type,
        .sid = event->sid,
        .ssid = event->ssid,
        .stag = -1,
        .asid = event->asid,
        .vmid = event->vmid,
        .has_addr = true,
        .addr = event->iova,
    };

    if (kind == SMMUV3_JOURNAL_STALL && event->u.f_walk_eabt.stall) {
        r.stag = event->u.f_walk_eabt.stag;
    }
    smmuv3_journal_add(s, &r);
}

/* What TLBI commands are about (IHI 0070 4.4) */
static void journal_tlbi(SMMUv3JournalRecord *r, Cmd *cmd)
{
    switch (CMD_TYPE(cmd)) {
    case SMMU_CMD_TLBI_NH_VA:
        r->asid = CMD_ASID(cmd);
        /* fallthrough */
    case SMMU_CMD_TLBI_NH_VAA:
    case SMMU_CMD_TLBI_S2_IPA:
        r->vmid = CMD_VMID(cmd);
        r->has_addr = true;
        r->addr = CMD_ADDR(cmd);
        if (CMD_TG(cmd)) {
            r->size = (CMD_NUM(cmd) + 1ULL) << CMD_SCALE(cmd) <<
                      (2 * CMD_TG(cmd) + 10);
        }
        break;
    case SMMU_CMD_TLBI_NH_ASID:
        r->asid = CMD_ASID(cmd);
        /* fallthrough */
    case SMMU_CMD_TLBI_NH_ALL:
    case SMMU_CMD_TLBI_S12_VMALL:
        r->vmid = CMD_VMID(cmd);
        break;
    default:
        break;
    }
}

void smmuv3_journal_command(SMMUv3State *s, Cmd *cmd)
{
    SMMUv3JournalRecord r = {
        .kind = SMMUV3_JOURNAL_COMMAND,
        .what = CMD_TYPE(cmd),
        .sid = -1,
        .ssid = PCI_NO_PASID,
        .stag = -1,
        .asid = -1,
        .vmid = -1,
    };

    switch (CMD_TYPE(cmd)) {
    case SMMU_CMD_CFGI_CD:
        r.ssid = CMD_SSID(cmd);
        /* fallthrough */
    case SMMU_CMD_CFGI_STE:
    case SMMU_CMD_CFGI_STE_RANGE:
    case SMMU_CMD_CFGI_CD_ALL:
        r.sid = CMD_SID(cmd);
        break;
    case SMMU_CMD_TLBI_NH_ALL ... SMMU_CMD_TLBI_NSNH_ALL:
        journal_tlbi(&r, cmd);
        break;
    default:
        return; /* CMD_RESUME and CMD_STALL_TERM tell by their effects */
    }
    smmuv3_journal_add(s, &r);
}

void smmuv3_journal_broadcast(SMMUv3State *s, const SMMUIOTLBMatch *m)
{
    SMMUv3JournalRecord r = {
        .kind = SMMUV3_JOURNAL_BROADCAST,
        .sid = -1,
        .ssid = PCI_NO_PASID,
        .stag = -1,
        .asid = m->asid,
        .vmid = m->vmid,
        .has_addr = m->by_addr,
        .addr = m->addr,
        .size = m->size,
    };

    smmuv3_journal_add(s, &r);
}

void smmuv3_journal_eviction(SMMUState *bs, const SMMUTLBEntry *entry)
{
    SMMUv3JournalRecord r = {
        .kind = entry ? SMMUV3_JOURNAL_EVICTION : SMMUV3_JOURNAL_FULL_FLUSH,
        .sid = -1,
        .ssid = PCI_NO_PASID,
        .stag = -1,
        .asid = -1,
        .vmid = -1,
    };

    if (entry) {
        r.sid = smmu_get_sid(entry->filled_by.sdev);
        r.ssid = entry->filled_by.ssid;
        r.asid = entry->global ? -1 : entry->key->asid;
        r.vmid = entry->key->vmid;
        r.has_addr = true;
        r.addr = entry->entry.iova;
        r.size = entry->entry.addr_mask + 1;
    }
    smmuv3_journal_add(ARM_SMMUV3(bs), &r);
}

bool smmuv3_journal_realize(SMMUv3State *s, Error **errp)
{
    SMMUv3Journal *j = &s->sva.journal;

    if (j->size > JOURNAL_MAX_SIZE) {
        error_setg(errp, "Property '%s.journal-size' doesn't take value %u"
                   " (minimum: 0, maximum: %d)", TYPE_ARM_SMMUV3, j->size,
                   JOURNAL_MAX_SIZE);
        return false;
    }
    qemu_mutex_init(&j->lock);
    j->records = g_new0(SMMUv3JournalRecord, j->size);
    return true;
}

/* The QOM property */

static bool visit_number(Visitor *v, const char *name, uint64_t n, Error **errp)
{
    return visit_type_uint64(v, name, &n, errp);
}

/* "SMMU_EVT_F_ACCESS" is told as "f-access", "SMMU_CMD_CFGI_CD" as "cfgi-cd" */
static bool visit_what(Visitor *v, const SMMUv3JournalRecord *r, Error **errp)
{
    g_autofree char *name = NULL;

    switch (r->kind) {
    case SMMUV3_JOURNAL_FAULT:
    case SMMUV3_JOURNAL_STALL:
        if (r->what == SMMU_EVT_NONE) {
            return true;
        }
        name = g_ascii_strdown(smmu_event_string(r->what) +
                               strlen("SMMU_EVT_"), -1);
        break;
    case SMMUV3_JOURNAL_COMMAND:
        name = g_ascii_strdown(smmu_cmd_string(r->what) +
                               strlen("SMMU_CMD_"), -1);
        break;
    default:
        return true;
    }
    g_strdelimit(name, "_", '-');
    return visit_type_str(v, "what", &name, errp);
}

static bool visit_record(Visitor *v, const SMMUv3JournalRecord *r, Error **errp)
{
    char *kind = (char *)journal_kinds[r->kind];
    bool ok;

    if (!visit_start_struct(v, NULL, NULL, 0, errp)) {
        return false;
    }
    ok = visit_number(v, "sequence", r->sequence, errp) &&
         visit_number(v, "time", r->ns, errp) &&
         visit_type_str(v, "kind", &kind, errp) &&
         visit_what(v, r, errp) &&
         (r->sid == UINT32_MAX || visit_number(v, "stream", r->sid, errp)) &&
         (r->ssid == PCI_NO_PASID ||
          visit_number(v, "substream", r->ssid, errp)) &&
         (r->stag < 0 || visit_number(v, "stag", r->stag, errp)) &&
         (r->asid < 0 || visit_number(v, "asid", r->asid, errp)) &&
         (r->vmid < 0 || visit_number(v, "vmid", r->vmid, errp)) &&
         (!r->has_addr || visit_number(v, "address", r->addr, errp)) &&
         (!r->size || visit_number(v, "size", r->size, errp)) &&
         visit_check_struct(v, errp);
    visit_end_struct(v, NULL);
    return ok;
}

static bool visit_journal(SMMUv3Journal *j, Visitor *v, Error **errp)
{
    uint64_t lost;
    bool ok;

    QEMU_LOCK_GUARD(&j->lock);
    lost = j->next > j->size ? j->next - j->size : 0;
    ok = visit_number(v, "lost", lost, errp) &&
         visit_start_list(v, "records", NULL, 0, errp);
    if (!ok) {
        return false;
    }
    for (uint64_t n = lost; ok && n < j->next; n++) {
        ok = visit_record(v, &j->records[n % j->size], errp);
    }
    visit_end_list(v, NULL);
    return ok;
}

static void smmuv3_get_journal(Object *obj, Visitor *v, const char *name,
                               void *opaque, Error **errp)
{
    SMMUv3State *s = ARM_SMMUV3(obj);

    if (!visit_start_struct(v, name, NULL, 0, errp)) {
        return;
    }
    if (visit_journal(&s->sva.journal, v, errp)) {
        visit_check_struct(v, errp);
    }
    visit_end_struct(v, NULL);
}

void smmuv3_journal_class_init(ObjectClass *klass)
{
    object_class_property_add(klass, "journal", "dict", smmuv3_get_journal,
                              NULL, NULL, NULL);
    object_class_property_set_description(klass, "journal",
        "The last faults, stalls, resumes, invalidations and evictions");
}
