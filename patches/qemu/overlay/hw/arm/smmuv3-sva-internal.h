/*
 * ARM SMMUv3: what shared virtual addressing needs - internal API
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_ARM_SMMUV3_SVA_INTERNAL_H
#define HW_ARM_SMMUV3_SVA_INTERNAL_H

#include "hw/arm/smmuv3.h"
#include "hw/arm/stallable-iommu.h"
#include "hw/pci/pci_bus.h"
#include "smmuv3-internal.h"

/* Stalled accesses whose events can be recorded (IDR5.STALL_MAX) */
#define SMMU_SVA_STALL_MAX  256

/* An access that is stalled (IHI 0070 3.12.2) */
struct SMMUv3Stall {
    uint32_t sid;
    uint16_t stag;
    bool recorded;              /* otherwise stag means nothing */
    uint64_t ticket;            /* what its client calls it */
    SMMUv3JournalRecord journal; /* what is said of it */
    StallClient *client;        /* NULL: loaded, and not claimed */
    QTAILQ_ENTRY(SMMUv3Stall) next;
};

/* STE and L1CD fields */

#define STE_S1DSS(x)        extract32((x)->word[2], 0 , 2)

#define STE_S1FMT_4K_L2     1
#define STE_S1FMT_64K_L2    2

#define STE_S1DSS_BYPASS    1
#define STE_S1DSS_SSID0     2

#define L1CD_VALID(x)       extract32((x)->word[0], 0, 1)
#define L1CD_L2PTR(x)                                   \
    ((extract64((x)->word[1], 0, 24) << 32) |           \
     ((x)->word[0] & 0xfffff000))

/* Provided by smmuv3.c */

/*
 * smmuv3_read_cd - read a CD or an L1CD of @nwords words at @addr, which is
 * an IPA if @cfg has both stages. Returns < 0 with @event filled on error.
 */
int smmuv3_read_cd(SMMUv3State *s, SMMUTransCfg *cfg, dma_addr_t addr,
                   uint32_t *word, int nwords, SMMUEventInfo *event);

/*
 * smmuv3_decode_config - decode a substream's configuration from memory into
 * @cfg, which is zeroed. Returns < 0 with @event filled on error. SMMU locked.
 */
int smmuv3_decode_config(IOMMUMemoryRegion *mr, uint32_t ssid,
                         SMMUTransCfg *cfg, SMMUEventInfo *event);

/*
 * smmuv3_translate_ssid - translate one access.
 * @ssid: substream, or PCI_NO_PASID
 * @client: whoever waits if the access is stalled, which client->stalled then
 *          says. NULL: it can't wait, and is terminated whatever CD.S says.
 */
IOMMUTLBEntry smmuv3_translate_ssid(IOMMUMemoryRegion *mr, hwaddr addr,
                                    IOMMUAccessFlags flag, uint32_t ssid,
                                    StallClient *client);

/* Configuration: called from smmuv3.c */

void smmuv3_sva_instance_init(SMMUv3State *s);
bool smmuv3_sva_realize(SMMUv3State *s, Error **errp);
void smmuv3_sva_init_regs(SMMUv3State *s);
void smmuv3_sva_iommu_class_init(ObjectClass *klass);

/*
 * What HA and HD of a CD or STE select (IHI 0070 5.4 HA, 5.2 S2HA). Returns
 * false if that is ILLEGAL.
 */
bool smmuv3_sva_httu(SMMUv3State *s, bool want_ha, bool want_hd, bool *ha,
                     bool *hd);

/* Broadcast TLB maintenance, if property "btm" wants it */
bool smmuv3_btm_realize(SMMUv3State *s, Error **errp);

/* Returns false if @ste is ILLEGAL. Stage 1 is enabled. */
bool smmuv3_sva_ste_valid(SMMUv3State *s, STE *ste);

/*
 * Whether CD.S or STE.S2S may be @stall (IHI 0070 5.5). @disabled: STE.S1STALLD
 * forbids it.
 */
bool smmuv3_sva_stall_valid(SMMUv3State *s, bool stall, bool disabled);

/*
 * smmuv3_sva_select_cd - which CD translates an access of @ssid
 * @cd_ssid: its index in the table that @ste points to
 *
 * Returns 1 if there is one, 0 if stage 1 is bypassed (as @cfg then says),
 * < 0 with @event filled on error.
 */
int smmuv3_sva_select_cd(SMMUv3State *s, STE *ste, SMMUTransCfg *cfg,
                         uint32_t ssid, uint32_t *cd_ssid,
                         SMMUEventInfo *event);

/*
 * smmuv3_sva_get_cd - read the CD at index @ssid of the linear or two-level
 * table that @ste points to. Returns < 0 with @event filled on error.
 */
int smmuv3_sva_get_cd(SMMUv3State *s, STE *ste, SMMUTransCfg *cfg,
                      uint32_t ssid, CD *buf, SMMUEventInfo *event);

/* Invalidation: called from smmuv3.c */

/*
 * CMD_TLBI with a granule, but neither a level nor more than one granule: is
 * Reserved, and CERROR_ILL (IHI 0070 4.4.1.1)
 */
bool smmuv3_sva_range_reserved(Cmd *cmd);

/*
 * The range of @cmd, with a granule, is UNPREDICTABLE: the address is not
 * aligned to the level (IHI 0070 4.4.1.1)
 */
bool smmuv3_sva_range_unpredictable(Cmd *cmd);

/* Events: called from smmuv3.c */

/* Whether a record can be written now (IHI 0070 7.2.1) */
bool smmuv3_sva_eventq_writable(SMMUv3State *s);

/* An event of type @type was discarded: the queue was not writable */
void smmuv3_sva_event_lost(SMMUv3State *s, SMMUEventType type);

/* An access is translated with @cfg: what its event, if any, has to know */
void smmuv3_sva_event_config(SMMUEventInfo *event, const SMMUTransCfg *cfg);

/* Fill in what all accesses' events say alike: SSV, SubstreamID, RnW */
void smmuv3_sva_fixup_event(SMMUEventInfo *event, uint32_t ssid, hwaddr iova,
                            IOMMUAccessFlags flag);

/* Stalls: called from smmuv3.c */

/*
 * smmuv3_sva_stall - hold the access whose fault @event describes
 *
 * Returns false if it is to be terminated: the configuration, the kind of
 * fault or the client (NULL) does not allow it to stall.
 */
bool smmuv3_sva_stall(SMMUv3State *s, SMMUEventInfo *event,
                      StallClient *client);

/* Terminate every stalled access */
void smmuv3_sva_stall_disable(SMMUv3State *s);

/* The event queue may have become writable: retry what has no record yet */
void smmuv3_sva_retry_unrecorded(SMMUv3State *s);

/* @client's stalled access, if it has one, is gone */
void smmuv3_sva_stall_cancel(SMMUv3State *s, StallClient *client);

/* @saved was stalled when the machine was saved */
void smmuv3_sva_stall_restore(SMMUv3State *s, const SMMUv3Stall *saved);

/* @client was loaded, and waits for the stall that client->ticket names */
void smmuv3_sva_stall_claim(SMMUv3State *s, StallClient *client);

SMMUCmdError smmuv3_sva_cmd_resume(SMMUv3State *s, Cmd *cmd);
SMMUCmdError smmuv3_sva_cmd_stall_term(SMMUv3State *s, Cmd *cmd);

/* Audit */

/*
 * Pieces to compare in one audit, more than one for each entry: 4 GiB in
 * pages of 4 KiB. A guest with larger blocks cached may split them all; the
 * main loop must not wait for it.
 */
#define AUDIT_MAX_PIECES    (1 << 20)

/* Compare the IOTLB's stage-1 entries with the tables; see StallableIOMMU */
void smmuv3_audit(SMMUv3State *s, IOTLBAudit *audit);

/* What substreams' configurations are, by memory, for the length of an audit */
typedef struct SMMUAuditConfigs {
    SMMUv3State *s;
    GHashTable *configs;        /* SMMUConfigKey to SMMUTransCfg */
    GHashTable *heirs;          /* ASID and VMID to one of those, or to NULL */
} SMMUAuditConfigs;

void smmuv3_audit_configs_init(SMMUAuditConfigs *a, SMMUv3State *s);
void smmuv3_audit_configs_destroy(SMMUAuditConfigs *a);

/* How accesses that would hit @entry are translated; NULL: there are none */
const SMMUTransCfg *smmuv3_audit_config(SMMUAuditConfigs *a,
                                        SMMUTLBEntry *entry);

/* Add the read-only QOM property "audit" */
void smmuv3_audit_class_init(ObjectClass *klass);

/* Journal */

bool smmuv3_journal_realize(SMMUv3State *s, Error **errp);

/* Add the read-only QOM property "journal" */
void smmuv3_journal_class_init(ObjectClass *klass);

/* Add @record; its sequence number and time are filled in */
void smmuv3_journal_add(SMMUv3State *s, const SMMUv3JournalRecord *record);

void smmuv3_journal_event(SMMUv3State *s, SMMUv3JournalKind kind,
                          const SMMUEventInfo *event);
void smmuv3_journal_command(SMMUv3State *s, Cmd *cmd);
void smmuv3_journal_broadcast(SMMUv3State *s, const SMMUIOTLBMatch *match);

/* Migration */

void smmuv3_migration_realize(SMMUv3State *s);

/* Counters */

/* Add the read-only QOM property "stats" */
void smmuv3_sva_stats_class_init(ObjectClass *klass);
/* A command was consumed without error */
void smmuv3_sva_count_cmd(SMMUv3State *s, Cmd *cmd);
void smmuv3_sva_count_event(SMMUv3State *s, SMMUEventType type);
void smmuv3_sva_get_counters(SMMUv3State *s, StallableCounters *counters);

#endif
