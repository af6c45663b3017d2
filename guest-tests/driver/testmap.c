// SPDX-License-Identifier: GPL-2.0-only
/*
 * /dev/sva_testmap: memory that a driver maps, read-only until it is written, as
 * DAX does. A mapping of PMD_SIZE is made of one block, another of pages. From an
 * offset of a page on, the driver does not want to know of writes: such an entry
 * is writable from the start, and clean.
 *
 * The functions for that are not exported by every release: a kprobe knows where
 * they are.
 */
#include <linux/fs.h>
#include <linux/gfp.h>
#include <linux/kprobes.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/slab.h>
#ifdef HAVE_PFN_T
#include <linux/pfn_t.h>
#define AS_PFN(page)	phys_to_pfn_t(page_to_phys(page), 0)
#define DRIVER_PFN(page) phys_to_pfn_t(page_to_phys(page), PFN_DEV)
#else
#define AS_PFN(page)	page_to_pfn(page)
#define DRIVER_PFN(page) page_to_pfn(page)
#endif

struct testmap {
	refcount_t users;
	unsigned int order;
	struct page *page;
};

#ifdef HAVE_INSERT_PAGE_MKWRITE
static vm_fault_t insert(struct vm_fault *vmf, struct testmap *map, bool write)
{
	return vmf_insert_page_mkwrite(vmf, map->page, write);
}

static bool find_symbols(void)
{
	return true;
}
#else
static vm_fault_t (*insert_mkwrite)(struct vm_area_struct *vma, unsigned long addr, pfn_t pfn);

static vm_fault_t insert(struct vm_fault *vmf, struct testmap *map, bool write)
{
	if (write)
		return insert_mkwrite(vmf->vma, vmf->address, AS_PFN(map->page));
	return vmf_insert_mixed(vmf->vma, vmf->address, AS_PFN(map->page));
}

static bool find_symbols(void)
{
	struct kprobe probe = { .symbol_name = "vmf_insert_mixed_mkwrite" };

	if (register_kprobe(&probe))
		return false;
	insert_mkwrite = (void *)probe.addr;
	unregister_kprobe(&probe);
	return true;
}
#endif

static vm_fault_t map_fault(struct vm_fault *vmf)
{
	return insert(vmf, vmf->vma->vm_private_data, vmf->flags & FAULT_FLAG_WRITE);
}

/* The entry is there and read-only. */
static vm_fault_t map_mkwrite(struct vm_fault *vmf)
{
	return insert(vmf, vmf->vma->vm_private_data, true);
}

#ifdef HAVE_HUGE_FAULT_ORDER
static vm_fault_t map_huge_fault(struct vm_fault *vmf, unsigned int order)
{
	struct testmap *map = vmf->vma->vm_private_data;

	if (order != PMD_ORDER || map->order != PMD_ORDER)
		return VM_FAULT_FALLBACK;
	return vmf_insert_pfn_pmd(vmf, DRIVER_PFN(map->page), vmf->flags & FAULT_FLAG_WRITE);
}
#endif

static void map_open(struct vm_area_struct *vma)
{
	struct testmap *map = vma->vm_private_data;

	refcount_inc(&map->users);
}

static void map_close(struct vm_area_struct *vma)
{
	struct testmap *map = vma->vm_private_data;

	if (!refcount_dec_and_test(&map->users))
		return;
	__free_pages(map->page, map->order);
	kfree(map);
}

static const struct vm_operations_struct map_ops = {
	.open		= map_open,
	.close		= map_close,
	.fault		= map_fault,
	.page_mkwrite	= map_mkwrite,
	.pfn_mkwrite	= map_mkwrite,
};

static vm_fault_t careless_fault(struct vm_fault *vmf)
{
	struct testmap *map = vmf->vma->vm_private_data;

	return vmf_insert_mixed(vmf->vma, vmf->address, AS_PFN(map->page));
}

static const struct vm_operations_struct careless_ops = {
	.open		= map_open,
	.close		= map_close,
	.fault		= careless_fault,
};

#ifdef HAVE_HUGE_FAULT_ORDER
/* It has pfn_mkwrite so that the first entry is read-only; huge_fault serves both. */
static const struct vm_operations_struct huge_ops = {
	.open		= map_open,
	.close		= map_close,
	.huge_fault	= map_huge_fault,
	.pfn_mkwrite	= map_mkwrite,
};
#endif

static void map_pages(struct vm_area_struct *vma, struct testmap *map)
{
#ifdef HAVE_HUGE_FAULT_ORDER
	if (map->order) {
		vm_flags_set(vma, VM_PFNMAP | VM_DONTEXPAND | VM_DONTDUMP);
		vma->vm_ops = &huge_ops;
		return;
	}
#endif
#ifdef HAVE_VM_FLAGS_SET
	vm_flags_set(vma, VM_MIXEDMAP | VM_DONTEXPAND);
#else
	vma->vm_flags |= VM_MIXEDMAP | VM_DONTEXPAND;
#endif
	vma->vm_ops = vma->vm_pgoff ? &careless_ops : &map_ops;
}

static int map_mmap(struct file *file, struct vm_area_struct *vma)
{
	unsigned long size = vma->vm_end - vma->vm_start;
	struct testmap *map;

	if (!(vma->vm_flags & VM_SHARED) || (size != PAGE_SIZE && size != PMD_SIZE))
		return -EINVAL;
#ifndef HAVE_HUGE_FAULT_ORDER
	if (size == PMD_SIZE)
		return -EOPNOTSUPP;	/* such a mapping has huge faults since Linux 6.12 */
#endif
	map = kzalloc(sizeof(*map), GFP_KERNEL);
	if (!map)
		return -ENOMEM;
	refcount_set(&map->users, 1);
	map->order = get_order(size);
	/* A block of 512 MiB is more than a guest has, and no fault of the kernel's. */
	map->page = alloc_pages(GFP_KERNEL | __GFP_ZERO | (map->order ? __GFP_COMP | __GFP_NOWARN : 0),
				map->order);
	if (!map->page) {
		kfree(map);
		return -ENOMEM;
	}
	vma->vm_private_data = map;
	map_pages(vma, map);
	return 0;
}

static const struct file_operations map_fops = {
	.owner	= THIS_MODULE,
	.mmap	= map_mmap,
};

static struct miscdevice map_misc = {
	.minor	= MISC_DYNAMIC_MINOR,
	.name	= "sva_testmap",
	.fops	= &map_fops,
};

static int __init map_init(void)
{
	return find_symbols() ? misc_register(&map_misc) : -ENOENT;
}
module_init(map_init);

static void __exit map_exit(void)
{
	misc_deregister(&map_misc);
}
module_exit(map_exit);

MODULE_DESCRIPTION("Memory that a driver maps, for tests of shared virtual addressing");
MODULE_LICENSE("GPL");
