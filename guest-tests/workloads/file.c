// SPDX-License-Identifier: GPL-2.0-or-later
/* Shared mappings of files. */
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "area.h"
#include "ktap.h"
#include "paths.h"
#include "trace.h"
#include "upgrade.h"

#define DISK_FILE	"/mnt/disk/file-mkwrite"

static int file;

static void map_file(struct subject *s)
{
	s->word = area_map(page_size, PROT_READ | PROT_WRITE, MAP_SHARED, file);
}

/* A page of tmpfs that was never written: clean, though its entry may be written. */
static void prepare_shmem(struct subject *s)
{
	s->word = area_map(page_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1);
	s->value = READ_ONCE(*s->word);
}

static void prepare_memfd(struct subject *s)
{
	file = memfd_create("memfd-clean", MFD_CLOEXEC);
	if (file < 0)
		die_errno("memfd_create");
	if (ftruncate(file, page_size))
		die_errno("ftruncate");
	map_file(s);
	s->value = READ_ONCE(*s->word);
}

static void run_clean(void (*prepare)(struct subject *s))
{
	static const char * const functions[] = { "ptep_set_access_flags", NULL };
	const struct upgrade upgrade = {
		.prepare = prepare,
		.functions = functions,
	};
	struct subject s = { };

	upgrade_run(&upgrade, &s);
}

void shmem_clean(void)
{
	run_clean(prepare_shmem);
}

void memfd_clean(void)
{
	run_clean(prepare_memfd);
}

/* A page of a file on disk, written back: the file system wants to know of a write. */
static void prepare_disk(struct subject *s)
{
	char *page = area_apart(page_size);
	const uint64_t value = VALUE_OLD;
	size_t i;

	for (i = 0; i < page_size; i += sizeof(value))
		*(uint64_t *)(page + i) = value;
	file = open(DISK_FILE, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (file < 0)
		die_errno(DISK_FILE);
	if (unlink(DISK_FILE))
		die_errno("unlink of " DISK_FILE);
	if (write(file, page, page_size) != (ssize_t)page_size)
		die_errno("write to " DISK_FILE);
	if (fsync(file))
		die_errno("fsync of " DISK_FILE);
	map_file(s);
	s->value = value;
}

/* Written by the device, then cleaned: writeback takes the right to write away. */
static void prepare_written_back(struct subject *s)
{
	struct sva_testdev_dma first;

	prepare_disk(s);
	first = dma_write(s->word, ~VALUE_OLD);
	ktap_point(dma_done(&first), PRECONDITION, "device write before the writeback %s",
		   dma_end(&first));
	if (fsync(file))
		die_errno("fsync of " DISK_FILE);
	s->value = ~VALUE_OLD;
}

static void run_disk(void (*prepare)(struct subject *s))
{
	static const char * const functions[] = {
		"wp_page_reuse", "do_page_mkwrite", "ext4_page_mkwrite",
		"ptep_set_access_flags", NULL
	};
	const struct upgrade upgrade = {
		.prepare = prepare,
		.functions = functions,
	};
	struct subject s = { };
	uint64_t found;

	upgrade_run(&upgrade, &s);
	if (pread(file, &found, sizeof(found), 0) != sizeof(found))
		die_errno("read of " DISK_FILE);
	/* To clean the page is to invalidate its translation: that would mend it. */
	ktap_point(trace_hits("folio_mkclean") <= 0, PRECONDITION,
		   "nothing was written back meanwhile (folio_mkclean ran %d times)",
		   trace_hits("folio_mkclean"));
	ktap_point(found == READ_ONCE(*s.word), DATA, "the file holds %#llx, memory %#llx",
		   (unsigned long long)found, (unsigned long long)READ_ONCE(*s.word));
}

void file_mkwrite(void)
{
	run_disk(prepare_disk);
}

void file_writeback(void)
{
	run_disk(prepare_written_back);
}
