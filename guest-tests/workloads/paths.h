/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Every path has a row in catalogue.yaml and one function here. */
#ifndef PATHS_H
#define PATHS_H

/* anon.c */
void first_touch(void);
void zero_page_cow(void);
void anon_reuse(void);
void anon_reuse_cpu_first(void);
void fork_child_alive(void);

/* file.c */
void shmem_clean(void);
void file_mkwrite(void);

/* madvise.c */
void madv_free(void);
void madv_free_cpu_first(void);

/* huge.c */
void hugetlb_reuse(void);
void thp_reuse(void);

/* protect.c */
void mprotect_upgrade(void);
void mprotect_readonly(void);
void munmap_path(void);

/* fault.c */
void unmapped(void);

#endif
