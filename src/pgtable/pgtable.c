/* SPDX-License-Identifier: MIT */
/* The room's doors: formats by name, and the calls that a format need not specialise. */
#include "pgtable/pgtable.h"

#include "pgtable/engine.h"

const struct pgt_format *const pgt_formats[] = {&pgt_vtd_ss, &pgt_x86_64};
const size_t pgt_nr_formats = ARRAY_SIZE(pgt_formats);

const char *pgt_format_name(const struct pgt_format *format)
{
	return format->descriptor->name;
}

unsigned int pgt_format_levels(const struct pgt_format *format)
{
	return format->descriptor->levels;
}

uint64_t pgt_format_last(const struct pgt_format *format)
{
	return (1ULL << format->descriptor->va_bits) - 1;
}

uint64_t pgt_format_phys_end(const struct pgt_format *format)
{
	return 1ULL << format->descriptor->oa_bits;
}

uint64_t pgt_format_leaf_bits(const struct pgt_format *format, enum dma_data_direction dir)
{
	return format->descriptor->leaf_bits[dir];
}

int pgt_init(struct pgtable *pt, const struct pgt_format *format, struct pgt_memory *memory,
	     uint64_t *gen_watch)
{
	*pt = (struct pgtable){.format = format, .memory = memory, .gen_watch = gen_watch};
	pt->root = memory->get(memory);
	if (!pt->root)
		return -ENOMEM;
	pt->tables = 1;
	/* A zeroed cursor, which would fit the addresses of the first table, is of another. */
	*gen_watch += PGT_GEN_STEP;
	return 0;
}

int pgt_link(struct pgtable *pt, struct pgt_cursor *cursor, uint64_t iova,
	     const struct phys_vec *vec, size_t nr_vecs, enum dma_data_direction dir,
	     unsigned long attrs, struct pgt_linked *linked)
{
	const uint64_t phys_end = pgt_format_phys_end(pt->format);
	uint64_t bits = pt->format->descriptor->leaf_bits[dir];
	bool pages = attrs & PGT_ATTR_PAGES;

	*linked = (struct pgt_linked){0};
	if (!bits)
		return -EOPNOTSUPP;
	for (size_t i = 0; !pages && i < nr_vecs; i++)
		if (vec[i].paddr >= phys_end || vec[i].len > phys_end - vec[i].paddr)
			return -ERANGE;
	return pt->format->link(pt, cursor, iova, vec, nr_vecs, bits, attrs, linked);
}

void pgt_unlink(struct pgtable *pt, struct pgt_cursor *cursor, uint64_t iova, uint64_t size,
		uint64_t mark, struct pgt_removed *removed)
{
	*removed = (struct pgt_removed){.first = 1, .last = 0};
	pt->format->unlink(pt, cursor, iova, size, mark, removed);
}

enum pgt_walk_result pgt_walk(const struct pgtable *pt, uint64_t iova, struct pgt_leaf *leaf)
{
	return pt->format->walk(pt, iova, leaf);
}

bool pgt_lookup(struct pgtable *pt, uint64_t iova, struct pgt_leaf *leaf)
{
	return pgt_walk(pt, iova, leaf) == PGT_WALK_OK;
}

bool pgt_mark_access(const struct pgtable *pt, struct pgt_leaf *leaf, bool write)
{
	const struct pgt_descriptor *d = pt->format->descriptor;
	uint64_t bits = d->accessed | (write ? d->dirty : 0);
	uint64_t found = leaf->value;

	while ((found & bits) != bits) {
		if (__atomic_compare_exchange_n(leaf->entry, &found, found | bits, false,
						__ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
			found |= bits;
			break;
		}
		/* Another walker's accessed or dirty bit is fine; anything else is not. */
		if ((found ^ leaf->value) & ~(d->accessed | d->dirty))
			return false;
	}
	leaf->value = found;
	leaf->dirty = (found & d->dirty) == d->dirty;
	return true;
}

/* The end of what the entry at @at spans, from @iova on; 0 if that is all there is. */
static uint64_t entry_end(const struct place *at, uint64_t iova)
{
	return align_down(iova, level_size(at->level)) + level_size(at->level);
}

unsigned int pgt_linked(struct pgtable *pt, struct pgt_cursor *cursor, uint64_t iova, uint64_t size)
{
	const struct pgt_descriptor *d = pt->format->descriptor;
	uint64_t last = iova + size - 1;
	unsigned int found = 0;

	while (iova <= last) {
		struct place at;
		uint64_t *table = leaf_table(pt, d, cursor, iova, &at);
		uint64_t step = step_size(0, iova, last - iova + 1);
		uint64_t value;

		if (table) {
			value = entries_or(&table[level_index(iova, 0)], step >> PGT_PAGE_SHIFT);
			iova += step;
		} else {
			value = entry_load(at.entry);
			iova = entry_end(&at, iova);
		}
		if (is_present(d, value))
			found |= PGT_LINKED_LEAF;
		if (value & d->mark)
			found |= PGT_LINKED_MARK;
		if (!iova)
			break;
	}
	return found;
}

/* Take a mark away. Somebody may have linked here meanwhile: nothing else goes. */
static void unmark_entry(const struct pgt_descriptor *d, uint64_t *entry, uint64_t mark)
{
	uint64_t value = entry_load(entry);

	if (is_present(d, value) || !(value & d->mark) || (mark && value != mark_value(d, mark)))
		return;
	__atomic_compare_exchange_n(entry, &value, 0, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

/*
 * The lowest entry that there is for @iova. The addresses may have a new owner, who
 * may unhook tables meanwhile: only what lies in the table memory is followed, and a
 * page that holds something else by now holds no mark of ours.
 */
static uint64_t *lowest_entry(const struct pgtable *pt, uint64_t iova, unsigned int *level)
{
	const struct pgt_descriptor *d = pt->format->descriptor;
	uint64_t *table = pt->root;

	for (*level = d->levels - 1;; (*level)--) {
		uint64_t *entry = &table[level_index(iova, *level)];
		uint64_t value = entry_load(entry);

		if (!is_present(d, value) || is_leaf(d, value, *level))
			return entry;
		table = entry_table(value);
		if ((uintptr_t)table - pt->memory->base >= pt->memory->size)
			return entry;
	}
}

void pgt_unmark(struct pgtable *pt, uint64_t iova, uint64_t size, uint64_t mark)
{
	const struct pgt_descriptor *d = pt->format->descriptor;
	uint64_t last = iova + size - 1;

	while (iova <= last) {
		unsigned int level;
		uint64_t *entry = lowest_entry(pt, iova, &level);
		uint64_t end = align_down(iova, level ? level_size(level) : PGT_TABLE_SPAN) +
			       (level ? level_size(level) : PGT_TABLE_SPAN);

		if (level) {
			unmark_entry(d, entry, mark);
			iova = end;
		}
		for (; !level && iova < end && iova <= last; iova += PGT_PAGE_SIZE)
			unmark_entry(d, entry++, mark);
		if (!iova)
			return;
	}
}

/*
 * Others may unhook tables meanwhile, and a page may hold something else by the time
 * it is read: only what lies in the table memory is followed.
 */
static bool maps_phys_below(const struct pgtable *pt, const uint64_t *table, unsigned int level,
			    uint64_t base, uint64_t last)
{
	const struct pgt_descriptor *d = pt->format->descriptor;

	if ((uintptr_t)table - pt->memory->base >= pt->memory->size)
		return false;
	for (size_t i = 0; i < PGT_ENTRIES; i++) {
		uint64_t value = entry_load(&table[i]);
		uint64_t phys = value & PGT_ADDR_MASK & ~(level_size(level) - 1);

		if (!is_present(d, value))
			continue;
		if (!is_leaf(d, value, level)) {
			if (maps_phys_below(pt, entry_table(value), level - 1, base, last))
				return true;
		} else if (phys <= last && phys + level_size(level) - 1 >= base) {
			return true;
		}
	}
	return false;
}

bool pgt_maps_phys(struct pgtable *pt, uint64_t base, uint64_t last)
{
	return maps_phys_below(pt, pt->root, pt->format->descriptor->levels - 1, base, last);
}

bool pgt_next_leaf(const struct pgtable *pt, uint64_t *iova, uint64_t last, struct pgt_leaf *leaf)
{
	const struct pgt_descriptor *d = pt->format->descriptor;
	uint64_t at = *iova;

	while (at <= last) {
		unsigned int level;
		uint64_t *entry = lowest_entry(pt, at, &level);
		uint64_t value = entry_load(entry);

		at = align_down(at, level_size(level));
		if (is_present(d, value) && is_leaf(d, value, level)) {
			*iova = at;
			*leaf = (struct pgt_leaf){
				.entry = entry,
				.value = value,
				.phys = value & PGT_ADDR_MASK & ~(level_size(level) - 1),
				.shift = level_shift(level),
				.access = ((value & d->readable) == d->readable ? PGT_READ : 0) |
					  ((value & d->writable) == d->writable ? PGT_WRITE : 0),
			};
			return true;
		}
		at += level_size(level);
		if (!at)
			break;
	}
	return false;
}

/* The entry behind @entry, if it is of the same level 0 table; else the lowest there is. */
static uint64_t *next_entry(const struct pgtable *pt, uint64_t *entry, uint64_t iova,
			    unsigned int *level)
{
	if (likely(!*level && iova & (PGT_TABLE_SPAN - 1)))
		return entry + 1;
	return lowest_entry(pt, iova, level);
}

uint64_t pgt_run(const struct pgtable *pt, uint64_t iova, uint64_t last, uint64_t bits)
{
	const struct pgt_descriptor *d = pt->format->descriptor;
	const uint64_t ignored = -1ULL << PGT_SOFTWARE_SHIFT | d->large | d->accessed | d->dirty;
	unsigned int level;
	uint64_t *entry = lowest_entry(pt, iova, &level);
	uint64_t wanted = entry_load(entry) & ~ignored, size = level_size(level);

	for (uint64_t at = iova + size; at <= last && at > iova; at = iova + size) {
		uint64_t value;

		entry = next_entry(pt, entry, at, &level);
		/* The rest of a table, without looking at anything but its entries. */
		while (!level) {
			value = entry_load(entry);
			if (((value ^ (wanted + size)) & ~ignored) | (~value & bits))
				return size;
			size += PGT_PAGE_SIZE;
			at += PGT_PAGE_SIZE;
			if (at > last || !(at & (PGT_TABLE_SPAN - 1)))
				break;
			entry++;
		}
		if (!level)
			continue;
		value = entry_load(entry);
		if (((value ^ (wanted + size)) & ~ignored) | (~value & bits) ||
		    !is_leaf(d, value, level))
			break;
		size += level_size(level);
	}
	return size;
}

void pgt_add_bits(struct pgtable *pt, uint64_t iova, uint64_t size, uint64_t bits)
{
	const struct pgt_descriptor *d = pt->format->descriptor;
	uint64_t last = iova + size - 1;
	unsigned int level;
	uint64_t *entry = lowest_entry(pt, iova, &level);

	for (;;) {
		uint64_t value = entry_load(entry);

		if (is_present(d, value) && is_leaf(d, value, level))
			__atomic_store_n(entry, value | bits, __ATOMIC_RELAXED);
		iova = align_down(iova, level_size(level)) + level_size(level);
		if (!iova || iova > last)
			return;
		entry = next_entry(pt, entry, iova, &level);
	}
}

/*
 * The leaf that could stand for a whole table of leaves of @level, or 0: they
 * follow each other in memory, have the same rights, and no device has used them
 * yet. Bits that a device sets later go with pgt_settle_merge().
 */
static uint64_t merged_leaf(const struct pgt_descriptor *d, const uint64_t *table,
			    unsigned int level)
{
	uint64_t first = entry_load(&table[0]);

	if (!is_present(d, first) || !is_leaf(d, first, level) || !may_be_leaf(d, level + 1) ||
	    first & (d->accessed | d->dirty) || first & PGT_ADDR_MASK & (level_size(level + 1) - 1))
		return 0;
	for (size_t i = 1; i < PGT_ENTRIES; i++)
		if (entry_load(&table[i]) != first + i * level_size(level))
			return 0;
	return first | d->large;
}

/* Merge the tables of @level that lie entirely in the range. */
static void merge_level(struct pgtable *pt, unsigned int level, uint64_t iova, uint64_t last,
			struct pgt_linked *merged)
{
	const struct pgt_descriptor *d = pt->format->descriptor;
	uint64_t span = level_size(level + 1);

	for (iova = align_up(iova, span); iova <= last && last - iova >= span - 1; iova += span) {
		struct place at;
		uint64_t *entry, leaf;

		descend(pt, d, iova, level, false, &at);
		if (at.level != level)
			continue;
		leaf = merged_leaf(d, at.table, level);
		if (!leaf)
			continue;
		entry = store_place(pt, d, iova, level + 1, NULL);
		entry_store(entry, leaf);
		merged->entries++;
		pgt_list_table(pt, at.table, &merged->free_tables);
		merged->nr_free_tables++;
		pgt_tables_unhooked(pt);
	}
}

void pgt_merge(struct pgtable *pt, uint64_t iova, uint64_t size, struct pgt_linked *merged)
{
	*merged = (struct pgt_linked){0};
	merge_level(pt, 0, iova, iova + size - 1, merged);
	merge_level(pt, 1, iova, iova + size - 1, merged);
	counter_add_shared(&pt->table_writes, merged->entries);
}
