/* SPDX-License-Identifier: MIT */
/*
 * dma: the mapping API. It joins the rooms below: who owns an address (iova/),
 * what memory is (memory/), and how a device is let at it (backend/).
 *
 * Nouns
 *	struct dma_space   one I/O address space: an IOVA allocator and a backend
 *	struct dma_slot    what one thread keeps in one space: cursor, link window,
 *	                   IOVA cache, counters, a ring of lazy unmaps
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
 * Settling: where the CPU's bytes and the device's are two copies (a bounce buffer,
 * a cache that the device does not see), a mapping that ends is settled: the device
 * loses its access, then what it wrote is copied back, then the buffer is free. Such
 * mappings are known by their record (IOVA_SETTLED) or by a flag of the state, so no
 * other mapping pays for them. settle.c does the copying, reach.c decides who needs it.
 *
 * Lazy spaces (lazy.h, which also argues locking and fork): streaming mappings there have
 * a record of their own (IOVA_LAZY), which the short ways of strict spaces never match, so
 * that a strict space pays nothing for lazy ones. Lists have the same record everywhere
 * (IOVA_SG), and the device tells whether their end is queued. Whatever goes the long way
 * to its end without being queued is strict there too.
 *
 * Observing: a space may have an observer (base/observe.h). Its bit in the generation
 * word leads every call to where it is told what happens: off the short way, or at the end
 * of it.
 *
 * Locking
 *  - `registry` (space.c): the list of spaces. Held while a thread that ends
 *    returns its caches, and over fork(), then with the locks of every IOVA
 *    allocator and record of blocks.
 *  - space->lock: the lists of devices and of pools, and the next device's number. Held
 *    while a port opens. Taken inside `registry`.
 *  - Each shard of the record of blocks has a lock, and each pool (pool.c); a pool's is
 *    taken inside space->lock, and held while the pool gets memory.
 *  - space->premap.lock: regions of memory mapped ahead, and the addresses that they get;
 *    held while a backend links for one. Their look-up takes no lock (premap.h).
 *  - A slot belongs to one thread; the slot `shared` serves threads without one:
 *    it has no cursor and no cache, and its counters are atomic.
 *  - lazy.h has its own, all of them inside the registry's.
 *  - Nothing else is held while a backend runs, but the registry while memory is
 *    unregistered and while a thread ends; and nothing while a callback or a device
 *    model runs.
 * Links, unlinks and maps take no lock, but for the IOVA allocator's when a cache
 * has nothing to give.
 */
#ifndef DMA_DMA_H
#define DMA_DMA_H

#include <pthread.h>

#include <twostep/bus.h>
#include <twostep/coherent.h>
#include <twostep/device.h>
#include <twostep/dmapool.h>
#include <twostep/error.h>
#include <twostep/iova.h>
#include <twostep/mapping.h>
#include <twostep/scatterlist.h>

#include "backend/backend.h"
#include "base/base.h"
#include "base/observe.h"
#include "bounce/bounce.h"
#include "dma/blocks.h"
#include "dma/premap.h"
#include "iova/iova.h"
#include "memory/memory.h"

#define GRANULE_SHIFT PGT_PAGE_SHIFT
#define GRANULE (1ULL << GRANULE_SHIFT)
#define GRANULE_MASK (GRANULE - 1)

/* Reasons to leave the fast path, in the low bits of the backend's generation. */
#define WATCH_FORKED 1U
#define WATCH_DIRECT 2U /* nothing is translated */
#define WATCH_OBSERVED PGT_GEN_OBSERVED

/*
 * Where the thread's next link is likely to go: the part of one reservation that
 * one level 0 table translates. It fits a state that is equal bit by bit, so
 * bounds need no second look, and it is worth nothing in another generation.
 */
struct dma_link_window {
	dma_addr_t addr; /* of the state */
	uint64_t size; /* of the state, flags and all */
	uint64_t gen; /* as the cursor's, and the observer's bit */
	uint64_t first; /* offset of the window in the reservation */
	uint64_t pages; /* granules; 0 in a space that is observed, */
	uint64_t watched; /* which has them here, for a way on which links are told */
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
	struct dma_lazy_ring *ring; /* NULL in strict spaces, and without memory */
	struct iova_cache iova __cacheline_aligned;
} __cacheline_aligned;

struct dma_space {
	struct backend *be;
	uint64_t present; /* bits of which a leaf has some and a mark none */
	bool bounced; /* something was bounced here, ever */
	bool lazy; /* unmaps may be queued; fixed before the first device */
	struct iova_space iova;
	pthread_mutex_t lock;
	struct dma_dev *devices;
	uint32_t next_number;
	struct dma_space *next; /* in the registry */
	struct dma_pool *pools; /* of small objects; under `lock` */
	struct dma_blocks blocks;
	struct premap premap; /* what is mapped ahead */
	struct dma_space *next_lazy; /* in the timer's list */
	struct dma_slot shared;
	struct dma_slot *slots[BASE_MAX_THREADS]; /* by thread number; [0] stays NULL */
};

/* Whether, and when, a device uses bounce buffers. */
enum dma_bouncing {
	BOUNCE_AS_NEEDED,
	BOUNCE_ALWAYS,
	BOUNCE_NEVER, /* what would have to be bounced fails */
};

struct dma_place; /* p2p.h */

struct dma_dev {
	struct dma_space *space;
	struct backend *be;
	uint64_t short_limit_pfn; /* limit_pfn; 0 if something keeps the device off the short way */
	uint64_t map_limit_pfn; /* the same for maps, which are made visible at once */
	uint64_t strict_limit_pfn; /* the same for maps that are not lazy: 0 if they are */
	uint64_t limit_pfn; /* last granule that streaming and two-step mappings may use */
	uint64_t bus_limit; /* last address that the bus carries */
	bool untrusted; /* unaligned memory must be bounced */
	bool noncoherent; /* it does not see the CPU's caches */
	bool ahead; /* it maps only what is mapped ahead */
	enum dma_bouncing bouncing;
	bool bounced; /* something was bounced for it, ever */
	bool observed; /* the space has an observer */
	bool lazy; /* its space is, and it may be late to lose its access */
	struct dma_bounce *bounce; /* the pool to use; NULL for the default ones */
	uint64_t mask;
	uint64_t coherent_mask;
	uint64_t coherent_limit_pfn; /* last granule that memory allocated for it may use */
	unsigned int max_seg_size;
	unsigned int min_align_mask;
	unsigned long seg_boundary;
	struct dma_place *place; /* on a PCI bus, or NULL */
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
	bool ahead;
	enum dma_bouncing bouncing;
	const char *pci; /* the name of its place in the topology, or NULL */
};

/* Whether every mapping of the device must be settled when it ends. */
static __always_inline bool dma_dev_settles(const struct dma_dev *dev)
{
	return dev->noncoherent || dev->bouncing == BOUNCE_ALWAYS;
}

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

/* place.c: places of devices in the process's topology. */

/* Most windows that a place must be kept out of. */
#define DMA_PLACE_WINDOWS 8

/* Load @path, unless it is loaded. 0; -EBUSY if another is; as dma_topology_load(). */
int dma_place_use(const char *path);
/* 0; -ENODEV, -EBUSY, -ENOMEM with the error text. */
int dma_place_enter(struct dma_dev *dev, const char *name);
/* Its memory goes, and its port forgets its peers; before the port is closed. */
void dma_place_leave(struct dma_dev *dev);
void dma_place_free_forked(struct dma_dev *dev);
/* Where BARs may be: at most DMA_PLACE_WINDOWS windows. Returns how many. */
size_t dma_place_windows(const struct dma_dev *dev, struct iova_window *windows);
/* Whether BARs may be where memory is that a device without an IOMMU wants. */
bool dma_place_hides(const struct dma_dev *dev, phys_addr_t phys, uint64_t size);
void dma_place_before_fork(void);
void dma_place_after_fork(bool child);

/* space.c: wait for the transfers in flight in every space. */
void dma_drain_spaces(void);

/* Give an attached device its model in software, which it owns from then on. */
void dma_dev_set_model(struct dma_dev *dev, const struct dma_model_ops *ops, void *model);

/* Let @observer look on in a space without devices; the space ends it when it closes. */
void dma_space_observe(struct dma_space *space, struct base_observer *observer);

/* limits.c: what a new device starts with. */
void dma_limits_init(struct dma_dev *dev);

/* The last address that the device's mask and its bus reach. */
static inline uint64_t dma_dev_reach(const struct dma_dev *dev)
{
	return dev->mask < dev->bus_limit ? dev->mask : dev->bus_limit;
}

/* Whether devices find memory elsewhere, without translation, and memory must be taken. */
static __always_inline bool dma_is_taken(const struct backend *be)
{
	return be->ops->take;
}

/* Why dma_iova_alloc() has failed, as the error text. */
void dma_no_iova(struct dma_dev *dev, size_t size);
void dma_no_coherent_iova(struct dma_dev *dev, size_t size);

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

/*
 * iova_alloc() for the device. In a lazy space what is queued is made final before it
 * fails for want of addresses. 0: with the error text of the room below.
 */
uint64_t dma_iova_alloc_again(struct dma_dev *dev, struct dma_slot *slot, uint64_t pages,
			      unsigned int align_order, enum iova_kind kind) __cold;

static __always_inline uint64_t dma_iova_alloc(struct dma_dev *dev, struct dma_slot *slot,
					       uint64_t pages, unsigned int align_order,
					       enum iova_kind kind)
{
	uint64_t pfn = iova_alloc(&dev->space->iova, slot_iova(slot), pages, align_order,
				  dev->limit_pfn, kind);

	return likely(pfn) ? pfn : dma_iova_alloc_again(dev, slot, pages, align_order, kind);
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

/*
 * Where the program called the API, for observers: every public function notes it
 * before it takes the long way.
 */
extern thread_local_ie const void *dma_caller;
#define DMA_CALLED() ((void)(dma_caller = __builtin_return_address(0)))

/* The space's observer, or NULL. */
static __always_inline struct base_observer *dma_observer(const struct backend *be)
{
	uint64_t gen = dma_gen_watch(be);

	return likely(!(gen & WATCH_OBSERVED)) || gen & WATCH_FORKED ? NULL : be->observer;
}

/* Mappings were found live when something closed. */
void dma_count_leaks(struct dma_space *space, uint64_t count);

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

/*
 * The same where the device cannot have all of it itself: parts of pieces are bounced,
 * caches are written back. *@bounced tells whether something was. Failure leaves
 * nothing behind.
 */
int dma_link_copied(struct dma_dev *dev, dma_addr_t iova, const struct phys_vec *vec,
		    size_t nr_vecs, uint64_t bytes, enum dma_data_direction dir,
		    unsigned long attrs, bool *bounced);

/*
 * streaming.c: link what a mapping maps at IOVA that was allocated with @kind, and sync.
 * 0; or -errno, and nothing is linked and the IOVA is given back.
 */
int dma_map_granules(struct dma_dev *dev, struct dma_slot *slot, dma_addr_t iova, phys_addr_t phys,
		     size_t size, enum iova_kind kind, enum dma_data_direction dir,
		     unsigned long attrs);

/* Make links visible. @iova aligned, @size whole granules. */
int dma_sync_links(struct dma_space *space, dma_addr_t iova, uint64_t size, bool whole);

/* reach.c: whether a device can and may reach memory itself. */

enum dma_reach {
	REACH_ITSELF,
	REACH_BOUNCED, /* through a bounce buffer */
	REACH_REFUSED, /* it would need a bounce buffer or a sync, and neither is possible */
};

/*
 * For memory that memory_check() has passed, or would refuse; without error text.
 * Behind an IOMMU: what keeps the device from the memory itself. On direct: also
 * what it cannot address.
 */
enum dma_reach dma_reach(const struct dma_dev *dev, phys_addr_t phys, uint64_t size,
			 enum dma_data_direction dir, unsigned long attrs);

/* What is wrong, as the error text; returns @err. */
int dma_reach_refused(const struct dma_dev *dev, int err, const char *what, phys_addr_t phys,
		      uint64_t size);

/*
 * Memory mapped ahead is neither bounced nor lent: 0; -EPERM with the error text. @part:
 * of a region that has passed.
 */
int dma_reach_ahead(const struct dma_dev *dev, const char *what, phys_addr_t phys, uint64_t size,
		    enum dma_data_direction dir, unsigned long attrs, bool part);

/* Of memory that is bounced behind an IOMMU: all of it, or only granules that are shared. */
bool dma_must_bounce_whole(const struct dma_dev *dev, phys_addr_t phys);

/*
 * Lend a buffer for the memory, which the CPU can reach, and copy it in. 0 and its
 * address; -ENOMEM with the error text.
 */
int dma_lend(struct dma_dev *dev, phys_addr_t phys, uint64_t size, uint64_t alloc_align_mask,
	     uint64_t min_align_mask, enum dma_data_direction dir, unsigned long attrs,
	     phys_addr_t *lent);

/* What was lent was never seen by a device: the buffer at @lent is free again. */
void dma_take_back(phys_addr_t lent);

/* Whether what the device wrote comes back to the caller when a mapping ends. */
static inline bool dma_copies_back(enum dma_data_direction dir, unsigned long attrs)
{
	return (dir == DMA_BIDIRECTIONAL || dir == DMA_FROM_DEVICE) &&
	       !(attrs & DMA_ATTR_SKIP_CPU_SYNC);
}

/* premap.c: map and unmap on a device that maps only what is mapped ahead. */
dma_addr_t dma_premap_map(struct dma_dev *dev, phys_addr_t phys, size_t size,
			  enum dma_data_direction dir, unsigned long attrs);
void dma_premap_unmap(struct dma_dev *dev, dma_addr_t addr, size_t size,
		      enum dma_data_direction dir, unsigned long attrs);

/* sync.c: what the device wrote there is for the CPU; no arguments are checked. */
void dma_sync_pieces_for_cpu(struct dma_dev *dev, dma_addr_t addr, size_t size);

/* settle.c: the CPU's side of mappings that are two copies. */

/* Runs of memory that follow each other: what one part of a removal goes through. */
#define SETTLE_RUNS 64

struct dma_settling {
	struct bounce_list bounced;
	struct phys_vec run[SETTLE_RUNS]; /* memory whose cache lines must be dropped */
	size_t nr_runs;
};

struct dma_removal;

/*
 * What a device that does not see the CPU's caches needs before its memory is linked,
 * and after: nothing for other devices. What the CPU does not cache, or an attribute
 * says so of, the device sees itself. Prepare: 0; -ENOMEM with the error text.
 */
int dma_cache_prepare(struct dma_dev *dev, phys_addr_t phys, uint64_t size, unsigned long attrs);
void dma_cache_clean(struct dma_dev *dev, phys_addr_t phys, uint64_t size, unsigned long attrs);

/*
 * Look at what is linked in [iova, iova + size) before it is removed. Returns how many
 * bytes fit into @settling, at least a granule and in whole granules: what remains is
 * for a second part.
 */
uint64_t dma_settle_collect(const struct dma_removal *removal, dma_addr_t iova, uint64_t size,
			    struct dma_settling *settling);
/* The device has lost its access to a part: drop the cache lines. */
void dma_settle_caches(struct dma_dev *dev, const struct dma_settling *settling);
/* Bounce buffers go whole: widen a range that cuts one. Whether it did. */
bool dma_settle_widen(struct dma_dev *dev, dma_addr_t *first, uint64_t *length);

/* unlink.c: take memory away again. */

/* What to do with the IOVA once the device has lost its access. */
enum dma_after_unlink {
	KEEP_IOVA, /* still reserved: an unlink */
	RELEASE_IOVA, /* retired: [iova, iova + size) is given back */
};

/*
 * The retired or reserved granules [iova, iova + size), of which [iova, iova +
 * linked) should be linked and the rest should not.
 */
struct dma_removal {
	dma_addr_t iova;
	uint64_t size;
	uint64_t linked;
	enum dma_after_unlink after;
	struct dma_gather *gather; /* NULL, or one that fits the space */
	bool lazy; /* the end may be queued; with RELEASE_IOVA and without a gather */
	const char *what; /* names the call for the error text */
	bool told; /* that it was misused; or it may have holes, and that is none */
	/* For settling: whose mapping it is (NULL: nothing to settle), and the call's arguments. */
	struct dma_dev *settle;
	dma_addr_t addr; /* first byte */
	uint64_t bytes;
	enum dma_data_direction dir;
	unsigned long attrs;
};

/*
 * Remove what is linked there; what is not as it should be is misuse, and removed as
 * well. Strict, unless there is a gather: then final with its end; or it may be lazy.
 */
void dma_take_away(struct dma_space *space, const struct dma_removal *removal);

/* A misuse: an unlink of [iova, iova + size) took all of [first, last]. */
void dma_tell_cut(struct dma_space *space, const char *what, dma_addr_t iova, uint64_t size,
		  dma_addr_t first, dma_addr_t last) __cold;

/* The same for a retired granule, the long way, with nothing to settle. */
void dma_take_away_granule(struct dma_space *space, dma_addr_t iova, struct dma_gather *gather,
			   const char *what) __cold;

/* One strict request. */
void dma_invalidate(struct dma_space *space, struct dma_slot *slot, dma_addr_t first,
		    dma_addr_t last);

/* The gather to use for a call in @space, or NULL: strict. */
static inline struct dma_gather *dma_gather_for(struct dma_gather *gather,
						const struct dma_space *space)
{
	return gather && gather->space == space ? gather : NULL;
}

/* streaming.c: an entry of a list that is mapped by itself, as a mapping of its own. */

/* DMA_MAPPING_ERROR with the error text. */
dma_addr_t dma_map_entry(struct dma_dev *dev, phys_addr_t phys, size_t size,
			 enum dma_data_direction dir, unsigned long attrs);
void dma_unmap_entry(struct dma_dev *dev, dma_addr_t addr, size_t size, enum dma_data_direction dir,
		     unsigned long attrs, struct dma_gather *gather);

/*
 * What is mapped at @addr is not what an unmap of @size bytes expects: it goes whole,
 * and is misuse. How many granules are retired, and their kind; 0: nothing is unmapped.
 */
uint64_t dma_unmap_mismatch(struct dma_dev *dev, dma_addr_t addr, uint64_t size,
			    enum iova_kind *kind) __cold;

/*
 * The @pages granules at @addr, which are retired and were of @kind, go. @lazy: the call
 * has no gather, and the end may be queued if the kind and the device allow it.
 */
void dma_take_mapping(struct dma_dev *dev, dma_addr_t addr, size_t size, uint64_t pages,
		      enum iova_kind kind, enum dma_data_direction dir, unsigned long attrs,
		      struct dma_gather *gather, bool lazy);

/* sync.c: what a sync call does, once its arguments are good. */

/* Whether the sync calls can do anything for the device. */
static inline bool dma_may_need_sync(const struct dma_dev *dev)
{
	return dev->noncoherent || __atomic_load_n(&dev->bounced, __ATOMIC_RELAXED);
}

void dma_sync_range(struct dma_dev *dev, dma_addr_t addr, size_t size, enum dma_data_direction dir,
		    bool for_device);

/*
 * Above the flags of an entry that was mapped by itself: how many the list has; 0 for more
 * than fit.
 */
#define SG_NENTS_SHIFT 3

/*
 * sg_pages.c: whether all entries of a list are whole granules of plain memory, without
 * flags; then @vec has them, and all but the first @front are as if their mapping had failed.
 */
bool dma_sg_is_pages(struct scatterlist *sgl, size_t front, size_t nents, struct phys_vec *vec);

/* sg_end.c: end the mappings of the entries of a list that was mapped entry by entry. */
void dma_unmap_entries(struct dma_dev *dev, struct scatterlist *sgl, unsigned int nents,
		       enum dma_data_direction dir, unsigned long attrs, struct dma_gather *gather);

/* gather.c: @info of a gathered range. */
#define GATHER_UNMARK (1ULL << 63) /* still reserved; marks were left */
#define GATHER_BYTES (~GATHER_UNMARK)

/* Add a range, making room first if there is none. */
void dma_gather_add(struct dma_gather *gather, dma_addr_t iova, uint64_t size, bool unmark);
/* Make final what was gathered, now. */
void dma_gather_flush(struct dma_gather *gather);
/* Buffers that are settled with the gather's next invalidation. */
void dma_gather_add_bounced(struct dma_gather *gather, const struct bounce_list *bounced);

/* By what the gather's marks are known in its space; never 0. */
uint64_t dma_gather_mark(struct dma_gather *gather, struct dma_slot *slot);

/*
 * The short way to take one granule away. Retires it, if it is live with @kind and
 * the cursor is there; false: nothing has changed, take the long way. The cursor
 * comes first, because a granule that was retired must be seen through. @gen is the
 * generation word, perhaps without the observer's bit.
 */
static __always_inline bool dma_drop_granule(struct dma_dev *dev, uint64_t gen, dma_addr_t iova,
					     enum iova_kind kind, struct dma_gather *gather,
					     const char *what)
{
	struct dma_space *space = dev->space;
	struct dma_slot *slot = space->slots[base_thread];

	if (unlikely(!slot || gen & PGT_GEN_WATCH || iova - slot->cursor.base >= PGT_TABLE_SPAN ||
		     slot->cursor.gen != gen ||
		     !iova_retire_short(&slot->iova, iova >> GRANULE_SHIFT, 1, kind)))
		return false;
	counter_step(&slot->frees);
	if (unlikely(!pgt_cursor_unlink(&slot->cursor, gen, iova, space->present))) {
		dma_take_away_granule(space, iova, gather, what);
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
