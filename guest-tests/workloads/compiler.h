/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the kernel's own headers give: here for programs. */
#ifndef COMPILER_H
#define COMPILER_H

#define ARRAY_SIZE(x)		(sizeof(x) / sizeof((x)[0]))

/* Memory that a device or another process changes: one access, here and now. */
#define READ_ONCE(x)		__atomic_load_n(&(x), __ATOMIC_RELAXED)
#define WRITE_ONCE(x, value)	__atomic_store_n(&(x), value, __ATOMIC_RELAXED)

#define __noreturn		_Noreturn
#define __printf(a, b)		__attribute__((	\
	__format__(__printf__, a, b)))

#endif
