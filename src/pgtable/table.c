/* SPDX-License-Identifier: MIT */
/* The life of table pages. */
#include "pgtable/table.h"

#include "pgtable/engine.h"

static uint32_t *next_of(struct pgtable *pt, const uint64_t *table)
{
	return &pt->memory->next[((uintptr_t)table - pt->memory->base) >> PGT_PAGE_SHIFT];
}

uint64_t pgt_hook_table(struct pgtable *pt, uint64_t *entry, uint64_t bits)
{
	uint64_t *table = pt->memory->get(pt->memory);
	uint64_t found = 0, value;

	if (!table)
		return 0;
	value = (uintptr_t)table | bits;
	if (!__atomic_compare_exchange_n(entry, &found, value, false, __ATOMIC_ACQ_REL,
					 __ATOMIC_ACQUIRE)) {
		pt->memory->put(pt->memory, table);
		return found;
	}
	counter_add_shared(&pt->table_writes, 1);
	counter_add_shared(&pt->tables, 1);
	return value;
}

void pgt_list_table(struct pgtable *pt, uint64_t *table, uint64_t **list)
{
	uint64_t first = *list ? ((uintptr_t)*list - pt->memory->base) / PGT_PAGE_SIZE + 1 : 0;

	*next_of(pt, table) = (uint32_t)first;
	*list = table;
	counter_add_shared(&pt->tables, (uint64_t)-1);
}

void pgt_tables_unhooked(struct pgtable *pt)
{
	__atomic_fetch_add(pt->gen_watch, PGT_GEN_STEP, __ATOMIC_ACQ_REL);
}

static uint64_t *next_table(struct pgtable *pt, const uint64_t *table)
{
	uint32_t next = *next_of(pt, table);

	if (!next)
		return NULL;
	return (uint64_t *)(uintptr_t)(pt->memory->base + (next - 1ULL) * PGT_PAGE_SIZE);
}

uint64_t *pgt_join_tables(struct pgtable *pt, uint64_t *tables, uint64_t *more)
{
	uint64_t *last = more, *next;

	if (!more)
		return tables;
	if (!tables)
		return more;
	while ((next = next_table(pt, last)))
		last = next;
	*next_of(pt, last) = (uint32_t)(((uintptr_t)tables - pt->memory->base) / PGT_PAGE_SIZE + 1);
	return more;
}

/* Give the leaf that now stands for the table at @iova the bits, if it is that one. */
static void settle_at(struct pgtable *pt, uint64_t iova, uint64_t phys, uint64_t bits)
{
	struct pgt_leaf leaf;

	if (pgt_walk(pt, iova, &leaf) == PGT_WALK_OK &&
	    leaf.phys + (iova & ((1ULL << leaf.shift) - 1)) == phys)
		__atomic_fetch_or(leaf.entry, bits, __ATOMIC_ACQ_REL);
}

void pgt_settle_merge(struct pgtable *pt, uint64_t iova, uint64_t size, const uint64_t *tables)
{
	const struct pgt_descriptor *d = pt->format->descriptor;

	for (; tables; tables = next_table(pt, tables)) {
		unsigned int level = tables[0] & d->large ? 1 : 0;
		uint64_t bits = entries_or(tables, PGT_ENTRIES) & (d->accessed | d->dirty);
		uint64_t span = level_size(level + 1), at = align_up(iova, span);

		for (; bits && at < iova + size; at += span)
			settle_at(pt, at, tables[0] & PGT_ADDR_MASK, bits);
	}
}

void pgt_free_tables(struct pgtable *pt, uint64_t *tables)
{
	while (tables) {
		uint64_t *next = next_table(pt, tables);

		/*
		 * A table that gave way to a leaf still points to those below it. Others may
		 * be looking for empty tables here.
		 */
		if (entries_or(tables, PGT_ENTRIES))
			for (size_t i = 0; i < PGT_ENTRIES; i++)
				entry_store(&tables[i], 0);
		pt->memory->put(pt->memory, tables);
		tables = next;
	}
}

/* Unhook the level 0 table of @iova if it is @table and has nothing in it. */
static bool unhook_empty(struct pgtable *pt, uint64_t iova, const uint64_t *table)
{
	const struct pgt_descriptor *d = pt->format->descriptor;
	struct place at;
	uint64_t value;

	descend(pt, d, iova, 1, false, &at);
	value = entry_load(at.entry);
	if (at.level != 1 || !is_present(d, value) || is_leaf(d, value, 1) ||
	    entry_table(value) != table || entries_or(table, PGT_ENTRIES))
		return false;
	entry_store(at.entry, 0);
	counter_add_shared(&pt->table_writes, 1);
	pgt_tables_unhooked(pt);
	return true;
}

void pgt_drop_table(struct pgtable *pt, uint64_t iova, uint64_t *table, struct pgt_removed *removed)
{
	iova = align_down(iova, PGT_TABLE_SPAN);
	if (likely(counter_read(&pt->tables) <= PGT_KEEP_TABLES))
		return;
	if (!unhook_empty(pt, iova, table))
		return;
	pgt_list_table(pt, table, &removed->free_tables);
	removed->nr_free_tables++;
	/* Walkers may be inside for any address that the table spans. */
	if (removed->first > removed->last || removed->first > iova)
		removed->first = iova;
	removed->last = iova + PGT_TABLE_SPAN - 1;
}

/* Free one empty table, if its addresses can be had. */
static bool reclaim_one(struct pgtable *pt, uint64_t iova, const struct pgt_reclaim_ops *ops,
			void *arg, void *backend)
{
	const struct pgt_descriptor *d = pt->format->descriptor;
	uint64_t *list = NULL;
	struct place at;
	bool freed = false;

	if (!ops->take(arg, iova, PGT_TABLE_SPAN))
		return false;
	/* Only now is nobody else able to store there or to unhook it. */
	descend(pt, d, iova, 0, false, &at);
	if (at.level == 0 && unhook_empty(pt, iova, at.table)) {
		pgt_list_table(pt, at.table, &list);
		ops->invalidate(backend, iova, iova + PGT_TABLE_SPAN - 1);
		pgt_free_tables(pt, list);
		freed = true;
	}
	ops->give(arg, iova, PGT_TABLE_SPAN);
	return freed;
}

struct reclaim {
	const struct pgt_reclaim_ops *ops;
	void *arg;
	void *backend;
};

static size_t reclaim_below(struct pgtable *pt, uint64_t *table, unsigned int level, uint64_t base,
			    const struct reclaim *r)
{
	const struct pgt_descriptor *d = pt->format->descriptor;
	size_t freed = 0;

	for (size_t i = 0; i < PGT_ENTRIES; i++) {
		uint64_t value = entry_load(&table[i]);
		uint64_t iova = base + i * level_size(level);

		if (!is_present(d, value) || is_leaf(d, value, level))
			continue;
		/* Tables above level 1 are few, and stay. A stale value only costs a try. */
		if ((uintptr_t)entry_table(value) - pt->memory->base >= pt->memory->size)
			continue;
		if (level > 1)
			freed += reclaim_below(pt, entry_table(value), level - 1, iova, r);
		else if (!entries_or(entry_table(value), PGT_ENTRIES))
			freed += reclaim_one(pt, iova, r->ops, r->arg, r->backend);
	}
	return freed;
}

size_t pgt_reclaim(struct pgtable *pt, const struct pgt_reclaim_ops *ops, void *arg, void *backend)
{
	const struct reclaim r = {ops, arg, backend};

	return reclaim_below(pt, pt->root, pt->format->descriptor->levels - 1, 0, &r);
}
