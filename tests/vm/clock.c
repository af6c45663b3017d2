// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Preloaded: the wall clock is elsewhere from the moment on at which a file
 * appears. JUMP_FILE names it, JUMP_SECONDS says how far. All other clocks
 * stay what they are.
 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long jumped(void)
{
	const char *file = getenv("JUMP_FILE"), *seconds = getenv("JUMP_SECONDS");

	return file && seconds && !access(file, F_OK) ? atol(seconds) : 0;
}

int clock_gettime(clockid_t id, struct timespec *now)
{
	long failed = syscall(SYS_clock_gettime, id, now);

	if (!failed && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE))
		now->tv_sec += jumped();
	return failed;
}

time_t time(time_t *told)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	if (told)
		*told = now.tv_sec;
	return now.tv_sec;
}

int gettimeofday(struct timeval *restrict told, void *restrict zone)
{
	struct timespec now;

	(void)zone;
	clock_gettime(CLOCK_REALTIME, &now);
	told->tv_sec = now.tv_sec;
	told->tv_usec = now.tv_nsec / 1000;
	return 0;
}
