/* SPDX-License-Identifier: MIT */
/*
 * The life of table pages: hooked in, unhooked, listed until the invalidation,
 * freed (table.c); and what the engine writes down about its work.
 */
#ifndef PGTABLE_TABLE_H
#define PGTABLE_TABLE_H

#include "pgtable/pgtable.h"

/*
 * Get a table and hook it into an empty entry. Returns the entry's value
 * afterwards: ours, or that of whoever was faster; 0 without memory.
 */
uint64_t pgt_hook_table(struct pgtable *pt, uint64_t *entry, uint64_t bits);

/* Put an unhooked table in front of a list. */
void pgt_list_table(struct pgtable *pt, uint64_t *table, uint64_t **list);

/* Cursors made before are worth nothing any more. */
void pgt_tables_unhooked(struct pgtable *pt);

/*
 * The caller owns everything that a level 0 table translates and has cleared it:
 * unhook it if there are many tables and nothing is left in it.
 */
void pgt_drop_table(struct pgtable *pt, uint64_t iova, uint64_t *table,
		    struct pgt_removed *removed);

/* The generation that a cursor must have. */
static inline uint64_t pgt_generation(const struct pgtable *pt)
{
	return __atomic_load_n(pt->gen_watch, __ATOMIC_ACQUIRE) & ~PGT_GEN_OBSERVED;
}

static inline void pgt_set_cursor(struct pgt_cursor *cursor, uint64_t iova, uint64_t *table,
				  uint64_t gen)
{
	if (!cursor || gen & PGT_GEN_WATCH)
		return;
	cursor->base = iova & ~(PGT_TABLE_SPAN - 1);
	cursor->table = table;
	cursor->gen = gen;
}

/* Add a removed stretch; stretches come in ascending order. */
static inline void pgt_note_removed(struct pgt_removed *removed, uint64_t first, uint64_t last,
				    uint64_t bytes, uint64_t entries)
{
	if (removed->first > removed->last)
		removed->first = first;
	removed->last = last;
	removed->bytes += bytes;
	removed->entries += entries;
}

#endif
