/*
 * ARM: TLB invalidation that a CPU broadcasts to others than CPUs
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TARGET_ARM_TCG_TLBI_BROADCAST_H
#define TARGET_ARM_TCG_TLBI_BROADCAST_H

#include "cpregs.h"

/* A CPU has executed @ri, a TLBI instruction of AArch64 */
void arm_tlbi_broadcast(CPUARMState *env, const ARMCPRegInfo *ri,
                        uint64_t value);

/* A CPU has written the system register @ri. CRn 9: TLBI ...NXS. */
static inline void arm_tlbi_observe(CPUARMState *env, const ARMCPRegInfo *ri,
                                    uint64_t value)
{
    if (ri->opc0 == 1 && (ri->crn == 8 || ri->crn == 9)) {
        arm_tlbi_broadcast(env, ri, value);
    }
}

#endif
