// SPDX-License-Identifier: GPL-2.0-or-later
/* Permissions given by the process itself. */
#include <linux/mman.h>
#include <sys/mman.h>

#include "area.h"
#include "ktap.h"
#include "paths.h"
#include "thp.h"
#include "upgrade.h"

static size_t size;	/* of the page under test */

static void protect(void *page, int prot)
{
	if (mprotect(page, size, prot))
		die_errno("mprotect");
}

static void prepare_protected(struct subject *s)
{
	WRITE_ONCE(*s->word, VALUE_OLD);
	s->value = VALUE_OLD;
	protect(s->word, PROT_READ);
}

static void give_write(struct subject *s)
{
	protect(s->word, PROT_READ | PROT_WRITE);
}

static void run(void *page, size_t bytes, const char * const *functions)
{
	const struct upgrade upgrade = {
		.size = bytes,
		.prepare = prepare_protected,
		.act = give_write,
		.lazy = true,
		.functions = functions,
	};
	struct subject s = { .word = page };

	size = bytes;
	upgrade_run(&upgrade, &s);
}

void mprotect_upgrade(void)
{
	static const char * const functions[] = { "change_protection", NULL };

	run(area_map(page_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1),
	    page_size, functions);
}

void mprotect_upgrade_thp(void)
{
	static const char * const functions[] = { "change_huge_pmd", "change_protection", NULL };

	thp_need();
	run(thp_map(MAP_PRIVATE), huge_size(), functions);
}

void mprotect_upgrade_hugetlb(void)
{
	static const char * const functions[] = {
		"hugetlb_change_protection", "change_protection", NULL
	};
	unsigned int shift = __builtin_ctzl(huge_size());
	void *page = mmap(NULL, huge_size(), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB |
			  shift << MAP_HUGE_SHIFT, -1, 0);

	if (page == MAP_FAILED)
		ktap_skip("no memory for a hugetlb page of %zu MiB", huge_size() >> 20);
	munmap(page, huge_size());
	run(area_map(huge_size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB |
		     shift << MAP_HUGE_SHIFT, -1), huge_size(), functions);
}
