/* SPDX-License-Identifier: MIT */
/*
 * The page-table engine: everything that depends on a format, written once. Every
 * function takes the format's constant descriptor and is inlined into the
 * instance that the format's file makes, so that its fields become immediates.
 *
 * A link works in two passes over the same pieces. The first looks at every place
 * that the second will store to and gets every table that it will need; only it
 * can fail. So a link that fails has stored no leaf at all.
 */
#ifndef PGTABLE_ENGINE_H
#define PGTABLE_ENGINE_H

#include "pgtable/entries.h"
#include "pgtable/format.h"
#include "pgtable/table.h"

#define ENGINE static __always_inline

ENGINE unsigned int level_shift(unsigned int level)
{
	return PGT_PAGE_SHIFT + 9 * level;
}

ENGINE uint64_t level_size(unsigned int level)
{
	return 1ULL << level_shift(level);
}

ENGINE size_t level_index(uint64_t iova, unsigned int level)
{
	return (iova >> level_shift(level)) & (PGT_ENTRIES - 1);
}

ENGINE bool is_present(const struct pgt_descriptor *d, uint64_t entry)
{
	return entry & d->present;
}

ENGINE bool is_leaf(const struct pgt_descriptor *d, uint64_t entry, unsigned int level)
{
	return level == 0 || (entry & d->large);
}

ENGINE bool may_be_leaf(const struct pgt_descriptor *d, unsigned int level)
{
	return d->large_levels >> level & 1;
}

ENGINE uint64_t *entry_table(uint64_t entry)
{
	return (uint64_t *)(uintptr_t)(entry & PGT_ADDR_MASK);
}

/* The entry that marker @mark leaves. */
ENGINE uint64_t mark_value(const struct pgt_descriptor *d, uint64_t mark)
{
	return d->mark | mark << PGT_PAGE_SHIFT;
}

/* Where a descent ended: at a table of the wanted level, or at an entry above it. */
struct place {
	uint64_t *table; /* of level @level */
	uint64_t *entry; /* in that table, for the address */
	unsigned int level;
};

/*
 * Walk from the root to the table of @target that translates @iova; stop above it
 * at an entry that is not a table. With @create, missing tables are hooked in.
 * Returns 0, or -ENOMEM.
 */
ENGINE int descend(struct pgtable *pt, const struct pgt_descriptor *d, uint64_t iova,
		   unsigned int target, bool create, struct place *at)
{
	uint64_t *table = pt->root;
	unsigned int level = d->levels - 1;

	for (;; level--) {
		uint64_t *entry = &table[level_index(iova, level)];
		uint64_t value = entry_load(entry);

		*at = (struct place){table, entry, level};
		if (level == target)
			return 0;
		if (!is_present(d, value)) {
			if (!create || value)
				return 0;
			value = pgt_hook_table(pt, entry, d->table);
			if (!value)
				return -ENOMEM;
			/* Somebody else's leaf can only appear in addresses that are theirs. */
		}
		if (is_leaf(d, value, level))
			return 0;
		table = entry_table(value);
	}
}

/* The level 0 table of @iova by the cursor or by a walk; NULL if the walk ends above. */
ENGINE uint64_t *leaf_table(struct pgtable *pt, const struct pgt_descriptor *d,
			    struct pgt_cursor *cursor, uint64_t iova, struct place *at)
{
	uint64_t gen = pgt_generation(pt);

	*at = (struct place){0};
	if (cursor && iova - cursor->base < PGT_TABLE_SPAN && cursor->gen == gen)
		return cursor->table;
	descend(pt, d, iova, 0, false, at);
	if (at->level)
		return NULL;
	pgt_set_cursor(cursor, iova, at->table, gen);
	return at->table;
}

/* Where a table may give way to a leaf: 0 if nothing in it is used. */
static inline int table_is_free(const struct pgt_descriptor *d, const uint64_t *table,
				unsigned int level)
{
	int stale = 0;

	if (level == 0) {
		uint64_t all = entries_or(table, PGT_ENTRIES);

		if (!all)
			return 0;
		return is_present(d, all) ? -EADDRINUSE : -ESTALE;
	}
	for (size_t i = 0; i < PGT_ENTRIES; i++) {
		uint64_t value = entry_load(&table[i]);
		int err;

		if (!value)
			continue;
		if (!is_present(d, value)) {
			stale = -ESTALE;
			continue;
		}
		if (is_leaf(d, value, level))
			return -EADDRINUSE;
		err = table_is_free(d, entry_table(value), level - 1);
		if (err == -EADDRINUSE)
			return err;
		if (err)
			stale = err;
	}
	return stale;
}

/* Put a table that was just unhooked, and those below it, on a list. */
static inline void unhook_tree(struct pgtable *pt, const struct pgt_descriptor *d, uint64_t *table,
			       unsigned int level, uint64_t **list, uint32_t *nr)
{
	for (size_t i = 0; level && i < PGT_ENTRIES; i++) {
		uint64_t value = entry_load(&table[i]);

		if (is_present(d, value) && !is_leaf(d, value, level))
			unhook_tree(pt, d, entry_table(value), level - 1, list, nr);
	}
	pgt_list_table(pt, table, list);
	(*nr)++;
}

/* The highest level whose leaf fits at @iova for @len bytes at @paddr. */
ENGINE unsigned int best_level(const struct pgt_descriptor *d, uint64_t iova, uint64_t paddr,
			       uint64_t len)
{
	if (may_be_leaf(d, 2) && !((iova | paddr) & (level_size(2) - 1)) && len >= level_size(2))
		return 2;
	if (may_be_leaf(d, 1) && !((iova | paddr) & (level_size(1) - 1)) && len >= level_size(1))
		return 1;
	return 0;
}

/* Bytes that one step covers: a large leaf, or pages to the end of the table. */
ENGINE uint64_t step_size(unsigned int level, uint64_t iova, uint64_t len)
{
	uint64_t room = PGT_TABLE_SPAN - (iova & (PGT_TABLE_SPAN - 1));

	if (level)
		return level_size(level);
	return len < room ? len : room;
}

/* First pass over one step: is the place free, and is its table there? */
ENGINE int check_step(struct pgtable *pt, const struct pgt_descriptor *d, uint64_t iova,
		      unsigned int level, uint64_t size, struct pgt_cursor *cursor)
{
	uint64_t gen = pgt_generation(pt);
	struct place at;
	uint64_t value;
	int err;

	if (!level && cursor && iova - cursor->base < PGT_TABLE_SPAN && cursor->gen == gen) {
		at.table = cursor->table;
		at.entry = &at.table[level_index(iova, 0)];
	} else {
		err = descend(pt, d, iova, level, true, &at);
		if (err)
			return err;
		if (at.level != level)
			return is_present(d, entry_load(at.entry)) ? -EADDRINUSE : -ESTALE;
		if (!level)
			pgt_set_cursor(cursor, iova, at.table, gen);
	}
	value = level ? entry_load(at.entry) : entries_or(at.entry, size >> PGT_PAGE_SHIFT);
	if (likely(!value))
		return 0;
	if (!is_present(d, value))
		return -ESTALE;
	if (!level || is_leaf(d, value, level))
		return -EADDRINUSE;
	return table_is_free(d, entry_table(value), level - 1);
}

/* Second pass: the table is there and the place is free. */
ENGINE uint64_t *store_place(struct pgtable *pt, const struct pgt_descriptor *d, uint64_t iova,
			     unsigned int level, struct pgt_cursor *cursor)
{
	uint64_t *table;
	struct place at;

	if (!level) {
		table = leaf_table(pt, d, cursor, iova, &at);
		return &table[level_index(iova, 0)];
	}
	descend(pt, d, iova, level, false, &at);
	return at.entry;
}

ENGINE void store_large(struct pgtable *pt, const struct pgt_descriptor *d, uint64_t iova,
			unsigned int level, uint64_t value, struct pgt_linked *linked)
{
	uint64_t *entry = store_place(pt, d, iova, level, NULL);
	uint64_t old = entry_load(entry);

	entry_store(entry, value | d->large);
	linked->entries++;
	if (old) {
		unhook_tree(pt, d, entry_table(old), level - 1, &linked->free_tables,
			    &linked->nr_free_tables);
		pgt_tables_unhooked(pt);
	}
}

/*
 * A run: pieces that follow each other in memory, one unit, in whole granules. Only
 * the first piece of all may begin inside one and only the last may end there.
 */
ENGINE size_t next_run(const struct phys_vec *vec, size_t nr_vecs, bool apart, uint64_t *paddr,
		       uint64_t *len)
{
	uint64_t end = vec[0].paddr + vec[0].len;
	size_t n = 1;

	while (n < nr_vecs && vec[n].paddr == end && !apart)
		end += vec[n++].len;
	*paddr = align_down(vec[0].paddr, PGT_PAGE_SIZE);
	*len = align_up(end, PGT_PAGE_SIZE) - *paddr;
	return n;
}

ENGINE int link_runs(struct pgtable *pt, const struct pgt_descriptor *d, struct pgt_cursor *cursor,
		     uint64_t iova, const struct phys_vec *vec, size_t nr_vecs, uint64_t bits,
		     bool apart, bool store, struct pgt_linked *linked)
{
	while (nr_vecs) {
		uint64_t paddr, len;
		size_t n = next_run(vec, nr_vecs, apart, &paddr, &len);

		vec += n;
		nr_vecs -= n;
		while (len) {
			unsigned int level = best_level(d, iova, paddr, len);
			uint64_t size = step_size(level, iova, len);

			if (!store) {
				int err = check_step(pt, d, iova, level, size, cursor);

				if (err)
					return err;
			} else if (level) {
				store_large(pt, d, iova, level, paddr | bits, linked);
			} else {
				entries_store_run(store_place(pt, d, iova, 0, cursor), paddr | bits,
						  size >> PGT_PAGE_SHIFT);
				linked->entries += size >> PGT_PAGE_SHIFT;
			}
			iova += size;
			paddr += size;
			len -= size;
		}
	}
	return 0;
}

/* The same for pieces of one page each, none of which can be part of a large leaf. */
ENGINE int link_pages(struct pgtable *pt, const struct pgt_descriptor *d, struct pgt_cursor *cursor,
		      uint64_t iova, const struct phys_vec *vec, size_t nr_vecs, uint64_t bits,
		      bool store, struct pgt_linked *linked)
{
	while (nr_vecs) {
		uint64_t size = step_size(0, iova, (uint64_t)nr_vecs << PGT_PAGE_SHIFT);
		size_t n = size >> PGT_PAGE_SHIFT;

		if (!store) {
			int err = check_step(pt, d, iova, 0, size, cursor);

			if (err)
				return err;
		} else {
			entries_store_vec(store_place(pt, d, iova, 0, cursor), vec, n, bits);
			linked->entries += n;
		}
		iova += size;
		vec += n;
		nr_vecs -= n;
	}
	return 0;
}

/* Whether pieces of one page each could make up a 2 MiB leaf somewhere. */
ENGINE bool pages_may_merge(uint64_t iova, const struct phys_vec *vec, size_t nr_vecs)
{
	size_t i = (size_t)(-(iova >> PGT_PAGE_SHIFT) & (PGT_ENTRIES - 1));

	for (; i + PGT_ENTRIES <= nr_vecs; i += PGT_ENTRIES)
		if (!(vec[i].paddr & (PGT_TABLE_SPAN - 1)) &&
		    vec[i + PGT_ENTRIES - 1].paddr == vec[i].paddr + PGT_TABLE_SPAN - PGT_PAGE_SIZE)
			return true;
	return false;
}

#ifdef SABOTAGE_ROLLBACK_VISIBLE
/* The naive way, for the test that must catch it: store at once, roll back later. */
ENGINE int link_naively(struct pgtable *pt, const struct pgt_descriptor *d, uint64_t iova,
			const struct phys_vec *vec, size_t nr_vecs, uint64_t bits,
			struct pgt_linked *linked)
{
	for (size_t i = 0; i < nr_vecs; i++) {
		int err = link_pages(pt, d, NULL, iova + i * PGT_PAGE_SIZE, &vec[i], 1, bits, false,
				     linked);

		if (err) {
			while (i--)
				entry_store(store_place(pt, d, iova + i * PGT_PAGE_SIZE, 0, NULL),
					    0);
			return err;
		}
		link_pages(pt, d, NULL, iova + i * PGT_PAGE_SIZE, &vec[i], 1, bits, true, linked);
	}
	return 0;
}
#endif

ENGINE int engine_link(struct pgtable *pt, const struct pgt_descriptor *d,
		       struct pgt_cursor *cursor, uint64_t iova, const struct phys_vec *vec,
		       size_t nr_vecs, uint64_t bits, unsigned long attrs,
		       struct pgt_linked *linked)
{
	bool pages = attrs & PGT_ATTR_PAGES, apart = attrs & PGT_ATTR_APART;
	int err;

#ifdef SABOTAGE_ROLLBACK_VISIBLE
	if (pages)
		return link_naively(pt, d, iova, vec, nr_vecs, bits, linked);
#endif
	if (pages && !pages_may_merge(iova, vec, nr_vecs)) {
		err = link_pages(pt, d, cursor, iova, vec, nr_vecs, bits, false, linked);
		if (!err)
			link_pages(pt, d, cursor, iova, vec, nr_vecs, bits, true, linked);
		return err;
	}
	err = link_runs(pt, d, cursor, iova, vec, nr_vecs, bits, apart, false, linked);
	if (!err)
		link_runs(pt, d, cursor, iova, vec, nr_vecs, bits, apart, true, linked);
	return err;
}

/* Clear @n entries that start at @iova, leaving marks if asked. */
ENGINE void clear_run(const struct pgt_descriptor *d, uint64_t *entry, uint64_t iova, size_t n,
		      uint64_t mark, struct pgt_removed *removed)
{
	size_t i = 0, cleared = 0, last = 0, first = n;

	while (i < n) {
		size_t done = mark ? entries_mark_present(&entry[i], n - i, d->present,
							  mark_value(d, mark))
				   : entries_clear_present(&entry[i], n - i, d->present);

		if (done) {
			if (first == n)
				first = i;
			last = i + done - 1;
		}
		cleared += done;
		i += done;
		if (i < n) {
			removed->hole = true;
			i++;
		}
	}
	if (!cleared)
		return;
	pgt_note_removed(removed, iova + first * PGT_PAGE_SIZE,
			 iova + last * PGT_PAGE_SIZE + PGT_PAGE_SIZE - 1, cleared * PGT_PAGE_SIZE,
			 cleared);
}

/* A large leaf that the range touches goes whole. Returns where the unlink goes on. */
ENGINE uint64_t clear_large(const struct pgt_descriptor *d, const struct place *at, uint64_t iova,
			    uint64_t last, uint64_t mark, struct pgt_removed *removed)
{
	uint64_t size = level_size(at->level);
	uint64_t start = align_down(iova, size);

	if (start < iova || start + size - 1 > last)
		removed->cut = true;
	entry_store(at->entry, mark ? mark_value(d, mark) : 0);
	pgt_note_removed(removed, start, start + size - 1, size, 1);
	return start + size;
}

ENGINE void engine_unlink(struct pgtable *pt, const struct pgt_descriptor *d,
			  struct pgt_cursor *cursor, uint64_t iova, uint64_t size, uint64_t mark,
			  struct pgt_removed *removed)
{
	uint64_t last = iova + size - 1;

	while (iova <= last) {
		struct place at;
		uint64_t *table = leaf_table(pt, d, cursor, iova, &at);
		uint64_t step, value;

		if (likely(table)) {
			step = step_size(0, iova, last - iova + 1);
			clear_run(d, &table[level_index(iova, 0)], iova, step >> PGT_PAGE_SHIFT,
				  mark, removed);
			if (step == PGT_TABLE_SPAN && !mark)
				pgt_drop_table(pt, iova, table, removed);
			iova += step;
			continue;
		}
		value = entry_load(at.entry);
		if (is_present(d, value)) {
			iova = clear_large(d, &at, iova, last, mark, removed);
		} else {
			removed->hole = true;
			iova = align_down(iova, level_size(at.level)) + level_size(at.level);
		}
		if (!iova)
			return;
	}
}

ENGINE enum pgt_walk_result engine_walk(const struct pgtable *pt, const struct pgt_descriptor *d,
					uint64_t iova, struct pgt_leaf *leaf)
{
	const uint64_t *table = pt->root;

	if (unlikely(iova >> d->va_bits))
		return PGT_WALK_ADDRESS;
	for (unsigned int level = d->levels - 1;; level--) {
		const uint64_t *entry = &table[level_index(iova, level)];
		uint64_t value = entry_load(entry);

		if (!is_present(d, value))
			return PGT_WALK_NOT_PRESENT;
		if (is_leaf(d, value, level)) {
			if (level && !may_be_leaf(d, level))
				return PGT_WALK_TABLE;
			leaf->entry = (uint64_t *)entry;
			leaf->value = value;
			leaf->shift = level_shift(level);
			leaf->phys = value & PGT_ADDR_MASK & ~(level_size(level) - 1);
			leaf->access = ((value & d->readable) == d->readable ? PGT_READ : 0) |
				       ((value & d->writable) == d->writable ? PGT_WRITE : 0);
			leaf->dirty = (value & d->dirty) == d->dirty;
			return PGT_WALK_OK;
		}
		table = entry_table(value);
		if (unlikely((uintptr_t)table - pt->memory->base >= pt->memory->size))
			return PGT_WALK_TABLE;
	}
}

#endif
