/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The paths by name, each form a name of its own. */
#ifndef TABLE_H
#define TABLE_H

#include <stdbool.h>

/* What runs the path of that name, its form set; NULL if there is none. */
void (*table_find(const char *name))(void);

/* One after the other, until the callback returns false. */
void table_each(bool (*callback)(const char *name, void *data), void *data);

#endif
