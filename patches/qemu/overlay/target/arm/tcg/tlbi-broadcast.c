/*
 * ARM: TLB invalidation that a CPU broadcasts to others than CPUs
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * TLBI instructions of AArch64 for the Inner or Outer Shareable domain, and
 * those that HCR_EL2.FB makes such (Arm ARM C5.5, D8.17).
 */

#include "qemu/osdep.h"
#include "cpu.h"
#include "internals.h"
#include "hw/arm/tlbi-broadcast.h"
#include "tlbi-broadcast.h"

#define VTCR_VS_MASK    (1u << 19)

static NotifierList listeners = NOTIFIER_LIST_INITIALIZER(listeners);

void arm_tlbi_listen(Notifier *listener)
{
    notifier_list_add(&listeners, listener);
}

static uint16_t current_vmid(CPUARMState *env)
{
    if (!arm_feature(env, ARM_FEATURE_EL2)) {
        return 0;
    }
    return extract64(env->cp15.vttbr_el2, 48,
                     env->cp15.vtcr_el2 & VTCR_VS_MASK ? 16 : 8);
}

/* TLBI with op1 == 0. False: not for the EL1&0 regime, or not broadcast. */
static bool decode_el1(CPUARMState *env, const ARMCPRegInfo *ri, ArmTLBI *t,
                       bool *is_range)
{
    uint64_t hcr = arm_hcr_el2_eff(env);

    if ((hcr & (HCR_E2H | HCR_TGE)) == (HCR_E2H | HCR_TGE)) {
        return false; /* it is for EL2&0 */
    }
    switch (ri->crm) {
    case 1: /* OS */
    case 3: /* IS */
        break;
    case 2: /* range, IS */
    case 5: /* range, OS */
        *is_range = true;
        break;
    case 6: /* range, this CPU */
        *is_range = true;
        /* fallthrough */
    case 7: /* this CPU */
        if (arm_current_el(env) != 1 || !(hcr & HCR_FB)) {
            return false;
        }
        break;
    default:
        return false;
    }
    switch (ri->opc2) {
    case 0:
        t->scope = ARM_TLBI_VMALLE1;
        return !*is_range;
    case 2:
        t->scope = ARM_TLBI_ASIDE1;
        return !*is_range;
    case 1:
    case 5:
        t->scope = ARM_TLBI_VAE1;
        return true;
    case 3:
    case 7:
        t->scope = ARM_TLBI_VAAE1;
        return true;
    default:
        return false;
    }
}

/* TLBI with op1 == 4: those for EL1&0 */
static bool decode_el2(const ARMCPRegInfo *ri, ArmTLBI *t, bool *is_range)
{
    switch (ri->crm << 4 | ri->opc2) {
    case 0x14: /* OS */
    case 0x34: /* IS */
        t->scope = ARM_TLBI_ALLE1;
        return true;
    case 0x16:
    case 0x36:
        t->scope = ARM_TLBI_VMALLS12E1;
        return true;
    case 0x02: /* RIPAS2E1IS */
    case 0x06: /* RIPAS2LE1IS */
    case 0x43: /* RIPAS2E1OS */
    case 0x47: /* RIPAS2LE1OS */
        *is_range = true;
        /* fallthrough */
    case 0x01: /* IPAS2E1IS */
    case 0x05: /* IPAS2LE1IS */
    case 0x40: /* IPAS2E1OS */
    case 0x44: /* IPAS2LE1OS */
        t->scope = ARM_TLBI_IPAS2E1;
        return true;
    default:
        return false;
    }
}

/* BaseADDR is in units of the granule TG, which is 0 for none (Reserved) */
static bool decode_range(uint64_t value, ArmTLBI *t)
{
    int tg = extract64(value, 46, 2);
    int shift = 10 + 2 * tg;

    t->addr = (uint64_t)sextract64(value, 0, 37) << shift;
    t->size = (extract64(value, 39, 5) + 1) <<
              (5 * extract64(value, 44, 2) + 1 + shift);
    return tg;
}

void arm_tlbi_broadcast(CPUARMState *env, const ARMCPRegInfo *ri,
                        uint64_t value)
{
    ArmTLBI t = {
        .vmid = current_vmid(env),
        .asid = extract64(value, 48, 16),
        .addr = extract64(value, 0, 44) << 12,
    };
    bool is_range = false;

    if (notifier_list_empty(&listeners) || arm_is_secure_below_el3(env) ||
        !(ri->opc1 == 0 ? decode_el1(env, ri, &t, &is_range) :
          ri->opc1 == 4 ? decode_el2(ri, &t, &is_range) : false) ||
        (is_range && !decode_range(value, &t))) {
        return;
    }
    notifier_list_notify(&listeners, &t);
}
