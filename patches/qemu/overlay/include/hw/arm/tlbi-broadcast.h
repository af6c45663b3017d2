/*
 * ARM: TLB invalidation that a CPU broadcasts to others than CPUs
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * An SMMU may take part in it (IHI 0070 3.17).
 */

#ifndef HW_ARM_TLBI_BROADCAST_H
#define HW_ARM_TLBI_BROADCAST_H

#include "qemu/notify.h"

typedef enum ArmTLBIScope {
    ARM_TLBI_ALLE1,         /* all of EL1&0, both stages, every VMID */
    ARM_TLBI_VMALLS12E1,    /* ... of one VMID */
    ARM_TLBI_VMALLE1,       /* stage 1 of one VMID */
    ARM_TLBI_ASIDE1,        /* ... of one ASID */
    ARM_TLBI_VAE1,          /* addresses of one ASID, and global ones */
    ARM_TLBI_VAAE1,         /* addresses of every ASID */
    ARM_TLBI_IPAS2E1,       /* stage 2 of one VMID, by address */
} ArmTLBIScope;

/* One broadcast of the Non-secure EL1&0 regime */
typedef struct ArmTLBI {
    ArmTLBIScope scope;
    uint16_t vmid;          /* 0 if the CPU has no EL2 */
    uint16_t asid;
    uint64_t addr;          /* bits 55:0; the bits above are not compared */
    uint64_t size;          /* of the range; 0: whatever contains addr */
} ArmTLBI;

/*
 * Call @listener->notify() with an ArmTLBI for each broadcast: in the thread
 * of the CPU, without the BQL. For ever; before any CPU runs.
 */
void arm_tlbi_listen(Notifier *listener);

#endif
