// SPDX-License-Identifier: GPL-2.0-or-later
#include <fcntl.h>
#include <sys/ioctl.h>

#include "ktap.h"
#include "subscriber.h"

#define DEVICE	"/dev/sva_testsub"

static int device = -1;

void subscriber_open(void)
{
	device = open(DEVICE, O_RDWR | O_CLOEXEC);
	if (device < 0)
		die_errno(DEVICE " (the kernel log says why)");
	if (ioctl(device, SVA_TESTSUB_IOC_SUBSCRIBE))
		die_errno(DEVICE ": subscribe");
}

struct sva_testsub_counts subscriber_counts(void)
{
	struct sva_testsub_counts counts = { };

	/* Not every program subscribes. */
	if (device >= 0 && ioctl(device, SVA_TESTSUB_IOC_COUNTS, &counts))
		die_errno(DEVICE ": counts");
	return counts;
}

void subscriber_tell(const struct sva_testsub_counts *before,
		     const struct sva_testsub_counts *after)
{
	ktap_fact("subscriber_starts", "%llu",
		  (unsigned long long)(after->starts - before->starts));
	ktap_fact("subscriber_ends", "%llu",
		  (unsigned long long)(after->ends - before->ends));
	ktap_fact("subscriber_bytes", "%llu",
		  (unsigned long long)(after->bytes - before->bytes));
}
