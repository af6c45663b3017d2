/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A transparent huge page: what one entry of the level above the last maps. */
#ifndef THP_H
#define THP_H

/* Skips the path where there can be none; by a fault, or at all. */
void thp_need(void);
void thp_need_memory(void);

/* New anonymous memory for one, aligned; nothing is in it yet. */
char *thp_map(int flags);

/* Small pages in as much memory, also where the kernel gives huge ones to whoever asks for nothing. */
void thp_touch_small(char *area);

/* It is one. */
void thp_prove(const char *page);

#endif
