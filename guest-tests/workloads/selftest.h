/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SELFTEST_H
#define SELFTEST_H

/* Test the driver, print KTAP; returns the exit status. */
int selftest(void);

/* selftest_device.c: points about the device, through a bound file. */
void selftest_device(int fd);

#endif
