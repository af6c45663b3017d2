/*
 * PCIe test device for shared virtual addressing (SVA) - internal API
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Everything runs with the BQL held: MMIO, bottom halves, timers and the
 * responses of the IOMMU.
 */

#ifndef HW_MISC_SVA_TESTDEV_INTERNAL_H
#define HW_MISC_SVA_TESTDEV_INTERNAL_H

#include "qemu/timer.h"
#include "qemu/units.h"
#include "hw/arm/stallable-iommu.h"
#include "hw/misc/sva-testdev.h"
#include "hw/pci/pci_bus.h"
#include "hw/pci/pci_device.h"
#include "qom/object.h"

OBJECT_DECLARE_SIMPLE_TYPE(SVATestDev, SVA_TESTDEV)

#define SVA_PASID_CAP       0x100
/* A TLP does not cross such a boundary */
#define SVA_ACCESS_SIZE     (4 * KiB)

typedef struct SVAEngine {
    SVATestDev *dev;
    uint32_t index;

    uint64_t addr;
    uint32_t len;
    uint32_t pasid;
    uint64_t data;
    uint64_t data2;
    uint32_t status;
    uint32_t stalls;
    uint32_t retries;
    uint32_t max_stalls;
    uint32_t retry_ns;
    uint32_t done;
    uint64_t fault_addr;
    uint32_t fault_how;
    uint64_t fault_time;
    uint64_t sum;
    uint64_t bad_addr;
    uint64_t bad_value;
    uint64_t bad_access;
    uint32_t bad_count;
    uint32_t bad_how;
    uint64_t accesses;
    uint32_t aborts;
    uint32_t expect;
    uint32_t period_ns;
    uint32_t step;

    uint32_t cmd;               /* that runs, 0: none */
    uint32_t stalls_here;       /* of the access that is being made */
    uint64_t first;             /* READ: the first 8 bytes */
    uint32_t fetched;           /* COPY: bytes in buf, to be written */
    uint64_t random;            /* HAMMER: state of the sequence */
    uint32_t word;              /* ... the 8 bytes that are next */
    uint32_t steps;             /* STEP: accesses that may be made */
    bool stop;                  /* end before the next access */
    uint8_t *buf;               /* SVA_ACCESS_SIZE bytes */
    StallClient client;
    bool answered;              /* the stall has a response */
    StallResponse response;
    QEMUBH *bh;
    QEMUTimer *timer;
} SVAEngine;

struct SVATestDev {
    PCIDevice parent_obj;

    MemoryRegion mmio;
    SVAEngine *engines;
    uint64_t probe_addr;
    uint32_t probe_pasid;

    /* registers from SVA_REG_AUDIT on */
    IOTLBAudit audit;
    uint32_t audits;
    uint32_t audit_status;
    uint32_t audit_index;
    uint32_t sync;
    uint32_t syncs;

    VMChangeStateEntry *vm_state;

    /* properties */
    uint32_t num_engines;
    uint16_t vendor;
    uint16_t device;
    uint8_t revision;
    uint8_t pasid_bits;
};

/* An access of a command: it does not cross SVA_ACCESS_SIZE */
typedef struct SVAAccess {
    uint64_t addr;
    uint32_t len;
    IOMMUAccessFlags flag;      /* IOMMU_RW: atomic */
} SVAAccess;

/* Operations: sva-ops.c */

/* Whether the registers make sense for @cmd */
bool sva_op_is_programmed(const SVAEngine *e, uint32_t cmd);
/* Whether @cmd goes on until it is stopped */
bool sva_op_is_hammer(uint32_t cmd);
void sva_op_start(SVAEngine *e);
/* The access that is to be made, or made again */
SVAAccess sva_op_access(const SVAEngine *e);
/* Make it, at @pa of @as. False: there is no memory. */
bool sva_op_make(SVAEngine *e, const SVAAccess *a, AddressSpace *as,
                 hwaddr pa);
/* It was made, go on. True: it was the last one. */
bool sva_op_advance(SVAEngine *e, const SVAAccess *a);
/* HAMMER: choose the next word */
void sva_op_next_word(SVAEngine *e);
/* An access was not as expected */
void sva_violation(SVAEngine *e, uint64_t addr, uint32_t how, uint64_t value);

/* Commands: sva-engine.c */

/* Begin a command, or end it at once because it makes no sense */
void sva_start(SVAEngine *e, uint32_t cmd);
/* The command has ended: SVA_ST_DONE and @status */
void sva_finish(SVAEngine *e, uint32_t status);
/* Forget the access that is stalled and the retry that is due, if any */
void sva_quiesce(SVAEngine *e);

/* Once for each engine, when the device is realized, and when it goes */
void sva_engine_init(SVAEngine *e, SVATestDev *d, uint32_t index);
void sva_engine_exit(SVAEngine *e);

/* Drop the command, and give every register its reset value */
void sva_engine_reset(SVAEngine *e);

/* The registers from SVA_REG_AUDIT on */
void sva_audit_init(SVATestDev *d);
void sva_audit_exit(SVATestDev *d);
void sva_audit_reset(SVATestDev *d);
uint64_t sva_audit_read(const SVATestDev *d, hwaddr reg);
/* False: there is no such register, or it can't be written */
bool sva_audit_write(SVATestDev *d, hwaddr reg, uint32_t v);

/* 64 bits of registers at @reg, which is a multiple of 8: sva-engine-regs.c */
uint64_t sva_engine_read(const SVAEngine *e, hwaddr reg);
void sva_engine_write(SVAEngine *e, hwaddr reg, uint32_t v);

/* Migration: sva-migration.c */

extern const VMStateDescription sva_vmstate;
void sva_migration_init(SVATestDev *d);
void sva_migration_exit(SVATestDev *d);

#endif
