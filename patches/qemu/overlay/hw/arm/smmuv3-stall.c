/*
 * ARM SMMUv3: event queue and stall model
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * IHI 0070: 3.12.2 Stall model, 5.5 Fault configuration, 4.7.1 CMD_RESUME,
 * 4.7.2 CMD_STALL_TERM, 6.3.9.6 SMMUEN, 7.2.1 Recording of events, 7.4 Event
 * queue overflow.
 *
 * The access itself stays with the client. Here is who waits, and under which
 * STAG. An access whose record can't be written waits too, without a STAG that
 * software could know, and is retried as soon as a record can be written.
 *
 * The list of stalls is protected by the BQL.
 */

#include "qemu/osdep.h"
#include "qemu/main-loop.h"
#include "smmuv3-sva-internal.h"
#include "trace.h"

bool smmuv3_sva_eventq_writable(SMMUv3State *s)
{
    return smmuv3_eventq_enabled(s) && !smmuv3_q_full(&s->eventq) &&
           !FIELD_EX32(s->gerror ^ s->gerrorn, GERROR, EVENTQ_ABT_ERR);
}

void smmuv3_sva_event_lost(SMMUv3State *s, SMMUEventType type)
{
    if (type == SMMU_EVT_NONE) {
        return;
    }
    stat64_add(&s->sva.stats.events_lost, 1);
    if (smmuv3_eventq_enabled(s) && smmuv3_q_full(&s->eventq) &&
        !((s->eventq.prod ^ s->eventq.cons) & EVT_Q_OVERFLOW)) {
        s->eventq.prod ^= EVT_Q_OVERFLOW;
    }
}

void smmuv3_sva_event_config(SMMUEventInfo *event, const SMMUTransCfg *cfg)
{
    event->s1_stall = cfg->stall;
    event->s2_stall = cfg->s2cfg.stall;
    event->asid = cfg->asid;
    event->vmid = cfg->s2cfg.vmid;
}

void smmuv3_sva_fixup_event(SMMUEventInfo *event, uint32_t ssid, hwaddr iova,
                            IOMMUAccessFlags flag)
{
    bool ssv = ssid != PCI_NO_PASID;

    event->ssid = ssid;
    event->iova = iova;
    if (!ssv) {
        ssid = 0;
    }
    switch (event->type) {
    case SMMU_EVT_C_BAD_STREAMID:
    case SMMU_EVT_C_BAD_STE:
    case SMMU_EVT_C_BAD_CD:
        event->u.c_bad_ste.ssv = ssv;
        event->u.c_bad_ste.ssid = ssid;
        break;
    case SMMU_EVT_F_STE_FETCH:
    case SMMU_EVT_F_CD_FETCH:
        event->u.f_cd_fetch.ssv = ssv;
        event->u.f_cd_fetch.ssid = ssid;
        break;
    case SMMU_EVT_C_BAD_SUBSTREAMID:
        event->u.c_bad_substream.ssid = ssid;
        break;
    case SMMU_EVT_F_TRANSLATION:
    case SMMU_EVT_F_ADDR_SIZE:
    case SMMU_EVT_F_ACCESS:
    case SMMU_EVT_F_PERMISSION:
        /* IPA[51:12], and only of stage 2 (7.3.13) */
        event->u.f_walk_eabt.addr2 &= event->u.f_walk_eabt.s2 ?
                                      MAKE_64BIT_MASK(12, 40) : 0;
        QEMU_FALLTHROUGH;
    case SMMU_EVT_F_WALK_EABT:
        event->u.f_walk_eabt.ssv = ssv;
        event->u.f_walk_eabt.ssid = ssid;
        /*
         * Of the access itself, even if it was a descriptor's fetch that
         * faulted; and an access that reads and writes is a write.
         */
        event->u.f_walk_eabt.rnw = flag == IOMMU_RO;
        break;
    default:
        break;
    }
}

static SMMUv3Stall *smmuv3_stall_find(SMMUv3SVA *sva, uint16_t stag)
{
    SMMUv3Stall *st;

    QTAILQ_FOREACH(st, &sva->stalls, next) {
        if (st->recorded && st->stag == stag) {
            return st;
        }
    }
    return NULL;
}

static void smmuv3_stall_remove(SMMUv3SVA *sva, SMMUv3Stall *st)
{
    QTAILQ_REMOVE(&sva->stalls, st, next);
    sva->outstanding--;
    sva->recorded -= st->recorded;
    if (st->client) {
        st->client->stalled = false;
    }
    g_free(st);
}

static void smmuv3_stall_journal(SMMUv3State *s, SMMUv3Stall *st,
                                 SMMUv3JournalKind kind)
{
    SMMUv3JournalRecord r = st->journal;

    r.kind = kind;
    smmuv3_journal_add(s, &r);
}

static void smmuv3_stall_complete(SMMUv3State *s, SMMUv3Stall *st,
                                  StallResponse response,
                                  SMMUv3JournalKind kind)
{
    StallClient *client = st->client;

    smmuv3_stall_journal(s, st, kind);
    trace_smmuv3_stall_complete(st->sid, st->stag, response);
    smmuv3_stall_remove(&s->sva, st);
    if (client) {
        client->resume(client, response);
    }
}

static bool smmuv3_event_may_stall(const SMMUEventInfo *event)
{
    switch (event->type) {
    case SMMU_EVT_F_TRANSLATION:
    case SMMU_EVT_F_ADDR_SIZE:
    case SMMU_EVT_F_ACCESS:
    case SMMU_EVT_F_PERMISSION:
        return event->u.f_walk_eabt.s2 ? event->s2_stall : event->s1_stall;
    default:
        return false;
    }
}

bool smmuv3_sva_stall(SMMUv3State *s, SMMUEventInfo *event,
                      StallClient *client)
{
    SMMUv3SVA *sva = &s->sva;
    SMMUv3Stall *st;

    if (!client || !smmuv3_event_may_stall(event)) {
        smmuv3_journal_event(s, SMMUV3_JOURNAL_FAULT, event);
        return false;
    }
    assert(bql_locked());
    assert(!client->stalled);

    st = g_new0(SMMUv3Stall, 1);
    st->sid = event->sid;
    st->client = client;
    st->ticket = sva->next_ticket++;
    client->ticket = st->ticket;
    client->stalled = true;
    stat64_add(&sva->stats.stalls, 1);

    if (smmuv3_sva_eventq_writable(s) && sva->recorded < SMMU_SVA_STALL_MAX) {
        do {
            st->stag = sva->next_stag++;
        } while (smmuv3_stall_find(sva, st->stag));
        st->recorded = true;
        sva->recorded++;
        event->u.f_walk_eabt.stall = true;
        event->u.f_walk_eabt.stag = st->stag;
        /* if the write aborts, GERROR tells so, and the record is lost */
        smmuv3_record_event(s, event);
    } else {
        stat64_add(&sva->stats.stalls_unrecorded, 1);
    }
    st->journal = (SMMUv3JournalRecord) {
        .sid = event->sid,
        .ssid = event->ssid,
        .stag = st->recorded ? st->stag : -1,
        .asid = event->asid,
        .vmid = event->vmid,
        .has_addr = true,
        .addr = event->iova,
    };
    smmuv3_journal_event(s, SMMUV3_JOURNAL_STALL, event);
    QTAILQ_INSERT_TAIL(&sva->stalls, st, next);
    sva->outstanding++;
    trace_smmuv3_stall(smmu_event_string(event->type), event->sid,
                       event->u.f_walk_eabt.ssid, st->recorded, st->stag,
                       event->u.f_walk_eabt.addr, event->u.f_walk_eabt.rnw);
    return true;
}

void smmuv3_sva_retry_unrecorded(SMMUv3State *s)
{
    SMMUv3SVA *sva = &s->sva;
    SMMUv3Stall *st, *tmp;

    if (!smmuv3_sva_eventq_writable(s) ||
        sva->recorded >= SMMU_SVA_STALL_MAX) {
        return;
    }
    QTAILQ_FOREACH_SAFE(st, &sva->stalls, next, tmp) {
        if (!st->recorded) {
            smmuv3_stall_complete(s, st, STALL_RETRY, SMMUV3_JOURNAL_REISSUE);
        }
    }
}

/* Terminate the stalls of @sid, or of every stream if @sid < 0 */
static int smmuv3_stall_term(SMMUv3State *s, int64_t sid)
{
    SMMUv3Stall *st, *tmp;
    int n = 0;

    QTAILQ_FOREACH_SAFE(st, &s->sva.stalls, next, tmp) {
        if (sid < 0 || st->sid == sid) {
            smmuv3_stall_complete(s, st, STALL_ABORT,
                                  sid < 0 ? SMMUV3_JOURNAL_DISABLE :
                                            SMMUV3_JOURNAL_STALL_TERM);
            n++;
        }
    }
    return n;
}

void smmuv3_sva_stall_disable(SMMUv3State *s)
{
    stat64_add(&s->sva.stats.stall_disable, smmuv3_stall_term(s, -1));
}

void smmuv3_sva_stall_cancel(SMMUv3State *s, StallClient *client)
{
    SMMUv3Stall *st;

    assert(bql_locked());
    if (client->stalled && QTAILQ_IN_USE(client, unclaimed)) {
        QTAILQ_REMOVE(&s->sva.unclaimed, client, unclaimed);
        client->stalled = false;
        return;
    }
    QTAILQ_FOREACH(st, &s->sva.stalls, next) {
        if (st->client == client) {
            smmuv3_stall_journal(s, st, SMMUV3_JOURNAL_CANCEL);
            smmuv3_stall_remove(&s->sva, st);
            stat64_add(&s->sva.stats.stall_cancel, 1);
            smmuv3_sva_retry_unrecorded(s);
            return;
        }
    }
}

void smmuv3_sva_stall_restore(SMMUv3State *s, const SMMUv3Stall *saved)
{
    SMMUv3SVA *sva = &s->sva;
    SMMUv3Stall *st = g_new0(SMMUv3Stall, 1);
    StallClient *client;

    *st = (SMMUv3Stall) {
        .sid = saved->sid,
        .stag = saved->stag,
        .recorded = saved->recorded,
        .ticket = saved->ticket,
        .journal = saved->journal,
    };
    QTAILQ_FOREACH(client, &sva->unclaimed, unclaimed) {
        if (client->ticket == st->ticket) {
            QTAILQ_REMOVE(&sva->unclaimed, client, unclaimed);
            st->client = client;
            break;
        }
    }
    QTAILQ_INSERT_TAIL(&sva->stalls, st, next);
    sva->outstanding++;
    sva->recorded += st->recorded;
}

void smmuv3_sva_stall_claim(SMMUv3State *s, StallClient *client)
{
    SMMUv3Stall *st;

    assert(client->stalled);
    QTAILQ_FOREACH(st, &s->sva.stalls, next) {
        if (!st->client && st->ticket == client->ticket) {
            st->client = client;
            return;
        }
    }
    QTAILQ_INSERT_TAIL(&s->sva.unclaimed, client, unclaimed);
}

SMMUCmdError smmuv3_sva_cmd_resume(SMMUv3State *s, Cmd *cmd)
{
    SMMUv3SVAStats *stats = &s->sva.stats;
    uint16_t stag = CMD_RESUME_STAG(cmd);
    uint32_t sid = CMD_SID(cmd);
    SMMUv3Stall *st;

    if (!s->sva.stall || CMD_SSEC(cmd)) {
        return SMMU_CERROR_ILL;
    }
    st = smmuv3_stall_find(&s->sva, stag);
    if (!st || st->sid != sid) {
        trace_smmuv3_resume_nomatch(sid, stag);
        stat64_add(&stats->resume_nomatch, 1);
        smmuv3_journal_add(s, &(SMMUv3JournalRecord) {
            .kind = SMMUV3_JOURNAL_NO_MATCH,
            .sid = sid,
            .ssid = PCI_NO_PASID,
            .stag = stag,
            .asid = -1,
            .vmid = -1,
        });
        return SMMU_CERROR_NONE;
    }
    if (CMD_RESUME_AC(cmd)) {
        stat64_add(&stats->resume_retry, 1);
        smmuv3_stall_complete(s, st, STALL_RETRY, SMMUV3_JOURNAL_RETRY);
    } else {
        /* IDR0.TERM_MODEL is 1: Ab is IGNORED, but tells what was wanted */
        stat64_add(CMD_RESUME_AB(cmd) ? &stats->resume_abort :
                                        &stats->resume_term, 1);
        smmuv3_stall_complete(s, st, STALL_ABORT, CMD_RESUME_AB(cmd) ?
                              SMMUV3_JOURNAL_ABORT :
                              SMMUV3_JOURNAL_TERMINATE);
    }
    smmuv3_sva_retry_unrecorded(s);
    return SMMU_CERROR_NONE;
}

SMMUCmdError smmuv3_sva_cmd_stall_term(SMMUv3State *s, Cmd *cmd)
{
    if (!s->sva.stall || CMD_SSEC(cmd)) {
        return SMMU_CERROR_ILL;
    }
    stat64_add(&s->sva.stats.stall_term, smmuv3_stall_term(s, CMD_SID(cmd)));
    smmuv3_sva_retry_unrecorded(s);
    return SMMU_CERROR_NONE;
}
