/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What ties the clock of ftrace to that of the emulator: the CPU's counter, which both can be compared with. */
#ifndef CLOCK_H
#define CLOCK_H

/*
 * Some marks in ftrace and a write to the device's SYNC register, each between two
 * reads of the counter. QEMU tells at which time the register was written.
 */
void clock_mark(void);

/* The counter's values, for the timeline. */
void clock_tell(void);

#define CLOCK_MARK	"faultloop tick "

#endif
