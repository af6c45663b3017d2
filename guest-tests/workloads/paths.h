/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Every path has a row in catalogue.yaml and one function here; its forms share it. */
#ifndef PATHS_H
#define PATHS_H

/* anon.c */
void first_touch(void);
void zero_page_cow(void);
void anon_reuse(void);
void swapin_reuse(void);
void fork_child_alive(void);

/* file.c */
void shmem_clean(void);
void memfd_clean(void);
void file_mkwrite(void);
void file_writeback(void);

/* madvise.c */
void madv_free(void);

/* hugetlb.c */
void hugetlb_reuse(void);
void hugetlb_shared_clean(void);
void hugetlb_cont_pte(void);
void hugetlb_cont_pmd(void);
void hugetlb_cont_pte_clean(void);
void hugetlb_cont_pmd_clean(void);
void hugetlb_fork(void);

/* hugetlb_table.c */
void hugetlb_shared_table(void);

/* thp.c */
void thp_reuse(void);
void thp_clean(void);
void shmem_thp_clean(void);
void thp_collapse_upgrade(void);
void contpte_sibling(void);

/* pfnmap.c */
void pfnmap(void);
void pfnmap_pmd(void);
void pfnmap_populate(void);

/* remote.c */
void gup_write(void);
void gup_proc_mem(void);

/* uffd.c */
void uffd_wp_clear(void);
void uffd_move(void);

/* protect.c */
void mprotect_upgrade(void);
void mprotect_upgrade_thp(void);
void mprotect_upgrade_hugetlb(void);

/* accessed.c */
void access_flag(void);

/* ksm.c */
void ksm_break(void);
void ksm_merge(void);
void ksm_unmerge(void);

/* migrate.c */
void soft_offline(void);
void migrate_back(void);
void compaction(void);
void thp_split(void);
void thp_collapse(void);

/* taken.c */
void mprotect_readonly(void);
void mprotect_none(void);
void munmap_path(void);
void dontneed(void);
void truncate_path(void);
void punch_hole(void);
void pageout(void);

/* mremap.c */
void mremap_path(void);
void mremap_upgrade(void);

/* numa.c */
void numa_hint(void);

/* gone.c */
void exit_path(void);
void exit_last_thread(void);
void kill_path(void);
void exec_path(void);
void unbind(void);
void driver_removal(void);

/* over_ram.c */
void over_ram(void);

/* reclaim.c */
void reclaim(void);
void writeback(void);

/* hmm.c */
void hmm_exclusive(void);
void hmm_exclusive_fork(void);
void hmm_private(void);
void hmm_first_notifier(void);

/* fault.c */
void unmapped(void);
void prot_none(void);
void write_read_only(void);
void guard_page(void);
void kernel_address(void);
void non_canonical(void);

#endif
