/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/* ioctls of /dev/sva_testsub, shared by the driver and the workloads. */
#ifndef SVA_TESTSUB_H
#define SVA_TESTSUB_H

#include <linux/ioctl.h>
#include <linux/types.h>

/* Since the process subscribed: calls, and bytes that they were about. */
struct sva_testsub_counts {
	__u64 starts;
	__u64 ends;
	__u64 bytes;
};

#define SVA_TESTSUB_IOC_SUBSCRIBE	_IO('V', 0x80)
#define SVA_TESTSUB_IOC_COUNTS		_IOR('V', 0x81, struct sva_testsub_counts)

#endif
