/* SPDX-License-Identifier: GPL-2.0-only */
/* Inside of the sva-testdev driver: registers of the device, shared types. */
#ifndef SVA_TESTDEV_DRIVER_H
#define SVA_TESTDEV_DRIVER_H

#include <linux/completion.h>
#include <linux/iommu.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/miscdevice.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/rwsem.h>
#include <linux/spinlock.h>
#include <linux/wait.h>

#include "sva_testdev.h"

#define TD_MAGIC		0x000
#define   TD_MAGIC_VALUE	0x53564131
#define TD_VERSION		0x004
#define   TD_VERSION_VALUE	2
#define TD_ENGINES		0x008
#define TD_RESET		0x00c
#define TD_PROBE_ADDR		0x010
#define TD_PROBE_PASID		0x018
#define TD_PROBE		0x01c
#define TD_TLBI			0x020
#define TD_STALLS		0x028
#define TD_RESUMES		0x030
#define TD_FULL_FLUSHES		0x038
#define TD_HIT_PERM_FAULTS	0x040
#define TD_AUDIT		0x080
#define TD_AUDIT_STATUS		0x084
#define   TD_AUDIT_INCOMPLETE	0x01
#define   TD_AUDIT_NO_IOMMU	0x02
#define TD_AUDIT_ENTRIES	0x088
#define TD_AUDIT_INDEX		0x08c
#define   TD_AUDIT_SHOWN	64
#define TD_RESTRICTIVE		0x090
#define TD_PERMISSIVE		0x094
#define TD_WRONG_PAGE		0x098
#define TD_UNMAPPED		0x09c
#define TD_DIFF_KIND		0x0a0
#define TD_DIFF_WALK		0x0a4
#define TD_DIFF_SID		0x0a8
#define TD_DIFF_PASID		0x0ac
#define TD_DIFF_ASID		0x0b0
#define TD_DIFF_ADDR		0x0b8
#define TD_DIFF_SIZE		0x0c0
#define TD_DIFF_CACHED		0x0c8
#define TD_DIFF_WALKED		0x0cc
#define TD_CACHED_DESC		0x0d0
#define TD_CACHED_OUT		0x0d8
#define TD_WALKED_DESC		0x0e0
#define TD_WALKED_OUT		0x0e8
#define TD_SYNC			0x0f0
#define TD_SYNCS		0x0f4

#define TD_ENGINE(n)		(0x1000 + (n) * 0x100)
#define TDE_ADDR		0x00
#define TDE_LEN			0x08
#define TDE_PASID		0x0c
#define TDE_DATA		0x10
#define TDE_DATA2		0x18
#define TDE_CMD			0x20
#define TDE_STATUS		0x24
#define TDE_STALLS		0x28
#define TDE_RETRIES		0x2c
#define TDE_MAX_STALLS		0x30
#define TDE_RETRY_NS		0x34
#define TDE_ABORT		0x38
#define TDE_BYTES_DONE		0x3c
#define TDE_FAULT_ADDR		0x40
#define TDE_SUM			0x48
#define TDE_BAD_ADDR		0x50
#define TDE_BAD_VALUE		0x58
#define TDE_BAD_ACCESS		0x60
#define TDE_BAD_COUNT		0x68
#define TDE_BAD_HOW		0x6c
#define TDE_ACCESSES		0x70
#define TDE_ABORTS		0x78
#define TDE_EXPECT		0x7c
#define TDE_PERIOD_NS		0x80
#define TDE_STOP		0x84

#define TD_MAX_ENGINES		32

struct td_context;

struct td_engine {
	void __iomem *regs;
	struct completion done;		/* its interrupt came */
	struct td_context *owner;	/* under td_device.engines_lock */
	u32 retry_ns;			/* the device's default */
	bool wedged;			/* does not stop: never used again */
	bool hammers;			/* for its owner; under td_device.engines_lock */
	unsigned int index;
};

struct td_device {
	struct kref ref;		/* the driver and every open file */
	struct pci_dev *pdev;
	void __iomem *regs;
	struct miscdevice misc;
	int id;
	struct mutex probe_lock;	/* probe, audit: question and answer belong together */
	struct mutex lock;		/* contexts and gone, and before td_context.sem */
	struct list_head contexts;
	bool gone;			/* no use of the device from now on */
	spinlock_t engines_lock;
	wait_queue_head_t engine_free;
	u64 lost_faults;		/* given up waiting for; under lock */
	unsigned int nr_engines;
	struct td_engine engines[TD_MAX_ENGINES];
};

/*
 * An open file. The semaphore is held for reading while the device or the
 * binding is in use, for writing to change the binding.
 */
struct td_context {
	struct list_head node;
	struct td_device *td;
	struct rw_semaphore sem;
	bool stopping;			/* no new command; under engines_lock */
	struct iommu_sva *handle;
	struct mm_struct *mm;
	struct mm_struct *user;		/* whose process asked for it */
	u32 pasid;
};

extern const struct file_operations td_fops;
void td_release(struct kref *ref);
void td_context_unbind(struct td_context *ctx);

int td_engines_init(struct td_device *td);
void td_engines_exit(struct td_device *td);
struct td_engine *td_engine_get(struct td_context *ctx);
void td_engine_put(struct td_device *td, struct td_engine *engine);
int td_engine_start(struct td_context *ctx, struct td_engine *engine, u32 op);
int td_engine_wait(struct td_device *td, struct td_engine *engine, u32 timeout_ms);
void td_engine_abort(struct td_device *td, struct td_engine *engine);
int td_engine_dma(struct td_context *ctx, struct sva_testdev_dma *dma);
void td_faults_drain(struct td_device *td);
void td_engine_stop(struct td_context *ctx);
void td_engine_allow(struct td_context *ctx);

int td_hammer_start(struct td_context *ctx, struct sva_testdev_hammer *hammer);
int td_hammer_expect(struct td_context *ctx, const struct sva_testdev_expect *expect);
int td_hammer_stop(struct td_context *ctx, struct sva_testdev_stop *stop);
void td_hammer_reap(struct td_context *ctx);

int td_audit(struct td_device *td, struct sva_testdev_audit *audit);
int td_difference(struct td_device *td, struct sva_testdev_difference *diff);
int td_sync(struct td_device *td, struct sva_testdev_sync *sync);

void td_pgtable_walk(struct mm_struct *mm, struct sva_testdev_pte *query);

void td_show_machine(struct pci_dev *pdev);
void td_explain_no_sva(struct pci_dev *pdev, int error);
bool td_sva_possible(struct pci_dev *pdev);

#endif
