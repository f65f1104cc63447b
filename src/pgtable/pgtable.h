/* SPDX-License-Identifier: MIT */
/*
 * pgtable: I/O page tables in hardware formats. It knows nothing of who allocates
 * the IOVA or where table memory comes from.
 *
 * One engine (engine.h), written once and specialised for each format by passing
 * a constant descriptor to always-inline functions; one file a format
 * (vtd_ss.c, x86_64.c), which reads like the table in the vendor's manual.
 *
 * Vocabulary: an *entry* is 8 bytes of a *table* of 512; level 0 tables hold 4 KiB
 * leaves only, level 1 entries span 2 MiB, level 2 entries 1 GiB. A *leaf*
 * translates, a *table entry* points to the next table. A *mark* is a non-zero,
 * non-present entry: memory was unlinked there in a gather that is still open. It
 * says which, so that a gather that ends late takes no other's marks away.
 *
 * Who may touch what
 *  - Whoever owns an IOVA range (it is reserved for them) alone writes the leaves
 *    of the range. Tables above are shared: they are installed by compare and
 *    exchange, and an entry that points to a table is replaced only by an owner
 *    of everything the entry spans.
 *  - A table page is freed only by such an owner, who first unhooks it, then has
 *    the backend invalidate and drain (walkers may be inside), then frees it.
 *  - Walkers of the device side read with acquire and write only accessed and
 *    dirty bits, by compare and exchange on a leaf they just read, so that they
 *    never bring back an entry that was removed.
 *  - Leaves are stored with release.
 *
 * The cursor remembers the level 0 table of the last link, so that the next one
 * costs no walk. It belongs to one thread. Every freed table advances the
 * generation; a cursor of another generation is worth nothing. The order that
 * makes this safe: a table is unhooked and the generation advanced before the IOVA
 * it translates is given back, and whoever gets that IOVA next has synchronised
 * with the giver through the IOVA allocator.
 */
#ifndef PGTABLE_PGTABLE_H
#define PGTABLE_PGTABLE_H

#include <twostep/types.h>

#include "base/base.h"

#define PGT_ENTRIES 512
#define PGT_PAGE_SHIFT 12
#define PGT_PAGE_SIZE 4096ULL
#define PGT_TABLE_SPAN (1ULL << 21) /* what a level 0 table translates */
#define PGT_LARGEST_LEAF (1ULL << 30) /* no format has larger ones */

/* Rights, in the order of enum dma_data_direction. */
enum pgt_access { PGT_READ = 1, PGT_WRITE = 2 };

struct pgt_cursor {
	uint64_t base; /* first IOVA of the table */
	uint64_t *table; /* level 0 */
	uint64_t gen; /* of the word below, when the table was found */
};

/*
 * The generation in bits 63:8 and, in bits 7:0, reasons why every call must take
 * the long way (observers; the space belongs to another process). One word, so
 * that the fast path compares once: a cursor is made only with bits 7:0 zero.
 */
#define PGT_GEN_STEP 256ULL
#define PGT_GEN_WATCH 255ULL
/*
 * Of these the one that says that an observer looks on. It keeps calls off the
 * shortest way, and cursors go on being of use: they are made as if it were not there.
 */
#define PGT_GEN_OBSERVED 128ULL

/* Who left a mark: 1..PGT_MARK_MAX; 0 for none where marks are left, for all where they go. */
#define PGT_MARK_MAX ((1ULL << 40) - 1)

/* What pgt_linked() finds in a range. */
#define PGT_LINKED_LEAF 1U
#define PGT_LINKED_MARK 2U

/*
 * An attribute beside the public ones, cut out of what users pass: the caller has
 * looked, every piece of the vector is exactly 4 KiB, aligned, and within the
 * format's addresses.
 */
#define PGT_ATTR_PAGES (1UL << 63)
/* Another one: pieces that happen to follow each other in memory are no unit. */
#define PGT_ATTR_APART (1UL << 62)
#define PGT_ATTR_PRIVATE (PGT_ATTR_PAGES | PGT_ATTR_APART)

/* Level 0 tables that became empty stay hooked in while there are at most so many tables. */
#define PGT_KEEP_TABLES 1024

/*
 * The fast half of a link: store one leaf where the cursor is. False: the cursor is
 * elsewhere or the place is taken; take the long way.
 */
static __always_inline bool pgt_cursor_link(const struct pgt_cursor *cursor, uint64_t gen_watch,
					    uint64_t iova, uint64_t leaf)
{
	uint64_t *entry;

	if (unlikely(iova - cursor->base >= PGT_TABLE_SPAN || cursor->gen != gen_watch))
		return false;
	entry = &cursor->table[(iova >> PGT_PAGE_SHIFT) & (PGT_ENTRIES - 1)];
	if (unlikely(__atomic_load_n(entry, __ATOMIC_RELAXED)))
		return false;
	__atomic_store_n(entry, leaf, __ATOMIC_RELEASE);
	return true;
}

/* The fast half of an unlink: clear one leaf where the cursor is; false as above. */
static __always_inline bool pgt_cursor_unlink(const struct pgt_cursor *cursor, uint64_t gen_watch,
					      uint64_t iova, uint64_t present)
{
	uint64_t *entry;

	if (unlikely(iova - cursor->base >= PGT_TABLE_SPAN || cursor->gen != gen_watch))
		return false;
	entry = &cursor->table[(iova >> PGT_PAGE_SHIFT) & (PGT_ENTRIES - 1)];
	if (unlikely(!(__atomic_load_n(entry, __ATOMIC_RELAXED) & present)))
		return false;
	__atomic_store_n(entry, 0, __ATOMIC_RELEASE);
	return true;
}

/* Whether the cursor knows that nothing, not even a mark, is at one page. */
static __always_inline bool pgt_cursor_empty(const struct pgt_cursor *cursor, uint64_t gen_watch,
					     uint64_t iova)
{
	if (unlikely(iova - cursor->base >= PGT_TABLE_SPAN || cursor->gen != gen_watch))
		return false;
	return !__atomic_load_n(&cursor->table[(iova >> PGT_PAGE_SHIFT) & (PGT_ENTRIES - 1)],
				__ATOMIC_RELAXED);
}

/* What the engine needs of whoever owns the table memory. */
struct pgt_memory {
	/* A zeroed, page-aligned table page, or NULL. Any thread. */
	uint64_t *(*get)(struct pgt_memory *memory);
	/* An all-zero page goes back. Any thread. Never fails. */
	void (*put)(struct pgt_memory *memory, uint64_t *table);
	/* All pages lie in [base, base + size): what a walker accepts. */
	uint64_t base;
	uint64_t size;
	/*
	 * A word for each page of that range, by (page - base) / 4096: links unhooked
	 * tables, whose own bytes walkers may still read, into a list.
	 */
	uint32_t *next;
};

struct pgt_format;

struct pgtable {
	const struct pgt_format *format;
	struct pgt_memory *memory;
	uint64_t *root;
	uint64_t *gen_watch;
	uint64_t table_writes; /* table entries written, shared counter */
	uint64_t tables; /* table pages hooked in, root included */
};

/* What an unlink removed. */
struct pgt_removed {
	uint64_t first, last; /* closed bounds of what was removed; first > last: nothing */
	uint64_t bytes;
	uint64_t entries; /* leaves cleared */
	uint64_t *free_tables; /* unhooked: invalidate, then pgt_free_tables() */
	uint32_t nr_free_tables;
	bool hole; /* part of the range had no leaf */
	bool cut; /* a leaf was larger than the range; all of it went */
};

/* What a link did. */
struct pgt_linked {
	uint64_t entries; /* leaves stored */
	/* Empty tables that gave way to a large leaf: invalidate, then free. */
	uint64_t *free_tables;
	uint32_t nr_free_tables;
};

/* The first of the bits of a present entry that every format leaves to software. */
#define PGT_SOFTWARE_SHIFT 53

/* A leaf as the device side finds it. */
struct pgt_leaf {
	uint64_t *entry;
	uint64_t value; /* the entry when it was read */
	uint64_t phys; /* of the first byte the leaf translates */
	unsigned int shift; /* 12, 21 or 30 */
	unsigned int access; /* PGT_READ | PGT_WRITE */
	bool dirty; /* writes need not set anything any more */
};

enum pgt_walk_result { PGT_WALK_OK, PGT_WALK_NOT_PRESENT, PGT_WALK_ADDRESS, PGT_WALK_TABLE };

/* Formats, in the order in which they are listed to users; the first is the default. */
extern const struct pgt_format *const pgt_formats[];
extern const size_t pgt_nr_formats;

const char *pgt_format_name(const struct pgt_format *format);
unsigned int pgt_format_levels(const struct pgt_format *format);
/* The last address that the format translates. */
uint64_t pgt_format_last(const struct pgt_format *format);
/* The first physical address that does not fit into an entry. */
uint64_t pgt_format_phys_end(const struct pgt_format *format);
/* The bits of a 4 KiB leaf for a direction; 0 for none. */
uint64_t pgt_format_leaf_bits(const struct pgt_format *format, enum dma_data_direction dir);

/* Hook in a root. 0, or -ENOMEM. The table memory goes with its owner: no exit. */
int pgt_init(struct pgtable *pt, const struct pgt_format *format, struct pgt_memory *memory,
	     uint64_t *gen_watch);

/*
 * Driver side. The contracts are those of struct backend_ops (backend/backend.h).
 * A cursor may be NULL. pgt_link() returns 0; -EADDRINUSE: something is linked
 * there; -ESTALE: nothing is, but an open gather has left marks: invalidate, unmark
 * and try again; -ERANGE: memory beyond the format; -EOPNOTSUPP: the format has no
 * such rights; -ENOMEM. Failure has stored no leaf, and sets no error text.
 */
int pgt_link(struct pgtable *pt, struct pgt_cursor *cursor, uint64_t iova,
	     const struct phys_vec *vec, size_t nr_vecs, enum dma_data_direction dir,
	     unsigned long attrs, struct pgt_linked *linked);
void pgt_unlink(struct pgtable *pt, struct pgt_cursor *cursor, uint64_t iova, uint64_t size,
		uint64_t mark, struct pgt_removed *removed);
void pgt_unmark(struct pgtable *pt, uint64_t iova, uint64_t size, uint64_t mark);
unsigned int pgt_linked(struct pgtable *pt, struct pgt_cursor *cursor, uint64_t iova,
			uint64_t size);
/* The leaf that translates @iova; false: none. */
bool pgt_lookup(struct pgtable *pt, uint64_t iova, struct pgt_leaf *leaf);
bool pgt_maps_phys(struct pgtable *pt, uint64_t base, uint64_t last);
/*
 * The first leaf that translates an address of [*@iova, @last], and where it begins, which
 * may be before *@iova; false: there is none. Tables may come and go meanwhile, but only
 * in addresses of which nobody asks.
 */
bool pgt_next_leaf(const struct pgtable *pt, uint64_t *iova, uint64_t last, struct pgt_leaf *leaf);
/*
 * How many bytes from @iova on, where a leaf begins, to @last are leaves that follow each
 * other in memory with the same rights, and have @bits, all but the first.
 */
uint64_t pgt_run(const struct pgtable *pt, uint64_t iova, uint64_t last, uint64_t bits);
/*
 * Set bits that the format leaves to software in every leaf of a range of the caller's, in a
 * table that no device walks.
 */
void pgt_add_bits(struct pgtable *pt, uint64_t iova, uint64_t size, uint64_t bits);
/* Replace tables inside the range that are full and contiguous by larger leaves. */
void pgt_merge(struct pgtable *pt, uint64_t iova, uint64_t size, struct pgt_linked *merged);
/*
 * After the invalidation of a merge, before its tables are freed: accessed and dirty
 * bits that walkers have set in them meanwhile go to the leaves that stand for them.
 */
void pgt_settle_merge(struct pgtable *pt, uint64_t iova, uint64_t size, const uint64_t *tables);
/* After the invalidation: unhooked tables go back to their memory. */
void pgt_free_tables(struct pgtable *pt, uint64_t *tables);
/* Append one list of unhooked tables to another; returns the joined list. */
uint64_t *pgt_join_tables(struct pgtable *pt, uint64_t *tables, uint64_t *more);
/*
 * Free empty level 0 tables: for each, @take the addresses it spans (false: in use,
 * skip it), unhook it, @invalidate the span, free it, @give the addresses back.
 * Returns how many were freed.
 */
struct pgt_reclaim_ops {
	bool (*take)(void *arg, uint64_t first, uint64_t size);
	void (*give)(void *arg, uint64_t first, uint64_t size);
	void (*invalidate)(void *backend, uint64_t first, uint64_t last);
};
size_t pgt_reclaim(struct pgtable *pt, const struct pgt_reclaim_ops *ops, void *arg, void *backend);

/* Device side. */
enum pgt_walk_result pgt_walk(const struct pgtable *pt, uint64_t iova, struct pgt_leaf *leaf);
/*
 * Record an access: accessed, and dirty for a write, as far as the format has them.
 * False: the entry has changed since the walk; walk again.
 */
bool pgt_mark_access(const struct pgtable *pt, struct pgt_leaf *leaf, bool write);

#endif
