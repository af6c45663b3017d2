/*
 * ARM SMMUv3: what shared virtual addressing needs
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Properties and ID registers, substreams, and the interface through which a
 * device that can wait has its accesses translated.
 *
 * IHI 0070: 3.3.2 StreamIDs to Context Descriptors, 5.2 STE, 5.3 L1CD,
 * 5.4 CD, 5.5 Fault configuration, 6.3 Register formats.
 */

#include "qemu/osdep.h"
#include "qemu/main-loop.h"
#include "qemu/log.h"
#include "hw/core/qdev-prop-internal.h"
#include "qapi/error.h"
#include "smmuv3-sva-internal.h"
#include "smmu-internal.h"

#define SMMU_SVA_SSIDSIZE_MAX   20

static const char *const smmuv3_httu_names[] = { "none", "access", "dirty" };
static const QEnumLookup smmuv3_httu_lookup = {
    .array = smmuv3_httu_names,
    .size = ARRAY_SIZE(smmuv3_httu_names),
};

const PropertyInfo smmuv3_prop_httu = {
    .type = "SMMUv3HTTU",
    .description = "none/access/dirty",
    .enum_table = &smmuv3_httu_lookup,
    .get = qdev_propinfo_get_enum,
    .set = qdev_propinfo_set_enum,
    .set_default_value = qdev_propinfo_set_default_value_enum,
};

static const char *const smmuv3_stall_names[] = { "off", "on", "force" };
static const QEnumLookup smmuv3_stall_lookup = {
    .array = smmuv3_stall_names,
    .size = ARRAY_SIZE(smmuv3_stall_names),
};

const PropertyInfo smmuv3_prop_stall = {
    .type = "SMMUv3StallModel",
    .description = "off/on/force",
    .enum_table = &smmuv3_stall_lookup,
    .get = qdev_propinfo_get_enum,
    .set = qdev_propinfo_set_enum,
    .set_default_value = qdev_propinfo_set_default_value_enum,
};

static const char *const smmuv3_btm_names[] = { "off", "on", "force" };
static const QEnumLookup smmuv3_btm_lookup = {
    .array = smmuv3_btm_names,
    .size = ARRAY_SIZE(smmuv3_btm_names),
};

const PropertyInfo smmuv3_prop_btm = {
    .type = "SMMUv3BTM",
    .description = "off/on/force",
    .enum_table = &smmuv3_btm_lookup,
    .get = qdev_propinfo_get_enum,
    .set = qdev_propinfo_set_enum,
    .set_default_value = qdev_propinfo_set_default_value_enum,
};

/* IDR5.OAS for an output address size in bits, -1 if there is none */
static int smmuv3_oas_field(int bits)
{
    for (int field = 0; field <= 6; field++) {
        if (oas2bits(field) == bits) {
            return field;
        }
    }
    return -1;
}

void smmuv3_sva_instance_init(SMMUv3State *s)
{
    QTAILQ_INIT(&s->sva.stalls);
    QTAILQ_INIT(&s->sva.unclaimed);
}

bool smmuv3_sva_realize(SMMUv3State *s, Error **errp)
{
    SMMUv3SVA *sva = &s->sva;
    SMMUState *bs = &s->smmu_state;
    bool s1 = !s->stage || strcmp("2", s->stage);

    if (sva->ssidsize > SMMU_SVA_SSIDSIZE_MAX) {
        error_setg(errp, "Property '%s.ssidsize' doesn't take value %d"
                   " (minimum: 0, maximum: %d)", TYPE_ARM_SMMUV3,
                   sva->ssidsize, SMMU_SVA_SSIDSIZE_MAX);
        return false;
    }
    if (smmuv3_oas_field(sva->oas) < 0) {
        error_setg(errp, "Property '%s.oas' doesn't take value %d"
                   " (32, 36, 40, 42, 44, 48 or 52)", TYPE_ARM_SMMUV3,
                   sva->oas);
        return false;
    }
    if (!bs->iotlb_size && (bs->iotlb_contiguous || bs->iotlb_faults)) {
        error_setg(errp, "Property '%s.%s' needs an IOTLB, but 'iotlb-size'"
                   " is 0", TYPE_ARM_SMMUV3,
                   bs->iotlb_contiguous ? "contiguous" : "cache-faults");
        return false;
    }
    if (!s1 && sva->ssidsize) {
        error_setg(errp, "Property '%s.ssidsize' needs stage 1, but 'stage'"
                   " is 2", TYPE_ARM_SMMUV3);
        return false;
    }
    if (!smmuv3_btm_realize(s, errp) || !smmuv3_journal_realize(s, errp)) {
        return false;
    }
    smmuv3_migration_realize(s);
    return true;
}

void smmuv3_sva_init_regs(SMMUv3State *s)
{
    SMMUv3SVA *sva = &s->sva;

    s->idr[0] = FIELD_DP32(s->idr[0], IDR0, BTM, sva->btm != SMMUV3_BTM_OFF);
    s->idr[0] = FIELD_DP32(s->idr[0], IDR0, HTTU, sva->httu);
    s->idr[0] = FIELD_DP32(s->idr[0], IDR0, STALL_MODEL,
                           sva->stall == SMMUV3_STALL_FORCE ? 2 :
                           sva->stall == SMMUV3_STALL_OFF);
    s->idr[0] = FIELD_DP32(s->idr[0], IDR0, CD2L, sva->ssidsize > 0);
    s->idr[1] = FIELD_DP32(s->idr[1], IDR1, SSIDSIZE, sva->ssidsize);
    s->idr[5] = FIELD_DP32(s->idr[5], IDR5, OAS, smmuv3_oas_field(sva->oas));
    s->idr[5] = FIELD_DP32(s->idr[5], IDR5, STALL_MAX,
                           sva->stall ? SMMU_SVA_STALL_MAX : 0);
}

bool smmuv3_sva_httu(SMMUv3State *s, bool want_ha, bool want_hd, bool *ha,
                     bool *hd)
{
    if ((want_ha && s->sva.httu < SMMUV3_HTTU_ACCESS) ||
        (want_hd && s->sva.httu < SMMUV3_HTTU_DIRTY)) {
        qemu_log_mask(LOG_GUEST_ERROR, "SMMUv3 HA=%d HD=%d, but HTTU=%d\n",
                      want_ha, want_hd, s->sva.httu);
        return false;
    }
    *ha = want_ha;
    *hd = want_ha && want_hd; /* HD alone is Reserved, and does nothing */
    return true;
}

/* Log2 of the number of CDs that @ste points to, 0: substreams are disabled */
static uint8_t smmuv3_s1cdmax(SMMUv3State *s, STE *ste)
{
    return s->sva.ssidsize ? STE_S1CDMAX(ste) : 0;
}

bool smmuv3_sva_ste_valid(SMMUv3State *s, STE *ste)
{
    if (smmuv3_s1cdmax(s, ste) > s->sva.ssidsize) {
        qemu_log_mask(LOG_GUEST_ERROR, "SMMUv3 bad STE S1CDMax=%d\n",
                      STE_S1CDMAX(ste));
        return false;
    }
    if (STE_S1STALLD(ste) && s->sva.stall != SMMUV3_STALL_ON) {
        qemu_log_mask(LOG_GUEST_ERROR,
                      "SMMUv3 bad STE S1STALLD: STALL_MODEL is no choice\n");
        return false;
    }
    return true;
}

bool smmuv3_sva_stall_valid(SMMUv3State *s, bool stall, bool disabled)
{
    switch (s->sva.stall) {
    case SMMUV3_STALL_ON:
        return !(stall && disabled);
    case SMMUV3_STALL_FORCE:
        return stall;
    default:
        return !stall;
    }
}

int smmuv3_sva_select_cd(SMMUv3State *s, STE *ste, SMMUTransCfg *cfg,
                         uint32_t ssid, uint32_t *cd_ssid,
                         SMMUEventInfo *event)
{
    bool s1 = !cfg->bypassed && cfg->stage != SMMU_STAGE_2;
    uint8_t s1cdmax = s1 ? smmuv3_s1cdmax(s, ste) : 0;
    uint8_t s1dss = STE_S1DSS(ste);

    if (ssid != PCI_NO_PASID) {
        if (!s1cdmax || ssid >> s1cdmax) {
            event->type = SMMU_EVT_C_BAD_SUBSTREAMID;
            return -EINVAL;
        }
        if (!ssid && s1dss == STE_S1DSS_SSID0) {
            event->type = SMMU_EVT_F_STREAM_DISABLED;
            return -EINVAL;
        }
        *cd_ssid = ssid;
        return 1;
    }

    *cd_ssid = 0;
    if (!s1cdmax || s1dss == STE_S1DSS_SSID0) {
        return s1;
    }
    if (s1dss != STE_S1DSS_BYPASS) {
        event->type = SMMU_EVT_F_STREAM_DISABLED;
        return -EINVAL;
    }
    if (cfg->stage == SMMU_NESTED) {
        cfg->stage = SMMU_STAGE_2;
    } else {
        cfg->bypassed = true;
    }
    return 0;
}

int smmuv3_sva_get_cd(SMMUv3State *s, STE *ste, SMMUTransCfg *cfg,
                      uint32_t ssid, CD *buf, SMMUEventInfo *event)
{
    uint8_t fmt = smmuv3_s1cdmax(s, ste) ? STE_S1FMT(ste) : 0;
    dma_addr_t addr = STE_CTXPTR(ste);

    if (event->no_walk && cfg->stage == SMMU_NESTED) {
        return -EINVAL;
    }
    if (fmt == STE_S1FMT_4K_L2 || fmt == STE_S1FMT_64K_L2) {
        /* log2 of the CDs in a leaf table */
        int split = fmt == STE_S1FMT_4K_L2 ? 6 : 10;
        CDDesc l1cd;

        addr += (ssid >> split) * sizeof(l1cd);
        if (smmuv3_read_cd(s, cfg, addr, l1cd.word, ARRAY_SIZE(l1cd.word),
                           event)) {
            return -EINVAL;
        }
        addr = L1CD_L2PTR(&l1cd);
        if (!L1CD_VALID(&l1cd) || addr >> s->sva.oas) {
            event->type = SMMU_EVT_C_BAD_SUBSTREAMID;
            return -EINVAL;
        }
        ssid &= MAKE_64BIT_MASK(0, split);
    }
    addr += ssid * sizeof(*buf);
    return smmuv3_read_cd(s, cfg, addr, buf->word, ARRAY_SIZE(buf->word),
                          event);
}

bool smmuv3_sva_range_reserved(Cmd *cmd)
{
    return CMD_TG(cmd) && !CMD_NUM(cmd) && !CMD_SCALE(cmd) &&
           !smmu_ttl(CMD_TG(cmd), CMD_TTL(cmd));
}

bool smmuv3_sva_range_unpredictable(Cmd *cmd)
{
    int level = smmu_ttl(CMD_TG(cmd), CMD_TTL(cmd)) ?: 3;
    int shift = level_shift(level, CMD_TG(cmd) * 2 + 10);

    if (CMD_ADDR(cmd) & MAKE_64BIT_MASK(0, shift)) {
        qemu_log_mask(LOG_GUEST_ERROR, "SMMUv3 TLBI of 0x%" PRIx64
                      ": unaligned, TG=%d TTL=%d\n", (uint64_t)CMD_ADDR(cmd),
                      CMD_TG(cmd), CMD_TTL(cmd));
        return true;
    }
    return false;
}

static SMMUDevice *smmuv3_iommu_to_sdev(StallableIOMMU *iommu)
{
    return container_of(IOMMU_MEMORY_REGION(iommu), SMMUDevice, iommu);
}

static StallableResult smmuv3_iommu_translate(StallableIOMMU *iommu,
                                              uint32_t pasid, hwaddr addr,
                                              IOMMUAccessFlags flag,
                                              StallClient *client,
                                              IOMMUTLBEntry *entry)
{
    assert(bql_locked());
    *entry = smmuv3_translate_ssid(IOMMU_MEMORY_REGION(iommu), addr, flag,
                                   pasid, client);
    if (client->stalled) {
        return STALLABLE_STALLED;
    }
    return (entry->perm & flag) == flag ? STALLABLE_OK : STALLABLE_ABORT;
}

static void smmuv3_iommu_cancel(StallableIOMMU *iommu, StallClient *client)
{
    smmuv3_sva_stall_cancel(smmuv3_iommu_to_sdev(iommu)->smmu, client);
}

static void smmuv3_iommu_claim(StallableIOMMU *iommu, StallClient *client)
{
    smmuv3_sva_stall_claim(smmuv3_iommu_to_sdev(iommu)->smmu, client);
}

static void smmuv3_iommu_get_counters(StallableIOMMU *iommu,
                                      StallableCounters *counters)
{
    smmuv3_sva_get_counters(smmuv3_iommu_to_sdev(iommu)->smmu, counters);
}

/*
 * The configuration tells which ASID and VMID to look for. If it is not
 * cached it is read from memory, and not cached then either; only where even
 * that takes a walk (of stage 2) nothing is found.
 */
static void smmuv3_iommu_probe(StallableIOMMU *iommu, uint32_t pasid,
                               hwaddr addr, IOTLBProbe *probe)
{
    SMMUDevice *sdev = smmuv3_iommu_to_sdev(iommu);
    SMMUConfigKey key = { .sdev = sdev, .ssid = pasid };
    SMMUEventInfo event = { .inval_ste_allowed = true, .no_walk = true };
    SMMUv3State *s = sdev->smmu;
    SMMUState *bs = &s->smmu_state;
    SMMUTransCfg decoded = {};
    SMMUTLBEntry *entry;
    SMMUTransCfg *cfg;

    *probe = (IOTLBProbe) {};
    QEMU_LOCK_GUARD(&s->mutex);
    if (!smmu_enabled(s)) {
        return;
    }
    cfg = g_hash_table_lookup(bs->configs, &key);
    if (!cfg) {
        if (smmuv3_decode_config(&sdev->iommu, pasid, &decoded, &event)) {
            return;
        }
        cfg = &decoded;
    }
    if (cfg->aborted || cfg->bypassed) {
        return;
    }
    entry = smmu_iotlb_peek(bs, cfg, addr);
    if (!entry) {
        return;
    }
    *probe = (IOTLBProbe) {
        .cached = true,
        .readable = entry->entry.perm & entry->parent_perm & IOMMU_RO,
        .writable = entry->entry.perm & entry->parent_perm & IOMMU_WO,
        .level = entry->level,
        .granule = entry->granule,
    };
}

static void smmuv3_iommu_audit(StallableIOMMU *iommu, IOTLBAudit *audit)
{
    smmuv3_audit(smmuv3_iommu_to_sdev(iommu)->smmu, audit);
}

void smmuv3_sva_iommu_class_init(ObjectClass *klass)
{
    StallableIOMMUClass *sic = STALLABLE_IOMMU_CLASS(klass);

    sic->translate = smmuv3_iommu_translate;
    sic->cancel = smmuv3_iommu_cancel;
    sic->claim = smmuv3_iommu_claim;
    sic->probe = smmuv3_iommu_probe;
    sic->audit = smmuv3_iommu_audit;
    sic->get_counters = smmuv3_iommu_get_counters;
}
