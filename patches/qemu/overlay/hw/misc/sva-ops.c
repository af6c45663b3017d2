/*
 * PCIe test device for shared virtual addressing (SVA): what the commands do
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A command is a sequence of accesses. Here is which one comes next, and what
 * it does to memory once it is translated. sva-engine.c makes them.
 */

#include "qemu/osdep.h"
#include "qemu/host-utils.h"
#include "qemu/timer.h"
#include "sva-testdev-internal.h"

/* Odd, with bits all over: spreads seeds that are small numbers */
#define SVA_SPREAD  0x9e3779b97f4a7c15ULL

static uint64_t sva_pattern(uint64_t addr, uint64_t seed)
{
    return addr ^ seed * SVA_SPREAD;
}

/* The next number of the sequence that a seed gives */
static uint64_t sva_random(uint64_t *state)
{
    uint64_t z = *state += SVA_SPREAD;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
    return z ^ z >> 31;
}

static bool sva_wraps(uint64_t addr, uint32_t len)
{
    return addr + len - 1 < addr;
}

static bool sva_overlap(uint64_t a, uint64_t b, uint32_t len)
{
    return MAX(a, b) - MIN(a, b) < len;
}

bool sva_op_is_programmed(const SVAEngine *e, uint32_t cmd)
{
    bool range = e->len && !sva_wraps(e->addr, e->len);

    switch (cmd) {
    case SVA_CMD_READ:
    case SVA_CMD_WRITE:
    case SVA_CMD_PRIME:
        return range;
    case SVA_CMD_FETCH_ADD:
    case SVA_CMD_COMPARE_SWAP:
        return !(e->addr & 7);
    case SVA_CMD_COPY:
        return range && !sva_wraps(e->data2, e->len) &&
               !sva_overlap(e->addr, e->data2, e->len);
    case SVA_CMD_FILL:
    case SVA_CMD_VERIFY:
    case SVA_CMD_HAMMER_READ:
    case SVA_CMD_HAMMER_WRITE:
        return range && !(e->addr & 7) && !(e->len & 7);
    default:
        return false;
    }
}

bool sva_op_is_hammer(uint32_t cmd)
{
    return cmd == SVA_CMD_HAMMER_READ || cmd == SVA_CMD_HAMMER_WRITE;
}

/* How many bytes there are from @addr to where a TLP has to end */
static uint32_t sva_to_boundary(uint64_t addr)
{
    return SVA_ACCESS_SIZE - (addr & (SVA_ACCESS_SIZE - 1));
}

void sva_op_start(SVAEngine *e)
{
    e->random = e->data2;
    sva_op_next_word(e);
}

void sva_op_next_word(SVAEngine *e)
{
    uint64_t high, low;

    if (sva_op_is_hammer(e->cmd)) {
        mulu64(&low, &high, sva_random(&e->random), e->len / 8);
        e->word = high;
    }
}

SVAAccess sva_op_access(const SVAEngine *e)
{
    uint64_t addr = e->addr + e->done;
    uint32_t left = e->len - e->done;
    uint32_t len = MIN(left, sva_to_boundary(addr));

    switch (e->cmd) {
    case SVA_CMD_READ:
    case SVA_CMD_VERIFY:
        return (SVAAccess) { addr, len, IOMMU_RO };
    case SVA_CMD_WRITE:
    case SVA_CMD_FILL:
        return (SVAAccess) { addr, len, IOMMU_WO };
    case SVA_CMD_PRIME:
        return (SVAAccess) { addr, MIN(len, 8), IOMMU_RO };
    case SVA_CMD_COPY:
        len = MIN(len, sva_to_boundary(e->data2 + e->done));
        return e->fetched ?
               (SVAAccess) { e->data2 + e->done, e->fetched, IOMMU_WO } :
               (SVAAccess) { addr, len, IOMMU_RO };
    case SVA_CMD_HAMMER_READ:
        return (SVAAccess) { e->addr + e->word * 8, 8, IOMMU_RO };
    case SVA_CMD_HAMMER_WRITE:
        return (SVAAccess) { e->addr + e->word * 8, 8, IOMMU_WO };
    default: /* SVA_CMD_FETCH_ADD, SVA_CMD_COMPARE_SWAP */
        return (SVAAccess) { e->addr, sizeof(uint64_t), IOMMU_RW };
    }
}

void sva_violation(SVAEngine *e, uint64_t addr, uint32_t how, uint64_t value)
{
    e->status |= SVA_ST_MISMATCH;
    if (!e->bad_count) {
        e->bad_addr = addr;
        e->bad_value = value;
        e->bad_access = e->accesses;
        e->bad_how = how;
    }
    if (e->bad_count < UINT32_MAX) {
        e->bad_count++;
    }
}

static void sva_verify(SVAEngine *e, uint64_t addr, const uint8_t *buf,
                       uint32_t len)
{
    for (uint32_t i = 0; i < len; i += 8) {
        uint64_t found = ldq_le_p(buf + i);

        if (found != sva_pattern(addr + i, e->data)) {
            sva_violation(e, addr + i, SVA_BAD_VALUE, found);
        }
    }
}

/* What a write puts into memory */
static void sva_source(SVAEngine *e, const SVAAccess *a, uint8_t *buf)
{
    for (uint32_t i = 0; i < a->len; i += 8) {
        if (e->cmd == SVA_CMD_WRITE) {
            for (uint32_t n = i; n < MIN(i + 8, a->len); n++) {
                buf[n] = e->data >> (((e->done + n) & 7) * 8);
            }
        } else if (e->cmd != SVA_CMD_COPY) {
            stq_le_p(buf + i, sva_pattern(a->addr + i, e->data));
        }
    }
}

/* What a read makes of what was in memory */
static void sva_sink(SVAEngine *e, const SVAAccess *a, const uint8_t *buf)
{
    switch (e->cmd) {
    case SVA_CMD_READ:
        for (uint32_t i = 0; i < a->len; i++) {
            if (e->done + i < 8) {
                e->first |= (uint64_t)buf[i] << ((e->done + i) * 8);
            }
            e->sum += buf[i];
        }
        break;
    case SVA_CMD_VERIFY:
        sva_verify(e, a->addr, buf, a->len);
        break;
    case SVA_CMD_HAMMER_READ:
        if (e->expect == SVA_EXPECT_PATTERN) {
            sva_verify(e, a->addr, buf, a->len);
        }
        break;
    default:
        break;
    }
}

static bool sva_rw(SVAEngine *e, const SVAAccess *a, AddressSpace *as,
                   hwaddr pa)
{
    bool write = a->flag == IOMMU_WO;

    if (write) {
        sva_source(e, a, e->buf);
    }
    if (address_space_rw(as, pa, MEMTXATTRS_UNSPECIFIED, e->buf, a->len,
                         write)) {
        return false;
    }
    if (!write) {
        sva_sink(e, a, e->buf);
    }
    return true;
}

static uint64_t sva_atomic_result(const SVAEngine *e, uint64_t old)
{
    if (e->cmd == SVA_CMD_FETCH_ADD) {
        return old + e->data;
    }
    return old == e->data2 ? e->data : old;
}

static bool sva_atomic(SVAEngine *e, AddressSpace *as, hwaddr pa)
{
    dma_addr_t len = sizeof(uint64_t);
    uint64_t *p = dma_memory_map(as, pa, &len, DMA_DIRECTION_FROM_DEVICE,
                                 MEMTXATTRS_UNSPECIFIED);
    uint64_t old, cur;
    ram_addr_t offset;

    if (!p) {
        return false;
    }
    /* what is not RAM is mapped to a bounce buffer, and can't be atomic */
    if (len < sizeof(*p) || !memory_region_from_host(p, &offset)) {
        dma_memory_unmap(as, p, len, DMA_DIRECTION_FROM_DEVICE, 0);
        return false;
    }
    cur = qatomic_read(p);
    do {
        old = cur;
        cur = qatomic_cmpxchg(p, old, cpu_to_le64(
                                  sva_atomic_result(e, le64_to_cpu(old))));
    } while (cur != old);
    dma_memory_unmap(as, p, len, DMA_DIRECTION_FROM_DEVICE, sizeof(*p));
    e->data = le64_to_cpu(old);
    return true;
}

bool sva_op_make(SVAEngine *e, const SVAAccess *a, AddressSpace *as,
                 hwaddr pa)
{
    if (a->flag == IOMMU_RW) {
        return sva_atomic(e, as, pa);
    }
    if (!sva_rw(e, a, as, pa)) {
        return false;
    }
    if (sva_op_is_hammer(e->cmd) && e->expect == SVA_EXPECT_ABORT) {
        sva_violation(e, a->addr, SVA_BAD_DONE,
                      a->flag == IOMMU_RO ? ldq_le_p(e->buf) : 0);
    }
    return true;
}

bool sva_op_advance(SVAEngine *e, const SVAAccess *a)
{
    switch (e->cmd) {
    case SVA_CMD_HAMMER_READ:
    case SVA_CMD_HAMMER_WRITE:
        sva_op_next_word(e);
        return false;
    case SVA_CMD_COPY:
        if (!e->fetched) {
            e->fetched = a->len;
            return false;
        }
        e->fetched = 0;
        break;
    case SVA_CMD_PRIME:
        e->done += MIN(e->len - e->done, sva_to_boundary(a->addr));
        return e->done == e->len;
    case SVA_CMD_FETCH_ADD:
    case SVA_CMD_COMPARE_SWAP:
        e->done = a->len;
        return true;
    default:
        break;
    }
    e->done += a->len;
    return e->done == e->len;
}
