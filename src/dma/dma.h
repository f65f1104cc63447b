/* SPDX-License-Identifier: MIT */
/*
 * dma: the mapping API. It joins the rooms below: who owns an address (iova/),
 * what memory is (memory/), and how a device is let at it (backend/).
 *
 * Nouns
 *	struct dma_space   one I/O address space: an IOVA allocator and a backend
 *	struct dma_slot    what one thread keeps in one space: cursor, link window,
 *	                   IOVA cache, counters
 *	struct dma_dev     a device, attached to one space, with its masks and limits
 *
 * A mapping lives from the moment its IOVA is handed out (live in iova/) until it
 * is retired; only then are its entries removed, the IOTLB invalidated, and the
 * IOVA given back, in this order. A gather stretches the middle: it owns what was
 * retired until it ends.
 *
 * Every call with a short way and a long way has two functions: the short one does
 * the common case with no check too many, finds its thread's slot with two loads,
 * and hands everything else, errors included, to the long one.
 *
 * Errors: checks come first, then what can fail, then what changes. A void call
 * that is misused does the safe part: the device never keeps access that the
 * caller thinks is gone.
 *
 * Locking
 *  - `registry` (space.c): the list of spaces. Held while a thread that ends
 *    returns its caches, and over fork(), then with every IOVA allocator's lock.
 *  - space->lock: the list of devices and the next device's number. Held while a
 *    port opens.
 *  - A slot belongs to one thread; the slot `shared` serves threads without one:
 *    it has no cursor and no cache, and its counters are atomic.
 *  - Nothing else is held while a backend runs, but the registry while memory is
 *    unregistered; and nothing while a callback or a device model runs.
 * Links, unlinks and maps take no lock, but for the IOVA allocator's when a cache
 * has nothing to give.
 */
#ifndef DMA_DMA_H
#define DMA_DMA_H

#include <pthread.h>

#include <twostep/bus.h>
#include <twostep/device.h>
#include <twostep/error.h>
#include <twostep/iova.h>
#include <twostep/mapping.h>

#include "backend/backend.h"
#include "base/base.h"
#include "iova/iova.h"
#include "memory/memory.h"

#define GRANULE_SHIFT PGT_PAGE_SHIFT
#define GRANULE (1ULL << GRANULE_SHIFT)
#define GRANULE_MASK (GRANULE - 1)

/* Reasons to leave the fast path, in the low bits of the backend's generation. */
#define WATCH_FORKED 1U
#define WATCH_DIRECT 2U /* nothing is translated */

/*
 * Where the thread's next link is likely to go: the part of one reservation that
 * one level 0 table translates. It fits a state that is equal bit by bit, so
 * bounds need no second look, and it is worth nothing in another generation.
 */
struct dma_link_window {
	dma_addr_t addr; /* of the state */
	uint64_t size; /* of the state, flags and all */
	uint64_t gen; /* as the cursor's */
	uint64_t first; /* offset of the window in the reservation */
	uint64_t pages; /* granules */
	uint64_t *entries; /* of the granule at @first */
};

struct dma_slot {
	struct pgt_cursor cursor;
	struct dma_link_window window;
	/* Written by the slot's thread only; by anyone, atomically, in the shared one. */
	uint64_t page_links; /* leaves of one granule stored on the fast path */
	uint64_t page_unlinks; /* and removed there */
	uint64_t entries; /* leaves stored and removed elsewhere */
	uint64_t bytes_linked; /* elsewhere */
	uint64_t bytes_unlinked;
	uint64_t allocs;
	uint64_t frees;
	uint64_t invalidations;
	uint64_t misuse;
	uint64_t gathers; /* how many gathers have left marks */
	uint32_t number; /* of the thread; 0 in the shared slot */
	bool shared;
	struct iova_cache iova __cacheline_aligned;
} __cacheline_aligned;

struct dma_space {
	struct backend *be;
	uint64_t present; /* bits of which a leaf has some and a mark none */
	struct iova_space iova;
	pthread_mutex_t lock;
	struct dma_dev *devices;
	uint32_t next_number;
	struct dma_space *next; /* in the registry */
	struct dma_slot shared;
	struct dma_slot *slots[BASE_MAX_THREADS]; /* by thread number; [0] stays NULL */
};

struct dma_dev {
	struct dma_space *space;
	struct backend *be;
	uint64_t limit_pfn; /* last granule that streaming and two-step mappings may use */
	uint64_t bus_limit; /* last address that the bus carries */
	bool untrusted; /* unaligned memory must be bounced */
	bool odd; /* something keeps streaming maps off the short way */
	uint64_t mask;
	uint64_t coherent_mask;
	unsigned int max_seg_size;
	unsigned int min_align_mask;
	unsigned long seg_boundary;
	struct dma_port *port;
	const struct dma_model_ops *model_ops;
	void *model;
	struct dma_dev *next; /* in the space */
	uint32_t number;
	char *uri;
	char name[48]; /* the URI as far as it fits: for sentences, which are short */
};

struct dma_dev_options {
	const char *uri;
	struct port_options port;
	uint64_t bus_limit;
	bool untrusted;
};

/*
 * Make a space over a backend, which it owns from then on, also on failure. A
 * space without devices is closed by dma_space_discard().
 */
int dma_space_create(struct backend *be, struct dma_space **space);
void dma_space_discard(struct dma_space *space);

/* Attach a device. 0; -EADDRINUSE, -ENOMEM, -EPERM with the error text. */
int dma_dev_attach(struct dma_space *space, const struct dma_dev_options *options,
		   struct dma_dev **dev);

/* Undo an attach: as closing, but the space stays open and the number is free again. */
void dma_dev_detach(struct dma_dev *dev);

/*
 * Keep the windows that a device must not be given out of use, all or none. 0;
 * -EADDRINUSE, -ENOMEM with the error text.
 */
int dma_dev_reserve(struct dma_dev *dev, const struct iova_window *windows, size_t nr);

/* Give an attached device its model in software, which it owns from then on. */
void dma_dev_set_model(struct dma_dev *dev, const struct dma_model_ops *ops, void *model);

/* limits.c: what a new device starts with. */
void dma_limits_init(struct dma_dev *dev);

/* Why iova_alloc() has failed, as the error text. */
void dma_no_iova(struct dma_dev *dev, size_t size);

/* space.c */

/* The calling thread's slot in the space, the long way; never NULL. */
struct dma_slot *dma_slot_find(struct dma_space *space);

static __always_inline struct dma_slot *dma_slot(struct dma_space *space)
{
	struct dma_slot *slot = space->slots[base_thread];

	return likely(slot) ? slot : dma_slot_find(space);
}

static inline struct pgt_cursor *slot_cursor(struct dma_slot *slot)
{
	return slot->shared ? NULL : &slot->cursor;
}

static inline struct iova_cache *slot_iova(struct dma_slot *slot)
{
	return slot->shared ? NULL : &slot->iova;
}

static inline void slot_count(struct dma_slot *slot, uint64_t *counter, uint64_t n)
{
	if (unlikely(slot->shared))
		counter_add_shared(counter, n);
	else
		counter_add(counter, n);
}

static __always_inline uint64_t dma_gen_watch(const struct backend *be)
{
	return __atomic_load_n(&be->gen_watch, __ATOMIC_ACQUIRE);
}

/* -EPERM with the error text in a process that does not own the space; else 0. */
int dma_space_refuse_forked(const struct dma_space *space);

static inline int dma_space_check(const struct dma_space *space)
{
	return likely(!(dma_gen_watch(space->be) & WATCH_FORKED)) ? 0
								  : dma_space_refuse_forked(space);
}

/* Count a misuse and set the error text: the void calls' way to complain. */
void dma_misuse(struct dma_space *space, const char *format, ...)
	__attribute__((__cold__, __format__(__printf__, 2, 3)));

/* link.c: let devices at memory, whoever owns the IOVA. */

/*
 * Link pieces at @iova (aligned); see struct backend_ops. Handles what an open
 * gather left behind, displaced tables and exhausted table memory, and counts.
 * 0 or -errno with the error text.
 */
int dma_link(struct dma_space *space, dma_addr_t iova, const struct phys_vec *vec, size_t nr_vecs,
	     uint64_t bytes, enum dma_data_direction dir, unsigned long attrs);

/* Make final what open gathers have unlinked in a range, and take their marks away. */
void dma_flush_marks(struct dma_space *space, struct dma_slot *slot, dma_addr_t iova,
		     uint64_t size);

/* Make links visible. @iova aligned, @size whole granules. */
int dma_sync_links(struct dma_space *space, dma_addr_t iova, uint64_t size, bool whole);

/* unlink.c: take memory away again. */

/* What to do with the IOVA once the device has lost its access. */
enum dma_after_unlink {
	KEEP_IOVA, /* still reserved: an unlink */
	RELEASE_IOVA, /* retired: [iova, iova + size) is given back */
};

/*
 * Remove what is linked in the retired or reserved granules [iova, iova + size), of
 * which [iova, iova + linked) should be linked and the rest should not; anything
 * else is misuse, and removed as well. Strict, unless @gather fits: then final with
 * its end. @what names the caller for the error text.
 */
void dma_take_away(struct dma_space *space, dma_addr_t iova, uint64_t size, uint64_t linked,
		   enum dma_after_unlink after, struct dma_gather *gather, const char *what);

/* One strict request. */
void dma_invalidate(struct dma_space *space, struct dma_slot *slot, dma_addr_t first,
		    dma_addr_t last);

/* The gather to use for a call in @space, or NULL: strict. */
static inline struct dma_gather *dma_gather_for(struct dma_gather *gather,
						const struct dma_space *space)
{
	return gather && gather->space == space ? gather : NULL;
}

/* gather.c: @info of a gathered range. */
#define GATHER_UNMARK (1ULL << 63) /* still reserved; marks were left */
#define GATHER_BYTES (~GATHER_UNMARK)

/* Add a range, making room first if there is none. */
void dma_gather_add(struct dma_gather *gather, dma_addr_t iova, uint64_t size, bool unmark);

/* By what the gather's marks are known in its space; never 0. */
uint64_t dma_gather_mark(struct dma_gather *gather, struct dma_slot *slot);

/*
 * The short way to take one granule away. Retires it, if it is live with @kind and
 * the cursor is there; false: nothing has changed, take the long way. The cursor
 * comes first, because a granule that was retired must be seen through.
 */
static __always_inline bool dma_drop_granule(struct dma_dev *dev, dma_addr_t iova,
					     enum iova_kind kind, struct dma_gather *gather,
					     const char *what)
{
	struct dma_space *space = dev->space;
	struct dma_slot *slot = space->slots[base_thread];
	uint64_t gen = dma_gen_watch(dev->be);

	if (unlikely(!slot || gen & PGT_GEN_WATCH || iova - slot->cursor.base >= PGT_TABLE_SPAN ||
		     slot->cursor.gen != gen ||
		     !iova_retire_short(&slot->iova, iova >> GRANULE_SHIFT, 1, kind)))
		return false;
	counter_step(&slot->frees);
	if (unlikely(!pgt_cursor_unlink(&slot->cursor, gen, iova, space->present))) {
		dma_take_away(space, iova, GRANULE, GRANULE, RELEASE_IOVA, gather, what);
		return true;
	}
	counter_step(&slot->page_unlinks);
	if (gather) {
		dma_gather_add(gather, iova, GRANULE, false);
		return true;
	}
	dma_invalidate(space, slot, iova, iova + GRANULE_MASK);
	iova_give_back(&space->iova, &slot->iova, iova >> GRANULE_SHIFT, 1);
	return true;
}

#endif
