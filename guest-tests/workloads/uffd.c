// SPDX-License-Identifier: GPL-2.0-or-later
/* What userfaultfd lets a process do to its own page tables. */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "area.h"
#include "ktap.h"
#include "paths.h"
#include "upgrade.h"

#ifndef UFFDIO_MOVE		/* since Linux 6.8 */
#define UFFD_FEATURE_MOVE	(1 << 16)
struct uffdio_move {
	__u64 dst, src, len, mode;
	__s64 move;
};
#define UFFDIO_MOVE		_IOWR(UFFDIO, 0x05, struct uffdio_move)
#endif

static int uffd;

static void open_uffd(uint64_t feature, const char *what)
{
	struct uffdio_api api = { .api = UFFD_API, .features = feature };

	uffd = syscall(SYS_userfaultfd, O_CLOEXEC);
	if (uffd < 0)
		ktap_skip("the kernel has no userfaultfd");
	if (ioctl(uffd, UFFDIO_API, &api)) {
		if (errno != EINVAL)
			die_errno("UFFDIO_API");
		ktap_skip("the kernel has no %s", what);
	}
}

static void watch(const void *page, uint64_t mode)
{
	struct uffdio_register range = {
		.range = { (uintptr_t)page, page_size },
		.mode = mode,
	};

	if (ioctl(uffd, UFFDIO_REGISTER, &range))
		die_errno("UFFDIO_REGISTER");
}

static void protect(const void *page, uint64_t mode)
{
	struct uffdio_writeprotect range = {
		.range = { (uintptr_t)page, page_size },
		.mode = mode,
	};

	if (ioctl(uffd, UFFDIO_WRITEPROTECT, &range))
		die_errno("UFFDIO_WRITEPROTECT");
}

static void *written_page(void)
{
	uint64_t *page = area_map(page_size, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS, -1);

	WRITE_ONCE(*page, VALUE_OLD);
	ktap_point(area_drain(page), PRECONDITION,
		   "the page is on its LRU list, in no CPU's batch");
	return page;
}

static void prepare_protected(struct subject *s)
{
	open_uffd(UFFD_FEATURE_PAGEFAULT_FLAG_WP, "write protection by userfaultfd");
	s->word = written_page();
	s->value = VALUE_OLD;
	watch(s->word, UFFDIO_REGISTER_MODE_WP);
	protect(s->word, UFFDIO_WRITEPROTECT_MODE_WP);
}

static void clear(struct subject *s)
{
	protect(s->word, 0);
}

void uffd_wp_clear(void)
{
	static const char * const functions[] = { "change_protection", NULL };
	static const struct upgrade upgrade = {
		.prepare = prepare_protected,
		.act = clear,
		.lazy = true,
		.functions = functions,
	};
	struct subject s = { };

	upgrade_run(&upgrade, &s);
}

/*
 * The page goes to another address. The device, which could write it here, gets
 * a new page when it writes here again.
 */
struct uffd_moved {
	uint64_t *from, *to;
	struct view before, moved, after;
	struct audit audit;
	struct window window;
	struct sva_testdev_dma first, write;
};

static void move_page(struct uffd_moved *m)
{
	struct uffdio_move move = {
		.dst = (uintptr_t)m->to, .src = (uintptr_t)m->from, .len = page_size,
	};

	if (ioctl(uffd, UFFDIO_MOVE, &move))
		die_errno("UFFDIO_MOVE");
}

static void prove_uffd_moved(struct uffd_moved *m)
{
	static const char * const functions[] = { "move_pages", NULL };
	struct view there = view_of(m->to);

	ktap_point(dma_done(&m->first), PRECONDITION, "device write before %s",
		   dma_end(&m->first));
	prove_cached(m->before.iotlb, true, "right before the move");
	ktap_point(pte_pfn(&there.pte) == pte_pfn(&m->before.pte) && !pte_valid(&m->moved.pte),
		   PRECONDITION, "the page moved (frame %#llx, here %#llx)",
		   (unsigned long long)pte_pfn(&there.pte),
		   (unsigned long long)m->moved.pte.desc);
	prove_functions(functions);
	prove_iotlb_within(&m->moved, "when the system call returned");
	ktap_point(dma_done(&m->write), PROGRESS, "device write %s after %u stalls (bound %u)",
		   dma_end(&m->write), m->write.stalls, dma_max_stalls);
	ktap_point(READ_ONCE(*m->to) == VALUE_OLD, STALE,
		   "the page that was moved holds %#llx, expected %#llx",
		   (unsigned long long)READ_ONCE(*m->to), VALUE_OLD);
}

void uffd_move(void)
{
	struct uffd_moved m = { };

	prove_faults_served();
	open_uffd(UFFD_FEATURE_MOVE, "move by userfaultfd");
	m.from = written_page();
	m.to = area_map(page_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	watch(m.to, UFFDIO_REGISTER_MODE_MISSING);
	m.first = dma_write(m.from, VALUE_OLD);
	window_open(&m.window, m.from, page_size);
	m.before = view_of(m.from);
	move_page(&m);
	m.moved = view_of(m.from);
	m.audit = dma_audit();
	m.write = dma_write(m.from, VALUE_DEVICE);
	window_close(&m.window);
	m.after = view_of(m.from);

	prove_uffd_moved(&m);
	prove_ending(&(struct ending){ &m.before, &m.after, &m.audit, &m.window, &m.write });
}
