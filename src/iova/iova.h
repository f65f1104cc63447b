/* SPDX-License-Identifier: MIT */
/*
 * iova: who owns which part of an I/O address space. It knows nothing of page
 * tables, devices or memory; it counts in granules (pfn = address >> shift).
 *
 * Three parts, each in a file of its own, put together by space.c:
 *  - the free space (tree.c): a radix tree of 64-way nodes whose free blocks are
 *    powers of two, aligned to their size; every node knows the largest free
 *    block below each child, so finding the highest fitting block under a limit,
 *    taking it and giving it back are bounded by the tree's depth, however
 *    fragmented the space is. Only when no whole block is left does a request that
 *    needs but the first part of one (more than 512 granules and no power of two,
 *    or an alignment beyond its size) look at one aligned start after the other;
 *  - the live record (live.c): for each range that is handed out, its exact
 *    length and kind at its first pfn; what makes a double free, a wrong length
 *    and a wrong kind visible without a search;
 *  - the caches (cache.c): each thread keeps freed ranges of up to
 *    2^(IOVA_CACHE_ORDERS-1) granules, in a magazine for each order and class; the
 *    older half of a full magazine goes to a depot that all threads share. The
 *    classes are the ranges at and below `low_last` and those above it, so that
 *    devices with a 32-bit mask and devices without one, mixed in a thread, each
 *    find a fitting range at the end of their magazine.
 *
 * A range's life: free -> taken by iova_alloc() (live) -> iova_retire() (no longer
 * live, still owned by the caller: unmapped, gathered) -> iova_give_back() (free
 * for anybody). Reserved windows are never free and never live.
 *
 * Invariants
 *  - Two live or retired ranges never overlap; none contains pfn 0 or a pfn of a
 *    window that was reserved before it was handed out.
 *  - A range of n granules is aligned to n rounded up to a power of two.
 *  - Requests of at most 2^(IOVA_CACHE_ORDERS-1) granules occupy a power of two;
 *    longer ones occupy exactly n.
 *  - Retire and give_back never allocate and never fail for want of memory: the
 *    nodes and records they need were made when the range was handed out.
 *  - An allocation fails for want of addresses only after everything that caches
 *    hold back, in any thread, has been returned to the tree and tried again.
 *
 * Locking: `lock` (a mutex) guards tree, depot, windows and the list of caches.
 * A cache belongs to one thread and is entered through its asymmetric lock; who
 * holds `lock` may revoke it to empty it, and its owner may touch it under `lock`
 * as it is. A cache that is not in the list is revoked for good, until its owner's
 * next operation lists it again. The live record is read and written without a
 * lock by whoever owns the range; its tables are installed under `lock` with
 * release and never removed while the space exists. Two threads that free one
 * range at the same instant may both succeed: the check is for misuse in sequence.
 */
#ifndef IOVA_IOVA_H
#define IOVA_IOVA_H

#include <pthread.h>

#include "base/base.h"

/* Orders kept by caches: 1 to 512 granules. */
#define IOVA_CACHE_ORDERS 10
#define IOVA_CACHED_PAGES (1ULL << (IOVA_CACHE_ORDERS - 1))
/* Ranges in a magazine, and in the depot for each order and class. */
#define IOVA_MAGAZINE 64
#define IOVA_DEPOT 256
/* A 64-bit address space in granules of 4 KiB. */
#define IOVA_PFN_BITS 52

/* Kinds of live ranges, so that one API cannot free what another reserved. */
enum iova_kind {
	IOVA_STREAMING = 1,
	IOVA_TWO_STEP = 2,
	IOVA_SETTLED = 3, /* streaming, with something to settle when it ends: a copy, a cache */
	IOVA_ALLOCATED = 4, /* memory of the library's own came with it */
	IOVA_AHEAD = 5, /* mapped ahead, until its region is unregistered */
	IOVA_LAZY = 6, /* streaming, and the end of it may wait for others */
	IOVA_SG = 7, /* a scatter-gather list */
	IOVA_SG_ENTRY = 8, /* an entry of one, with something to settle when it ends */
};

/*
 * The API that the rooms above use; the structures below it are laid out by the
 * parts and private to this room.
 */
struct iova_space;
struct iova_cache; /* one thread's; embedded in the thread's slot of the space */

/*
 * Manage [first_pfn, last_pfn] (closed). 0, -ENOMEM, or -EINVAL unless
 * 1 <= first_pfn <= last_pfn < 2^IOVA_PFN_BITS.
 * iova_space_exit() frees everything; no cache of it may be used afterwards.
 */
int iova_space_init(struct iova_space *space, uint64_t first_pfn, uint64_t last_pfn);
void iova_space_exit(struct iova_space *space);

/* Around fork(): nothing is half changed in the child. After it, in both processes. */
static inline void iova_before_fork(struct iova_space *space);
static inline void iova_after_fork(struct iova_space *space);

/* Make a zeroed cache known to the space. Never fails. */
void iova_cache_init(struct iova_space *space, struct iova_cache *cache);
/*
 * Return everything the cache holds; called by its owner or when the owner is gone.
 * Afterwards its memory may be freed, or used on as it is by whoever owns it next.
 */
void iova_cache_flush(struct iova_space *space, struct iova_cache *cache);

/*
 * Take a live range of @pages granules, aligned to @pages rounded up to a power of
 * two and to 2^@align_order, with every pfn <= @limit_pfn: a cached one first, else
 * the highest whose aligned block is free as a whole, else the highest that fits.
 * Returns its first pfn; 0: none, or no memory for records, with the error text set.
 * @cache may be NULL (the slow way, under the lock).
 */
static __always_inline uint64_t iova_alloc(struct iova_space *space, struct iova_cache *cache,
					   uint64_t pages, unsigned int align_order,
					   uint64_t limit_pfn, enum iova_kind kind);

/*
 * The range at @pfn stops being live; it stays the caller's. 0, or -EINVAL and
 * nothing changed if there is no live range of exactly @pages granules and @kind
 * at @pfn. @cache (may be NULL) only remembers where records are.
 */
static __always_inline int iova_retire(struct iova_space *space, struct iova_cache *cache,
				       uint64_t pfn, uint64_t pages, enum iova_kind kind);

/* A retired range becomes free. */
static __always_inline void iova_give_back(struct iova_space *space, struct iova_cache *cache,
					   uint64_t pfn, uint64_t pages);

/* What is live at exactly @pfn: its granules, and its kind; 0 if nothing. */
uint64_t iova_live(struct iova_space *space, uint64_t pfn, enum iova_kind *kind);

/* Visit every live range in ascending order. Nobody else may use the space. */
void iova_for_each_live(struct iova_space *space,
			void (*visit)(void *arg, uint64_t pfn, uint64_t pages, enum iova_kind kind),
			void *arg);

/*
 * Keep [first_pfn, last_pfn] out of use for good. 0; -EADDRINUSE if part of it is
 * live or retired, with nothing changed; -ENOMEM. Parts outside the space or
 * already reserved are fine.
 */
int iova_reserve(struct iova_space *space, uint64_t first_pfn, uint64_t last_pfn);

/* The same for several windows: all of them, or none. */
struct iova_window {
	uint64_t first_pfn;
	uint64_t last_pfn;
};

int iova_reserve_all(struct iova_space *space, const struct iova_window *windows, size_t nr);

/*
 * Take exactly [pfn, pfn + pages), @pages a power of two and @pfn aligned to it,
 * if all of it is free (cached ranges are called back first). It is not live: it
 * goes back with iova_give_back_at(). For whoever needs all the addresses that a
 * table translates.
 */
bool iova_take_at(struct iova_space *space, uint64_t pfn, uint64_t pages);
void iova_give_back_at(struct iova_space *space, uint64_t pfn, uint64_t pages);

/* Bytes that the room keeps for this space now: nodes, records, windows, depot. */
uint64_t iova_metadata_bytes(const struct iova_space *space);

/* From here on: layouts, and the fast halves of the API. */

/* A node of the free space; the largest slots are the root's. */
struct iova_node;

struct iova_tree {
	struct iova_node *root;
	unsigned int root_level; /* a slot of level j is 2^(6j) granules */
	unsigned int spares;
	struct iova_node *spare; /* made before a change that may need them */
	uint64_t visited; /* nodes that searches have looked at */
};

/*
 * A record is a word at a range's first pfn: kind in bits 28 to 31, in bits 0 to 26
 * the length. With bit 27 set these are its lower bits and the word of the next pfn
 * (no other range can start there) holds the rest, under a kind of its own.
 */
#define IOVA_RECORD_SHIFT 28
#define IOVA_RECORD_LONG (1U << 27)
#define IOVA_RECORD_REST 15U

/* Records stand in chunks of 2^IOVA_CHUNK_BITS pfns. */
#define IOVA_CHUNK_BITS 12

struct iova_chunk {
	uint32_t record[1U << IOVA_CHUNK_BITS];
};

struct iova_records {
	void *top; /* a chunk if height is 0, else a table of `height` levels */
	unsigned int height;
};

enum iova_class {
	IOVA_LOW, /* at and below low_last */
	IOVA_HIGH,
	IOVA_CLASSES,
};

struct iova_depot {
	uint32_t count[IOVA_CLASSES][IOVA_CACHE_ORDERS];
	uint64_t range[IOVA_CLASSES][IOVA_CACHE_ORDERS][IOVA_DEPOT];
};

struct iova_space {
	/* Constant. */
	uint64_t first_pfn;
	uint64_t last_pfn;
	uint64_t low_last; /* 0 if the whole space is one class */
	struct iova_records records;

	char apart[64]; /* what changes stays off the line of the constants */

	pthread_mutex_t lock;
	struct iova_tree tree;
	struct iova_depot *depot;
	struct iova_cache *caches;
	struct iova_window *windows; /* sorted, disjoint, not adjacent */
	size_t nr_windows;
	uint64_t metadata_bytes;
};

static inline void iova_before_fork(struct iova_space *space)
{
	pthread_mutex_lock(&space->lock);
}

static inline void iova_after_fork(struct iova_space *space)
{
	pthread_mutex_unlock(&space->lock);
}

/* Where the thread last found chunks; chunks never go, so this is never stale. */
#define IOVA_MEMOS 16

struct iova_memo {
	uint64_t index; /* pfn >> IOVA_CHUNK_BITS */
	struct iova_chunk *chunk;
};

struct iova_magazine {
	uint64_t count;
	uint64_t range[IOVA_MAGAZINE];
};

struct iova_cache {
	struct base_asym asym;
	struct iova_memo memo[IOVA_MEMOS];
	struct iova_cache *next;
	struct iova_cache **link; /* what points here in the space's list; NULL: not in it */
	struct iova_magazine magazine[IOVA_CLASSES][IOVA_CACHE_ORDERS];
};

uint64_t iova_alloc_slow(struct iova_space *space, struct iova_cache *cache, uint64_t pages,
			 unsigned int align_order, uint64_t limit_pfn, enum iova_kind kind) __cold;
int iova_retire_slow(struct iova_space *space, struct iova_cache *cache, uint64_t pfn,
		     uint64_t pages, enum iova_kind kind) __cold;
void iova_give_back_slow(struct iova_space *space, struct iova_cache *cache, uint64_t pfn,
			 uint64_t pages) __cold;
/* The chunk of @pfn, remembered in @cache (may be NULL); NULL if there is none. */
struct iova_chunk *iova_chunk_find(struct iova_space *space, struct iova_cache *cache,
				   uint64_t pfn) __cold;

static __always_inline struct iova_chunk *iova_chunk(struct iova_space *space,
						     struct iova_cache *cache, uint64_t pfn)
{
	const struct iova_memo *memo = &cache->memo[pfn >> IOVA_CHUNK_BITS & (IOVA_MEMOS - 1)];

	if (likely(memo->index == pfn >> IOVA_CHUNK_BITS))
		return memo->chunk;
	return iova_chunk_find(space, cache, pfn);
}

static __always_inline uint32_t *iova_record(struct iova_chunk *chunk, uint64_t pfn)
{
	return &chunk->record[pfn & ((1U << IOVA_CHUNK_BITS) - 1)];
}

static __always_inline enum iova_class iova_class(const struct iova_space *space, uint64_t pfn)
{
	return pfn > space->low_last ? IOVA_HIGH : IOVA_LOW;
}

/*
 * The magazine for a class and a length. By a branch, which is predicted, and not by
 * arithmetic on an address: a range that is freed and taken again at once would wait
 * for its own address to be known.
 */
static __always_inline struct iova_magazine *
iova_magazine(struct iova_cache *cache, enum iova_class class, unsigned int order)
{
	struct iova_magazine *magazine;

	if (likely(class == IOVA_HIGH)) {
		magazine = &cache->magazine[IOVA_HIGH][order];
		__asm__("" : "+r"(magazine));
	} else {
		magazine = &cache->magazine[IOVA_LOW][order];
		__asm__("" : "+r"(magazine));
	}
	return magazine;
}

/* The word of a live range in its record, up to IOVA_RECORD_LONG granules. */
static __always_inline uint32_t iova_record_word(uint64_t pages, enum iova_kind kind)
{
	return (uint32_t)kind << IOVA_RECORD_SHIFT | (uint32_t)pages;
}

/*
 * The short halves: what they cannot do at once, without a call, they leave undone,
 * and answer false. @pages is 1..IOVA_CACHED_PAGES.
 */
static __always_inline bool iova_alloc_short(struct iova_space *space, struct iova_cache *cache,
					     uint64_t pages, uint64_t limit_pfn,
					     enum iova_kind kind, uint64_t *pfn)
{
	struct iova_magazine *magazine =
		iova_magazine(cache, iova_class(space, limit_pfn), order_of(pages));
	const struct iova_memo *memo;
	uint64_t held;

	if (unlikely(!base_asym_enter(&cache->asym)))
		return false;
	held = __atomic_load_n(&magazine->count, __ATOMIC_RELAXED);
	if (unlikely(!held))
		goto leave;
	*pfn = magazine->range[held - 1];
	memo = &cache->memo[*pfn >> IOVA_CHUNK_BITS & (IOVA_MEMOS - 1)];
	if (unlikely(*pfn + (pages - 1) > limit_pfn || memo->index != *pfn >> IOVA_CHUNK_BITS))
		goto leave;
	__atomic_store_n(&magazine->count, held - 1, __ATOMIC_RELAXED);
	base_asym_leave(&cache->asym);
	__atomic_store_n(iova_record(memo->chunk, *pfn), iova_record_word(pages, kind),
			 __ATOMIC_RELAXED);
	return true;
leave:
	base_asym_leave(&cache->asym);
	return false;
}

static __always_inline bool iova_retire_short(struct iova_cache *cache, uint64_t pfn,
					      uint64_t pages, enum iova_kind kind)
{
	const struct iova_memo *memo = &cache->memo[pfn >> IOVA_CHUNK_BITS & (IOVA_MEMOS - 1)];
	uint32_t *record;

	if (unlikely(memo->index != pfn >> IOVA_CHUNK_BITS))
		return false;
	record = iova_record(memo->chunk, pfn);
	if (unlikely(__atomic_load_n(record, __ATOMIC_RELAXED) != iova_record_word(pages, kind)))
		return false;
	__atomic_store_n(record, 0, __ATOMIC_RELAXED);
	return true;
}

static __always_inline bool iova_give_back_short(struct iova_space *space, struct iova_cache *cache,
						 uint64_t pfn, uint64_t pages)
{
	struct iova_magazine *magazine =
		iova_magazine(cache, iova_class(space, pfn), order_of(pages));
	uint64_t held;

	if (unlikely(!base_asym_enter(&cache->asym)))
		return false;
	held = __atomic_load_n(&magazine->count, __ATOMIC_RELAXED);
	if (unlikely(held >= IOVA_MAGAZINE)) {
		base_asym_leave(&cache->asym);
		return false;
	}
	magazine->range[held] = pfn;
	__atomic_store_n(&magazine->count, held + 1, __ATOMIC_RELAXED);
	base_asym_leave(&cache->asym);
	return true;
}

static __always_inline uint64_t iova_alloc(struct iova_space *space, struct iova_cache *cache,
					   uint64_t pages, unsigned int align_order,
					   uint64_t limit_pfn, enum iova_kind kind)
{
	if (likely(cache && pages - 1 < IOVA_CACHED_PAGES && align_order <= order_of(pages))) {
		uint64_t pfn;

		if (likely(iova_alloc_short(space, cache, pages, limit_pfn, kind, &pfn)))
			return pfn;
	}
	return iova_alloc_slow(space, cache, pages, align_order, limit_pfn, kind);
}

static __always_inline int iova_retire(struct iova_space *space, struct iova_cache *cache,
				       uint64_t pfn, uint64_t pages, enum iova_kind kind)
{
	if (likely(cache && pages < IOVA_RECORD_LONG && iova_retire_short(cache, pfn, pages, kind)))
		return 0;
	return iova_retire_slow(space, cache, pfn, pages, kind);
}

static __always_inline void iova_give_back(struct iova_space *space, struct iova_cache *cache,
					   uint64_t pfn, uint64_t pages)
{
	if (unlikely(!cache || pages - 1 >= IOVA_CACHED_PAGES ||
		     !iova_give_back_short(space, cache, pfn, pages)))
		iova_give_back_slow(space, cache, pfn, pages);
}

#endif
