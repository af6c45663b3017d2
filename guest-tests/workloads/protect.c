// SPDX-License-Identifier: GPL-2.0-or-later
/* Permissions given by the process itself. */
#include <sys/mman.h>

#include "area.h"
#include "ktap.h"
#include "paths.h"
#include "upgrade.h"

static void protect(void *page, int prot)
{
	if (mprotect(page, page_size, prot))
		die_errno("mprotect");
}

static void prepare_protected(struct subject *s)
{
	s->word = area_map(page_size, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1);
	WRITE_ONCE(*s->word, VALUE_OLD);
	s->value = VALUE_OLD;
	protect(s->word, PROT_READ);
}

static void give_write(struct subject *s)
{
	protect(s->word, PROT_READ | PROT_WRITE);
}

void mprotect_upgrade(void)
{
	static const char * const functions[] = { "change_protection", NULL };
	static const struct upgrade upgrade = {
		.prepare = prepare_protected,
		.act = give_write,
		.lazy = true,
		.functions = functions,
	};
	struct subject s = { };

	upgrade_run(&upgrade, &s);
}
