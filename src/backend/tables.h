/* SPDX-License-Identifier: MIT */
/*
 * tables: the page-table memory of one space. One run of address space, of which
 * only what has been used costs memory; so a walker can tell a table address that
 * is none.
 *
 * Invariant: a page that is not handed out is all zero.
 *
 * Locking: `lock` protects `used`, `nr_free` and the stack of free pages.
 */
#ifndef BACKEND_TABLES_H
#define BACKEND_TABLES_H

#include <pthread.h>

#include "base/base.h"
#include "pgtable/pgtable.h"

#define TABLES_DEFAULT_MAX 65536ULL
/* Indices of pages are 32 bits wide. */
#define TABLES_LIMIT (1ULL << 31)

struct table_arena {
	struct pgt_memory memory;
	pthread_mutex_t lock;
	uint64_t max;
	uint64_t used; /* pages [0, used) have been handed out before */
	uint64_t nr_free;
	uint32_t *free_pages; /* a stack of those that came back */
};

/* At most @max pages; 0 for the default. 0, or -ENOMEM and nothing is owned. */
int tables_init(struct table_arena *arena, uint64_t max);
void tables_exit(struct table_arena *arena);

#endif
