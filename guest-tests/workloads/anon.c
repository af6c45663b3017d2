// SPDX-License-Identifier: GPL-2.0-or-later
/* Private anonymous pages. */
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "area.h"
#include "ktap.h"
#include "paths.h"
#include "swap.h"
#include "upgrade.h"

static void *anon_page(void)
{
	return area_map(page_size, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1);
}

void first_touch(void)
{
	static const char * const functions[] = { "do_anonymous_page", NULL };
	struct subject s = { .word = anon_page() };
	void *word = s.word;

	prove_faults_served();
	window_open(&s.window, word, page_size);
	s.before = view_of(word);
	s.write = dma_write(word, VALUE_DEVICE);
	window_close(&s.window);
	s.after = view_of(word);

	ktap_point(!s.before.pte.desc, PRECONDITION,
		   "nothing was mapped (descriptor %#llx)",
		   (unsigned long long)s.before.pte.desc);
	ktap_point(!s.before.iotlb, PRECONDITION, "IOTLB held nothing (%s)",
		   entry_text(s.before.iotlb));
	ktap_point(s.write.stalls, PRECONDITION, "the device's write faulted (%u stalls)",
		   s.write.stalls);
	ktap_point(pte_writable(&s.after.pte), PRECONDITION,
		   "page table maps the page writable afterwards (descriptor %#llx)",
		   (unsigned long long)s.after.pte.desc);
	prove_functions(functions);
	prove_no_evictions(&s.window);
	ktap_point(dma_done(&s.write), PROGRESS, "device write %s after %u stalls (bound %u)",
		   dma_end(&s.write), s.write.stalls, dma_max_stalls);
	ktap_point(READ_ONCE(*s.word) == (dma_done(&s.write) ? VALUE_DEVICE : 0), DATA,
		   "memory holds %#llx", (unsigned long long)READ_ONCE(*s.word));
	prove_iotlb_within(&s.after, "afterwards");
	prove_audit_at_end();
	tell_window(&s.window, &s.write);
	tell_views(&s.before, &s.after);
}

static uint64_t other_zero_pfn;

/* All pages that were only read are one and the same: the zero page. */
static void prepare_zero(struct subject *s)
{
	uint64_t *other = anon_page();
	struct sva_testdev_pte pte;

	if (READ_ONCE(*other))
		die("a new page holds %#llx", (unsigned long long)READ_ONCE(*other));
	pte = dma_pte(other);
	other_zero_pfn = pte_pfn(&pte);
	s->word = anon_page();
	s->value = 0;
}

void zero_page_cow(void)
{
	static const char * const functions[] = { "wp_page_copy", NULL };
	static const struct upgrade upgrade = {
		.prepare = prepare_zero,
		.frame = FRAME_OTHER,
		.functions = functions,
	};
	struct subject s = { };

	upgrade_run(&upgrade, &s);
	ktap_point(other_zero_pfn && other_zero_pfn == pte_pfn(&s.before.pte), PRECONDITION,
		   "the page read was the zero page (frame %#llx)",
		   (unsigned long long)pte_pfn(&s.before.pte));
}

/*
 * The kernel reuses a page only when nobody else refers to it, and the batches
 * of pages on their way to the LRU lists do.
 */
static void written_page(struct subject *s)
{
	s->word = anon_page();
	WRITE_ONCE(*s->word, VALUE_OLD);
	s->value = VALUE_OLD;
	ktap_point(area_drain(s->word), PRECONDITION,
		   "the page is on its LRU list, in no CPU's batch");
}

static void prepare_forked(struct subject *s)
{
	written_page(s);
	area_fork_and_reap();
}

static const char * const reuse_functions[] = {
	"wp_page_reuse", "do_wp_page", "ptep_set_access_flags", NULL
};

void anon_reuse(void)
{
	static const struct upgrade upgrade = {
		.prepare = prepare_forked,
		.functions = reuse_functions,
	};
	struct subject s = { };

	upgrade_run(&upgrade, &s);
}

/*
 * Swapped in by a read, and nobody else's. The kernel may map it read-only, or
 * writable and clean: the device's first write raises either.
 */
static void prepare_swapped(struct subject *s)
{
	swap_begin();
	s->word = anon_page();
	WRITE_ONCE(*s->word, VALUE_OLD);
	s->value = VALUE_OLD;
	ktap_point(swap_out(s->word, page_size), PRECONDITION, "the page went to swap");
}

void swapin_reuse(void)
{
	static const char * const functions[] = {
		"wp_page_reuse", "do_wp_page", "ptep_set_access_flags", NULL
	};
	static const struct upgrade upgrade = {
		.prepare = prepare_swapped,
		.functions = functions,
	};
	struct subject s = { };

	upgrade_run(&upgrade, &s);
}

/* The child: wait to be asked, then say what it finds in its own copy. */
struct child_view {
	uint64_t value, pfn;
};

static struct {
	pid_t pid;
	int ask[2], tell[2];
} child;

static void child_main(uint64_t *word)
{
	struct sva_testdev_pte pte;
	struct child_view found;
	char asked;

	close(child.ask[1]);
	if (read(child.ask[0], &asked, 1) != 1)
		_exit(1);
	found.value = READ_ONCE(*word);
	pte = dma_pte(word);
	found.pfn = pte_pfn(&pte);
	_exit(write(child.tell[1], &found, sizeof(found)) != sizeof(found));
}

/* The device writes before the fork: a writable entry is what fork has to take away. */
static void prepare_child(struct subject *s)
{
	struct sva_testdev_dma first;

	written_page(s);
	first = dma_write(s->word, VALUE_OLD);
	ktap_point(dma_done(&first), PRECONDITION, "device write before the fork %s",
		   dma_end(&first));
	if (pipe(child.ask) || pipe(child.tell))
		die_errno("pipe");
	child.pid = fork();
	if (child.pid < 0)
		die_errno("fork");
	if (!child.pid)
		child_main(s->word);
	close(child.ask[0]);
	close(child.tell[1]);
}

static struct child_view ask_child(void)
{
	struct child_view found;
	int status;

	if (write(child.ask[1], "?", 1) != 1)
		die_errno("write to the child");
	if (read(child.tell[0], &found, sizeof(found)) != sizeof(found))
		die("the child did not answer");
	if (waitpid(child.pid, &status, 0) != child.pid)
		die_errno("waitpid");
	return found;
}

void fork_child_alive(void)
{
	static const char * const functions[] = { "wp_page_copy", NULL };
	static const struct upgrade upgrade = {
		.prepare = prepare_child,
		.frame = FRAME_OTHER,
		.functions = functions,
	};
	struct child_view found;
	struct subject s = { };

	upgrade_run(&upgrade, &s);
	found = ask_child();
	ktap_point(found.pfn == pte_pfn(&s.before.pte), PRECONDITION,
		   "the child kept the page (frame %#llx)",
		   (unsigned long long)found.pfn);
	ktap_point(found.value == VALUE_OLD, STALE,
		   "the child's copy holds %#llx, expected %#llx",
		   (unsigned long long)found.value, VALUE_OLD);
}
