/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A transparent huge page: what one entry of the level above the last maps. */
#ifndef THP_H
#define THP_H

/* Skips the path where there can be none. */
void thp_need(void);

/* New anonymous memory for one, aligned; nothing is in it yet. */
char *thp_map(int flags);

/* It is one. */
void thp_prove(const char *page);

#endif
