/*
 * ARM SMMUv3: broadcast TLB maintenance (BTM)
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * IHI 0070: 3.17 TLB tagging, VMIDs, ASIDs and participation in broadcast TLB
 * maintenance; 6.3.12 SMMU_CR2.PTM. A broadcast comes in the thread of a CPU,
 * without the BQL: the SMMU's lock is all that is needed.
 */

#include "qemu/osdep.h"
#include "hw/arm/tlbi-broadcast.h"
#include "qapi/error.h"
#include "system/qtest.h"
#include "system/tcg.h"
#include "smmuv3-sva-internal.h"

static SMMUIOTLBMatch smmuv3_btm_match(const ArmTLBI *t)
{
    SMMUIOTLBMatch m = { .asid = -1, .vmid = t->vmid };

    switch (t->scope) {
    case ARM_TLBI_ALLE1:
        m.vmid = -1;
        m.any_stage = true;
        break;
    case ARM_TLBI_VMALLS12E1:
        m.any_stage = true;
        break;
    case ARM_TLBI_VMALLE1:
        break;
    case ARM_TLBI_ASIDE1:
        m.asid = t->asid;
        m.shared_only = true;
        break;
    case ARM_TLBI_VAE1:
        m.asid = t->asid;
        m.and_global = true;
        m.shared_only = true;
        m.by_addr = true;
        break;
    case ARM_TLBI_VAAE1:
        m.by_addr = true;
        break;
    case ARM_TLBI_IPAS2E1:
        m.stage_2 = true;
        m.by_addr = true;
        break;
    }
    m.addr = t->addr;
    m.size = t->size;
    return m;
}

static void smmuv3_btm_notify(Notifier *notifier, void *data)
{
    SMMUv3SVA *sva = container_of(notifier, SMMUv3SVA, tlbi_listener);
    SMMUv3State *s = container_of(sva, SMMUv3State, sva);
    const ArmTLBI *t = data;
    SMMUIOTLBMatch m = smmuv3_btm_match(t);

    QEMU_LOCK_GUARD(&s->mutex);
    if (sva->btm != SMMUV3_BTM_FORCE && FIELD_EX32(s->cr[2], CR2, PTM)) {
        stat64_add(&sva->stats.btm_ignored, 1);
        return;
    }
    if (!STAGE2_SUPPORTED(s)) {
        if (m.vmid > 0) {
            stat64_add(&sva->stats.btm_ignored, 1);
            return;
        }
        m.vmid = -1; /* entries have no VMID, and match 0 (3.17) */
    }
    smmuv3_journal_broadcast(s, &m);
    stat64_add(&sva->stats.btm_received, 1);
    stat64_add(&sva->stats.btm_invalidated,
               smmu_iotlb_inv_match(&s->smmu_state, &m));
}

bool smmuv3_btm_realize(SMMUv3State *s, Error **errp)
{
    if (s->sva.btm == SMMUV3_BTM_OFF) {
        return true;
    }
    if (!tcg_enabled() && !qtest_enabled()) {
        error_setg(errp, "Property '%s.btm' needs TCG: nobody else tells what"
                   " its CPUs broadcast", TYPE_ARM_SMMUV3);
        return false;
    }
    s->sva.tlbi_listener.notify = smmuv3_btm_notify;
    arm_tlbi_listen(&s->sva.tlbi_listener);
    return true;
}
