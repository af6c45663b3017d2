/*
 * PCIe test device for shared virtual addressing (SVA): registers of an engine
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/log.h"
#include "sva-testdev-internal.h"

uint64_t sva_engine_read(const SVAEngine *e, hwaddr reg)
{
    switch (reg) {
    case SVA_ENG_ADDR:
        return e->addr;
    case SVA_ENG_LEN:
        return e->len | (uint64_t)e->pasid << 32;
    case SVA_ENG_DATA:
        return e->data;
    case SVA_ENG_DATA2:
        return e->data2;
    case SVA_ENG_CMD:
        return (uint64_t)e->status << 32;
    case SVA_ENG_STALLS:
        return e->stalls | (uint64_t)e->retries << 32;
    case SVA_ENG_MAX_STALLS:
        return e->max_stalls | (uint64_t)e->retry_ns << 32;
    case SVA_ENG_ABORT:
        return (uint64_t)e->done << 32;
    case SVA_ENG_FAULT_ADDR:
        return e->fault_addr;
    case SVA_ENG_SUM:
        return e->sum;
    case SVA_ENG_BAD_ADDR:
        return e->bad_addr;
    case SVA_ENG_BAD_VALUE:
        return e->bad_value;
    case SVA_ENG_BAD_ACCESS:
        return e->bad_access;
    case SVA_ENG_BAD_COUNT:
        return e->bad_count | (uint64_t)e->bad_how << 32;
    case SVA_ENG_ACCESSES:
        return e->accesses;
    case SVA_ENG_ABORTS:
        return e->aborts | (uint64_t)e->expect << 32;
    case SVA_ENG_PERIOD_NS:
        return e->period_ns;
    case SVA_ENG_STEP:
        return e->step;
    case SVA_ENG_FAULT_TIME:
        return e->fault_time;
    case SVA_ENG_FAULT_HOW:
        return e->fault_how;
    default:
        return 0;
    }
}

/* Let a command that is paused go on, to its next access or its end */
static void sva_wake(SVAEngine *e)
{
    if (e->status & SVA_ST_PAUSED) {
        e->status &= ~SVA_ST_PAUSED;
        qemu_bh_schedule(e->bh);
    }
}

static void sva_go(SVAEngine *e, uint32_t steps)
{
    if (!(e->status & SVA_ST_BUSY) || !e->step) {
        e->status |= SVA_ST_BAD_PROGRAMMING;
        return;
    }
    e->steps = MIN((uint64_t)e->steps + steps, UINT32_MAX);
    if (e->steps) {
        sva_wake(e);
    }
}

static void sva_stop(SVAEngine *e)
{
    if (!(e->status & SVA_ST_BUSY)) {
        return; /* it has come to an end by itself */
    }
    if (!sva_op_is_hammer(e->cmd)) {
        e->status |= SVA_ST_BAD_PROGRAMMING;
        return;
    }
    e->stop = true;
    if (!e->stalls_here) {
        timer_del(e->timer);
        e->status &= ~SVA_ST_PAUSED;
        qemu_bh_schedule(e->bh);
    }
}

static void sva_set_expect(SVAEngine *e, uint32_t expect)
{
    if (expect > SVA_EXPECT_PATTERN) {
        e->status |= SVA_ST_BAD_PROGRAMMING;
    } else {
        e->expect = expect;
    }
}

/* Registers that are there for a command that runs. False: it is another. */
static bool sva_write_control(SVAEngine *e, hwaddr reg, uint32_t v)
{
    switch (reg) {
    case SVA_ENG_ABORT:
        if (e->status & SVA_ST_BUSY) {
            sva_quiesce(e);
            sva_finish(e, SVA_ST_ERROR);
        }
        return true;
    case SVA_ENG_STOP:
        sva_stop(e);
        return true;
    case SVA_ENG_GO:
        sva_go(e, v);
        return true;
    case SVA_ENG_EXPECT:
        sva_set_expect(e, v);
        return true;
    default:
        return false;
    }
}

void sva_engine_write(SVAEngine *e, hwaddr reg, uint32_t v)
{
    if (sva_write_control(e, reg, v)) {
        return;
    }
    if (e->status & SVA_ST_BUSY) {
        e->status |= SVA_ST_BAD_PROGRAMMING;
        return;
    }
    switch (reg) {
    case SVA_ENG_ADDR:
        e->addr = deposit64(e->addr, 0, 32, v);
        break;
    case SVA_ENG_ADDR + 4:
        e->addr = deposit64(e->addr, 32, 32, v);
        break;
    case SVA_ENG_LEN:
        e->len = v;
        break;
    case SVA_ENG_PASID:
        e->pasid = v;
        break;
    case SVA_ENG_DATA:
        e->data = deposit64(e->data, 0, 32, v);
        break;
    case SVA_ENG_DATA + 4:
        e->data = deposit64(e->data, 32, 32, v);
        break;
    case SVA_ENG_DATA2:
        e->data2 = deposit64(e->data2, 0, 32, v);
        break;
    case SVA_ENG_DATA2 + 4:
        e->data2 = deposit64(e->data2, 32, 32, v);
        break;
    case SVA_ENG_CMD:
        sva_start(e, v);
        break;
    case SVA_ENG_MAX_STALLS:
        e->max_stalls = v;
        break;
    case SVA_ENG_RETRY_NS:
        e->retry_ns = v;
        break;
    case SVA_ENG_PERIOD_NS:
        e->period_ns = v;
        break;
    case SVA_ENG_STEP:
        e->step = v & 1;
        break;
    default:
        qemu_log_mask(LOG_GUEST_ERROR, "%s: write to engine register 0x%"
                      HWADDR_PRIx "\n", TYPE_SVA_TESTDEV, reg);
    }
}
