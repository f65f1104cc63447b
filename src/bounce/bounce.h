/* SPDX-License-Identifier: MIT */
/*
 * bounce: buffers that stand in for memory which a device cannot or must not reach.
 * It knows nothing of IOMMUs, devices or IOVA: it lends slots and copies.
 *
 * A pool is address space that never moves, of whole segments of 256 KiB, aligned to
 * one. It is reserved when the pool is made and becomes accessible from the front as
 * the pool grows. A segment has 128 slots of 2 KiB, and two bitmaps: which slots are
 * used, and at which a buffer starts. The segments are dealt to areas in turn; an area
 * has a lock, and for each of its segments a bound of the longest free run in it, so
 * that a search touches only segments that may have room, eight of them with one
 * comparison. A run of n slots is found in a segment by and-ing its bitmap with itself,
 * shifted, log2(n) times; the geometry of a request is one more bitmap, of the slots
 * where it may start.
 *
 * A mapping is a lent buffer: consecutive slots of one segment, of which the first has
 * the record. The buffer begins `offset` bytes behind its first slot; slots before and
 * behind it that alignment asks for belong to the mapping and are freed with it. A
 * mapping's life: lent by bounce_map() -> on one list, when its device is losing its
 * access -> free, when the list is finished.
 *
 * The registry is a table of all pools of the process, BOUNCE_POOLS of them. An entry
 * has the pool's structure, and one word with its place and length.
 *
 * Invariants
 *  - Two lent buffers never share a slot; none crosses a segment.
 *  - The bound of a segment is never below its longest free run. It is lowered by a
 *    search that has failed and raised by the run that a freed buffer leaves.
 *  - A record is complete before the bit of its first slot in `starts` shows it, and the
 *    bit is cleared before the slots are free. Whoever looks for an address inside a
 *    buffer finds that bit, whatever others do: no other buffer starts between the
 *    first slot of a buffer and its last.
 *  - Copying, lists and freeing allocate nothing and cannot fail; nor does bounce_find().
 *
 * Locking: an area's mutex guards its segments' bitmaps and bounds. `grow_lock` of a
 * pool serialises its growth and is taken before areas' locks, never while one is held.
 * The registry and the default pools have a mutex each: that of the defaults may be held
 * while the registry's is taken. Copies are made without any lock: a buffer belongs to
 * whoever mapped it.
 *
 * bounce_find() takes no lock. It compares the address with each entry's word, which is
 * all there is to see of other pools: a word is one load, so it is never half of one
 * pool and half of the next that uses the entry. Structures of pools are never freed,
 * and everything that a structure points to lives as long as its word is not zero: it is
 * complete before the word is stored, with release, and unmapped after the word has
 * been cleared. A pool in which a buffer is lent is not destroyed. So a look-up follows
 * pointers only for an address inside a pool, and that pool stays unless the address
 * is of no buffer and the pool is being destroyed: the caller's fault. The address
 * space of a pool that is gone can become other memory only after the word is zero.
 *
 * fork: all of this is the parent's. In the child, a handler empties the registry's
 * words, forgets the default pools (and gives back the memory of those that were not in
 * use) and marks all others as inherited. Locks that other threads held do not matter:
 * the handler makes the two mutexes anew, entries that another thread was making or
 * taking apart are forgotten, and locks inside an inherited pool are never taken again,
 * because nothing is lent from it or returned to it: bounce_map() refuses,
 * bounce_find() does not find it, finishing a list drops its buffers, and
 * dma_bounce_destroy() only unmaps it, used or not.
 *
 * Files: pool.c makes and destroys pools, registry.c is the table of them and fork,
 * slots.c finds slots and frees them, copy.c lends and copies, default.c has the default
 * pools; pool.h is what they share.
 */
#ifndef BOUNCE_BOUNCE_H
#define BOUNCE_BOUNCE_H

#include <twostep/bounce.h>

#include "base/base.h"

struct bounce_mapping; /* a buffer that is lent */

/* What a buffer is wanted for. */
struct bounce_request {
	phys_addr_t phys; /* the memory; the bits under @min_align_mask are kept */
	void *cpu; /* where the CPU reaches it */
	size_t size;
	uint64_t min_align_mask; /* low bits of @phys that the buffer must have too: 2^n - 1 */
	/*
	 * 2^n - 1: the slots begin and end at multiples of 2^n, and what is before and
	 * behind the buffer in them is zero. 0: no padding is exposed, none is cleared.
	 */
	uint64_t alloc_align_mask;
	uint64_t boundary; /* 2^n - 1, a buffer does not cross multiples of 2^n; all ones for none */
	enum dma_data_direction dir;
	const void *owner; /* for bounce_list_add_owned(); may be NULL */
};

/* No buffer. Never an address of one. */
#define BOUNCE_NONE 0

/*
 * Lend a buffer and copy the memory into it, whatever the direction: a device may
 * write only a part. Returns its physical address (an address of this process), or
 * BOUNCE_NONE with the error text of -ENOMEM.
 */
phys_addr_t bounce_map(struct dma_bounce *bounce, const struct bounce_request *request);

/* The longest buffer for a minimum alignment mask. */
size_t bounce_max_size(uint64_t min_align_mask);

/* A default pool all of whose addresses are at most @last; NULL with the error text. */
struct dma_bounce *bounce_default(uint64_t last);
/* One in huge pages, wherever they are; NULL with the error text. */
struct dma_bounce *bounce_default_huge(void);
bool bounce_is_huge(const struct dma_bounce *bounce);
/* The highest address that a pool's buffers can have. */
uint64_t bounce_last(const struct dma_bounce *bounce);

/* Devices that have a pool keep it from being destroyed. */
void bounce_get(struct dma_bounce *bounce);
void bounce_put(struct dma_bounce *bounce);

/*
 * The buffer that lies at @phys, in whatever pool; NULL if that is no bounce memory,
 * or is not lent. Takes no lock, and costs one load while no pool exists. Padding
 * before and behind a buffer, in its slots, belongs to it.
 */
struct bounce_mapping *bounce_find(phys_addr_t phys);
/* Where the buffer itself begins, how long it is, and what it stands in for. */
phys_addr_t bounce_start(const struct bounce_mapping *mapping);
size_t bounce_size(const struct bounce_mapping *mapping);
phys_addr_t bounce_origin(const struct bounce_mapping *mapping);

/*
 * Copy a part: [phys, phys + size) of a buffer. What lies outside of the buffer is left
 * out; returns how many bytes were copied.
 */
size_t bounce_to_device(struct bounce_mapping *mapping, phys_addr_t phys, size_t size);
size_t bounce_to_cpu(struct bounce_mapping *mapping, phys_addr_t phys, size_t size);

/*
 * The end: a list of buffers whose devices are losing their access. Putting a buffer
 * on a list needs no memory, and putting it there again does nothing. Once they have
 * lost it, finish copies back those that want it, in the order in which they came, then
 * frees the slots of all.
 */
struct bounce_list {
	struct bounce_mapping *first;
};

void bounce_list_add(struct bounce_list *list, struct bounce_mapping *mapping, bool copy_back);
void bounce_list_finish(struct bounce_list *list);
/* Put the buffers of @more, which are on no other list, on @list as well. */
void bounce_list_join(struct bounce_list *list, const struct bounce_list *more);

/* The one behind a buffer on a list, or NULL. */
const struct bounce_mapping *bounce_list_next(const struct bounce_mapping *mapping);

/*
 * Put all buffers on the list that were lent to @owner and are on none, without copying
 * back: nobody will ask for them any more. Returns how many. Nobody else may use them.
 */
size_t bounce_list_add_owned(struct bounce_list *list, const void *owner);

/* Whether a buffer that is lent stands in for memory of [base, last]. Looks at all. */
bool bounce_stands_for(phys_addr_t base, phys_addr_t last);

#endif
