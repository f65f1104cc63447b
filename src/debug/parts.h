/* SPDX-License-Identifier: MIT */
/* What the files of the room share. */
#ifndef DEBUG_PARTS_H
#define DEBUG_PARTS_H

#include <pthread.h>
#include <time.h>

#include <twostep/device.h>
#include <twostep/iova.h>
#include <twostep/scatterlist.h>

#include "base/base.h"
#include "debug/debug.h"
#include "memory/memory.h"

#define GRANULE_SHIFT 12
#define GRANULE (1ULL << GRANULE_SHIFT)
#define GRANULE_MASK (GRANULE - 1)

#define load(ptr) __atomic_load_n(ptr, __ATOMIC_RELAXED)
#define store(ptr, value) __atomic_store_n(ptr, value, __ATOMIC_RELAXED)

/*
 * Two neighbouring words of a record. On x86 with one instruction: an unmap ends with a
 * locked one, which waits for each store before it. Readers take it for two stores.
 */
#if defined(__x86_64__) && !defined(BASE_TSAN)
typedef uint64_t debug_pair __attribute__((__vector_size__(16), __aligned__(8), __may_alias__));

static __always_inline void store_pair(uint64_t *at, uint64_t first, uint64_t second)
{
	*(debug_pair *)at = (debug_pair){first, second};
}

static __always_inline void store_pair_release(uint64_t *at, uint64_t first, uint64_t second)
{
	/* There stores are never seen out of order: this binds the compiler alone. */
	__atomic_thread_fence(__ATOMIC_RELEASE);
	store_pair(at, first, second);
}
#else
static __always_inline void store_pair(uint64_t *at, uint64_t first, uint64_t second)
{
	store(&at[0], first);
	store(&at[1], second);
}

static __always_inline void store_pair_release(uint64_t *at, uint64_t first, uint64_t second)
{
	__atomic_store_n(&at[0], first, __ATOMIC_RELEASE);
	__atomic_store_n(&at[1], second, __ATOMIC_RELEASE);
}
#endif

/* Code addresses and devices have 48 bits; what is above holds something else. */
#define POINTER_MASK ((1ULL << 48) - 1)

/*
 * Direction and attributes in 15 bits. They stand above the caller in one word, which
 * is what a site is.
 */
#define KEY_SHIFT 48
#define KEY_DIR 3ULL
#define KEY_ATTRS(attrs) (((uint64_t)(attrs) >> 1 & 0x1fff) << 2)
#define KEY_COMPARED_ATTRS                                                                 \
	KEY_ATTRS(DMA_ATTR_NO_KERNEL_MAPPING | DMA_ATTR_FORCE_CONTIGUOUS | DMA_ATTR_MMIO | \
		  DMA_ATTR_REQUIRE_COHERENT | DMA_ATTR_PRIVILEGED | DMA_ATTR_CC_SHARED)
#define KEY_COMPARED (KEY_DIR | KEY_COMPARED_ATTRS)

static __always_inline uint64_t site_word(const void *caller, enum dma_data_direction dir,
					  unsigned long attrs)
{
	return ((uint64_t)(uintptr_t)caller & POINTER_MASK) | ((dir & KEY_DIR) | KEY_ATTRS(attrs))
								      << KEY_SHIFT;
}

static inline const void *site_caller(uint64_t word)
{
	return (const void *)(uintptr_t)(word & POINTER_MASK);
}

static inline enum dma_data_direction site_dir(uint64_t word)
{
	return (enum dma_data_direction)(word >> KEY_SHIFT & KEY_DIR);
}

static inline unsigned long site_attrs(uint64_t word)
{
	return (unsigned long)(word >> (KEY_SHIFT + 2) & 0x1fff) << 1;
}

/* What of direction and attributes differs and may not. */
static __always_inline uint64_t site_differs(uint64_t word, uint64_t other)
{
	return (word ^ other) >> KEY_SHIFT & KEY_COMPARED;
}

/* In `head`, above the device. */
#define RANGE_LIVE (1ULL << 63)
#define RANGE_STREAMING (1ULL << 62)
#define RANGE_TWO_STEP (1ULL << 61)
#define RANGE_ALLOCATED (1ULL << 60)
#define RANGE_SG (1ULL << 59) /* with RANGE_STREAMING: of a list; its memory is the first piece */
/* Of what was reserved a number for its life; of what was allocated an enum base_block. */
#define RANGE_LIFE_SHIFT 48
#define RANGE_LIFE_MASK (0x7ffULL << RANGE_LIFE_SHIFT)

/* In `ended` of a live mapping. */
#define RANGE_CHECKED 1ULL
/* Above it, of a list: its entries. */
#define RANGE_NENTS_SHIFT 1

struct debug_range {
	uint64_t head;
	uint64_t addr;
	uint64_t size; /* of a reservation as in its state, but for __DMA_IOVA_BOUNCED */
	uint64_t memory; /* physical address; of a reservation where its state was last */
	uint64_t made; /* site */
	uint64_t made_time; /* ticks */
	uint64_t ended; /* site */
	uint64_t ended_time;
} __cacheline_aligned;

/* A record begins: @made is what it will be, but for `ended_time`. */
static __always_inline void range_begin(struct debug_range *range, const struct debug_range *made)
{
	store_pair(&range->addr, made->addr, made->size);
	store_pair(&range->memory, made->memory, made->made);
	store_pair(&range->made_time, made->made_time, made->ended);
	__atomic_store_n(&range->head, made->head, __ATOMIC_RELEASE);
}

static __always_inline void range_end(struct debug_range *range, uint64_t head, const void *caller,
				      uint64_t now)
{
	store_pair(&range->ended, (uint64_t)(uintptr_t)caller & POINTER_MASK, now);
	__atomic_store_n(&range->head, head & ~RANGE_LIVE, __ATOMIC_RELEASE);
}

#define GRANULE_LINKED (1U << 31)
#define GRANULE_SYNCED (1U << 30)
#define GRANULE_UNLINKED (1U << 29)
#define GRANULE_TOLD (1U << 28) /* an access before the sync has been reported */
#define GRANULE_LIFE_SHIFT 16
#define GRANULE_LIFE_MASK (0x7ffU << GRANULE_LIFE_SHIFT)
#define GRANULE_SITE 0xffffU

#define CHUNK_BITS 12
#define CHUNK_GRANULES (1U << CHUNK_BITS)

struct debug_chunk {
	uint64_t index; /* pfn >> CHUNK_BITS */
	struct debug_chunk *next; /* in its bucket */
	uint64_t touched; /* bit i: some of range[64 * i] to [64 * i + 63] has been written */
	struct debug_range range[CHUNK_GRANULES];
	uint32_t granule[CHUNK_GRANULES];
	uint64_t phys[CHUNK_GRANULES]; /* of linked granules */
};

#define DEBUG_EVENTS 1024

struct debug_event {
	uint64_t addr;
	uint64_t size;
	uint64_t phys;
	uint64_t time;
	uint64_t what; /* caller, and the action above it */
};

#define DEBUG_MEMOS 8

/* What a link must fit to be one more of those before it; see link.c. */
struct debug_join {
	uint64_t head; /* of the slot: their event is its last */
	struct debug_event *event; /* NULL: none does */
	dma_addr_t limit; /* end of what may join */
	const void *caller;
	const struct dma_dev *dev;
	struct debug_range *range;
	uint64_t range_head;
	struct debug_chunk *chunk;
	enum dma_data_direction dir;
	uint32_t word;
};

struct debug_slot {
	struct {
		uint64_t index; /* UINT64_MAX: none */
		struct debug_chunk *chunk;
	} memo[DEBUG_MEMOS];
	uint64_t probed; /* when memory was last looked for, in ticks */
	uint64_t head; /* events ever */
	uint64_t last_base; /* reservation of the last event, a link or an unlink, */
	uint64_t last_head; /* if `head` is still this */
	struct debug_join join;
	bool shared;
	struct debug_event event[DEBUG_EVENTS] __cacheline_aligned;
};

struct debug_device {
	struct debug_device *next; /* newest first */
	const struct dma_dev *dev;
	uint32_t number;
	bool coherent;
	bool gone;
	char uri[];
};

struct debug_gather {
	struct debug_gather *next;
	const struct dma_gather *gather;
	const void *caller;
};

struct debug_direct;
struct debug_lines;

#define CHUNK_BUCKETS (1U << 14)
#define DEBUG_SITES (1U << 16)
#define DIRECT_BUCKETS (1U << 12)

struct debug {
	struct base_observer observer;
	bool translates;
	bool incomplete;
	bool watches_lines; /* some device is not coherent; stays, as records of lines do */
	uint64_t start_ticks;
	uint64_t start_ns;

	pthread_mutex_t lock;
	struct debug_device *devices;
	struct debug_gather *gathers;
	struct debug_gather *spare_gathers; /* ended ones, to be used again */
	struct debug_lines *lines;

	pthread_mutex_t direct_lock;
	struct debug_direct *direct[DIRECT_BUCKETS];
	struct debug_direct *dead_oldest, *dead_newest;
	uint64_t nr_dead;
	uint64_t longest; /* granules of the longest mapping ever */

	pthread_mutex_t shared_lock;
	struct debug_slot shared;
	struct debug_slot *slots[BASE_MAX_THREADS]; /* [0] stays NULL */
	uint64_t site[DEBUG_SITES]; /* by number; 0: free */
	struct debug_chunk *chunks[CHUNK_BUCKETS];
};

static inline struct debug *debug_of(struct base_observer *observer)
{
	return container_of(observer, struct debug, observer);
}

static inline bool debug_knows(const struct debug *debug)
{
	return !load(&debug->incomplete);
}

/* Time in ticks; turned into nanoseconds for reports only. */
static __always_inline uint64_t debug_now(void)
{
#if defined(__x86_64__)
	return __builtin_ia32_rdtsc();
#else
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
#endif
}

static __always_inline uint64_t pages_of(uint64_t addr, uint64_t size)
{
	return ((addr & GRANULE_MASK) + size + GRANULE_MASK) >> GRANULE_SHIFT;
}

/* Bytes of a range, or of a state. */
static __always_inline uint64_t size_of(uint64_t size)
{
	return size & ~__DMA_IOVA_FLAGS;
}

static inline uint64_t range_pages(const struct debug_range *range)
{
	return pages_of(range->addr, size_of(range->size));
}

/* The life of a reservation, as its granule words have it. */
static __always_inline uint32_t debug_life(const struct debug_range *range)
{
	return (uint32_t)((load(&range->head) & RANGE_LIFE_MASK) >> RANGE_LIFE_SHIFT)
	       << GRANULE_LIFE_SHIFT;
}

/* model.c */

struct debug_slot *debug_slot_find(struct debug *debug) __cold;

static __always_inline struct debug_slot *debug_slot(struct debug *debug)
{
	struct debug_slot *slot = load(&debug->slots[base_thread]);

	return likely(slot) ? slot : debug_slot_find(debug);
}

/* The chunk of @pfn; NULL if there is none. */
struct debug_chunk *debug_chunk_find(struct debug *debug, uint64_t pfn);
/* The same, remembered in @slot; made if it is not there and @make. NULL: none, or no memory. */
struct debug_chunk *debug_chunk_slow(struct debug *debug, struct debug_slot *slot, uint64_t pfn,
				     bool make);

static __always_inline struct debug_chunk *debug_chunk(struct debug *debug, struct debug_slot *slot,
						       uint64_t pfn, bool make)
{
	uint64_t index = pfn >> CHUNK_BITS;

	if (likely(slot->memo[index % DEBUG_MEMOS].index == index))
		return slot->memo[index % DEBUG_MEMOS].chunk;
	return debug_chunk_slow(debug, slot, pfn, make);
}

static __always_inline struct debug_range *chunk_range(struct debug_chunk *chunk, uint64_t pfn)
{
	return &chunk->range[pfn % CHUNK_GRANULES];
}

/*
 * The record at @pfn, if the thread remembers its chunk; else NULL. Slot `shared`, and
 * slots of spaces that do not translate, remember none.
 */
static __always_inline struct debug_range *debug_range_near(const struct debug_slot *slot,
							    uint64_t pfn)
{
	uint64_t index = pfn >> CHUNK_BITS;

	if (unlikely(slot->memo[index % DEBUG_MEMOS].index != index))
		return NULL;
	return chunk_range(slot->memo[index % DEBUG_MEMOS].chunk, pfn);
}

/* Before the record at @pfn is first written. */
static __always_inline void chunk_touch(struct debug_chunk *chunk, uint64_t pfn)
{
	uint64_t bit = 1ULL << (pfn % CHUNK_GRANULES / 64);

	if (unlikely(!(load(&chunk->touched) & bit)))
		__atomic_fetch_or(&chunk->touched, bit, __ATOMIC_RELAXED);
}

void range_copy(struct debug_range *copy, const struct debug_range *range);

/* The number of a site, 0 if there are too many. */
uint32_t debug_site(struct debug *debug, uint64_t word);
/* The site of a granule word; 0 if unknown. */
uint64_t debug_site_of(const struct debug *debug, uint32_t granule);

/* The live range whose granules contain @addr. */
bool debug_live_at(struct debug *debug, dma_addr_t addr, struct debug_range *copy);
/* The range that ended last of those whose granules contained @addr. */
bool debug_dead_at(struct debug *debug, dma_addr_t addr, struct debug_range *copy);
/* The granule word of @addr; its memory in @phys, which may be NULL. */
uint32_t debug_granule(struct debug *debug, dma_addr_t addr, phys_addr_t *phys);

/* Visit every range of chunks that is live: a copy that was true during the call. */
void debug_for_each_range(struct debug *debug,
			  void (*visit)(struct debug *debug, const struct debug_range *range,
					void *arg),
			  void *arg);
/* Whether @copy is still what it was. */
bool debug_still_live(struct debug *debug, const struct debug_range *copy);

/* Memory for a record was short: say so, once. */
void debug_incomplete(struct debug *debug, const void *caller, const struct dma_dev *dev,
		      const char *record) __cold;

/* direct.c: the same for spaces that do not translate. */

bool direct_add(struct debug *debug, const struct debug_range *range);
/* The best match of those that are mapped at @range's address, taken out. False: none. */
bool direct_take(struct debug *debug, const struct debug_range *range, struct debug_range *taken);
void direct_checked(struct debug *debug, const struct dma_dev *dev, dma_addr_t addr);
bool direct_live_at(struct debug *debug, dma_addr_t addr, const struct debug_range *like,
		    struct debug_range *copy);
bool direct_dead_at(struct debug *debug, dma_addr_t addr, struct debug_range *copy);
/* As debug_for_each_range(): live ones in portions, with the lock released in between. */
void direct_for_each(struct debug *debug,
		     void (*visit)(struct debug *debug, const struct debug_range *range, void *arg),
		     void *arg);
bool direct_still_live(struct debug *debug, const struct debug_range *copy);
void direct_exit(struct debug *debug);

/* history.c */

void debug_event_shared(struct debug *debug, enum dma_debug_action action, dma_addr_t addr,
			uint64_t size, phys_addr_t phys, uint64_t now, const void *caller) __cold;

static __always_inline void slot_event(struct debug_slot *slot, enum dma_debug_action action,
				       dma_addr_t addr, uint64_t size, phys_addr_t phys,
				       uint64_t now, const void *caller)
{
	uint64_t head = slot->head;
	struct debug_event *event = &slot->event[head % DEBUG_EVENTS];

	/* Release: who reads a word of this event must find `head` to have come this far. */
	store_pair_release(&event->addr, addr, size);
	store_pair_release(&event->phys, phys, now);
	__atomic_store_n(&event->what,
			 ((uint64_t)(uintptr_t)caller & POINTER_MASK) | (uint64_t)action
										<< KEY_SHIFT,
			 __ATOMIC_RELEASE);
	__atomic_store_n(&slot->head, head + 1, __ATOMIC_RELEASE);
}

/* In the ring of the thread's own slot. */
static __always_inline void debug_event_own(struct debug_slot *slot, enum dma_debug_action action,
					    dma_addr_t addr, uint64_t size, phys_addr_t phys,
					    uint64_t now, const void *caller)
{
	slot_event(slot, action, addr, size, phys, now, caller);
}

static __always_inline void debug_event(struct debug *debug, struct debug_slot *slot,
					enum dma_debug_action action, dma_addr_t addr,
					uint64_t size, phys_addr_t phys, uint64_t now,
					const void *caller)
{
	if (unlikely(slot->shared)) {
		debug_event_shared(debug, action, addr, size, phys, now, caller);
		return;
	}
	debug_event_own(slot, action, addr, size, phys, now, caller);
}

/* Links and unlinks of one reservation that follow on each other make one event. */
static __always_inline void debug_event_joined(struct debug *debug, struct debug_slot *slot,
					       enum dma_debug_action action, uint64_t base,
					       dma_addr_t addr, uint64_t size, phys_addr_t phys,
					       uint64_t now, const void *caller)
{
	struct debug_event *last;

	if (unlikely(slot->shared)) {
		debug_event_shared(debug, action, addr, size, phys, now, caller);
		return;
	}
	last = &slot->event[(slot->head - 1) % DEBUG_EVENTS];
	if (likely(slot->last_base == base && slot->last_head == slot->head &&
		   last->addr + last->size == addr &&
		   last->what == (((uint64_t)(uintptr_t)caller & POINTER_MASK) |
				  (uint64_t)action << KEY_SHIFT))) {
		__atomic_store_n(&last->size, last->size + size, __ATOMIC_RELEASE);
		return;
	}
	debug_event_own(slot, action, addr, size, phys, now, caller);
	slot->last_base = base;
	slot->last_head = slot->head;
}

/* What happened in [addr, addr + size), oldest first; returns how many of @max. */
size_t debug_history(struct debug *debug, dma_addr_t addr, uint64_t size,
		     struct dma_debug_event *events, size_t max);

/* Two points through which ticks become nanoseconds. */
struct debug_clock {
	uint64_t ticks, ns; /* the later point: now */
	double ns_a_tick;
};

void debug_clock_read(const struct debug *debug, struct debug_clock *clock);
uint64_t debug_clock_ns(const struct debug_clock *clock, uint64_t ticks);
uint64_t debug_monotonic_ns(void);

/* report.c */

struct debug_finding {
	enum dma_debug_kind kind;
	const struct dma_dev *dev; /* or NULL: */
	uint32_t number; /* of the device */
	dma_addr_t addr;
	uint64_t size;
	phys_addr_t phys;
	uint64_t time_ns; /* 0: now */
	const void *caller;
	const void *origin;
	bool brief; /* without history, which costs a look at every ring */
};

void debug_report(struct debug *debug, const struct debug_finding *finding, const char *format, ...)
	__attribute__((__cold__, __format__(__printf__, 3, 4)));

/* print.c: dma_debug_print(), with a line more behind it unless @note is NULL. */
void debug_print(const struct dma_debug_report *report, const char *note);

/* Once a process: what must be done over fork(). */
int debug_report_init(void);

/* names.c */

const char *debug_dir_name(enum dma_data_direction dir);
/* Attributes as words into @buf, which is returned. */
const char *debug_attrs_text(unsigned long attrs, char *buf, size_t size);
#define ATTRS_TEXT 256

/* debug.c */

/* A copy of the URI of @dev, or of device @number if that is NULL. */
void debug_device_uri(struct debug *debug, const struct dma_dev *dev, uint32_t number, char *uri,
		      size_t size);
bool debug_is_coherent(struct debug *debug, const struct dma_dev *dev);

/* memory.c */

/*
 * Where memory of any kind may be mapped by this thread without a look at it: between
 * two read-only segments of programs, and apart from the thread's stack.
 */
struct memory_good {
	uint64_t first;
	uint64_t end;
	uint64_t room; /* so far behind `first` a granule may begin */
	uint64_t generation; /* 0: nowhere */
};

extern thread_local_ie struct memory_good memory_good;
/* Advances with the list of segments, and where memory was good and more is to be looked at. */
extern uint64_t memory_text_generation;

static __always_inline bool memory_is_good(phys_addr_t first, phys_addr_t end)
{
	return first >= memory_good.first && end <= memory_good.end && first < end &&
	       memory_good.generation == load(&memory_text_generation);
}

/* The same for a granule. */
static __always_inline bool memory_granule_is_good(phys_addr_t phys)
{
	return phys - memory_good.first <= memory_good.room &&
	       memory_good.generation == load(&memory_text_generation);
}

/* Ticks between two looks whether memory is there: a few microseconds. */
#define PROBE_INTERVAL 10000

static __always_inline bool memory_probe_due(const struct debug_slot *slot, uint64_t now)
{
	return now - load(&slot->probed) > PROBE_INTERVAL;
}

/* A mapping or a piece of a link, as the checks of memory see it. */
struct debug_piece {
	const void *caller;
	const struct dma_dev *dev;
	dma_addr_t addr;
	phys_addr_t phys;
	uint64_t size;
	enum dma_data_direction dir;
	unsigned long attrs;
	bool link;
};

/* Stack, text, MMIO; @told has the kinds as bits that need not be reported again. */
void memory_check_kind(struct debug *debug, const struct debug_piece *piece, uint64_t *told) __cold;
/* Whether the memory is there, if it is time to look; MAP_INVALID if not. */
void memory_check_there(struct debug *debug, struct debug_slot *slot, uint64_t now,
			const struct debug_piece *piece);
/* Whether memory that was mapped has gone: a look at once. */
bool memory_is_gone(phys_addr_t phys, uint64_t size);
bool memory_on_own_stack(uint64_t addr, uint64_t size);
/* Whether it surely is not: false also on a stack that is not known. */
bool memory_off_own_stack(uint64_t addr);
void memory_text_refresh(void);
/* Whatever threads remember to be good is looked at again. */
void memory_forget_good(void);
void memory_text_fork_child(void);

/* cacheline.c; @told as above. */

void lines_add(struct debug *debug, const struct debug_piece *piece, uint64_t *told);
void lines_remove(struct debug *debug, dma_addr_t addr, phys_addr_t phys, uint64_t size);
void lines_exit(struct debug *debug);

/* The hooks. */

/* streaming.c */
void debug_mapped(struct base_observer *observer, const void *caller, struct dma_dev *dev,
		  dma_addr_t addr, phys_addr_t phys, size_t size, enum dma_data_direction dir,
		  unsigned long attrs);
void debug_unmapping(struct base_observer *observer, const void *caller, struct dma_dev *dev,
		     dma_addr_t addr, size_t size, enum dma_data_direction dir,
		     unsigned long attrs);
void debug_checked(struct base_observer *observer, struct dma_dev *dev, dma_addr_t addr);
void debug_syncing(struct base_observer *observer, const void *caller, struct dma_dev *dev,
		   dma_addr_t addr, size_t size, enum dma_data_direction dir, bool for_device);

/* blocks.c */
void debug_allocated(struct base_observer *observer, const void *caller, struct dma_dev *dev,
		     dma_addr_t addr, phys_addr_t phys, size_t size, enum base_block kind,
		     enum dma_data_direction dir, unsigned long attrs);
void debug_deallocating(struct base_observer *observer, const void *caller, struct dma_dev *dev,
			dma_addr_t addr, dma_addr_t freed, size_t size, enum base_block kind,
			enum dma_data_direction dir, unsigned long attrs);
/* The calls of a kind, for sentences. */
const char *debug_alloc_name(uint64_t head);
const char *debug_free_name(uint64_t head);

/* What streaming.c and sg.c share. */

/* One unmap: what was asked, as a record would have it. */
struct debug_unmap {
	struct debug *debug;
	struct debug_slot *slot;
	const void *caller;
	struct dma_dev *dev;
	struct debug_range asked;
	unsigned int nents; /* of a list; 0: do not compare */
};

/* Compare with the record, and end that. Whether something has been unmapped. */
bool debug_unmap_long(struct debug_unmap *unmap, struct debug_range *range) __cold;
/* @known: it has a record, by which those of its cache lines are found again. */
void debug_look_at_memory(struct debug *debug, struct debug_slot *slot, uint64_t now,
			  const struct debug_piece *piece, bool known, uint64_t *told) __cold;
/* The mapping that is synced, in @range, if that is known; the rest has been reported. */
bool debug_sync(struct debug *debug, struct debug_finding *finding, enum dma_data_direction dir,
		bool for_device, struct debug_range *range);

/* sg.c */
void debug_mapped_sg(struct base_observer *observer, const void *caller, struct dma_dev *dev,
		     dma_addr_t addr, uint64_t size, const struct scatterlist *sgl, unsigned int nr,
		     unsigned int nents, enum dma_data_direction dir, unsigned long attrs);
void debug_unmapping_sg(struct base_observer *observer, const void *caller, struct dma_dev *dev,
			dma_addr_t addr, uint64_t size, unsigned int nents,
			enum dma_data_direction dir, unsigned long attrs);
void debug_syncing_sg(struct base_observer *observer, const void *caller, struct dma_dev *dev,
		      dma_addr_t addr, uint64_t size, unsigned int nents,
		      enum dma_data_direction dir, bool for_device);
void debug_sg_exceeds(struct base_observer *observer, const void *caller, struct dma_dev *dev,
		      const struct scatterlist *segment, unsigned int max_seg_size,
		      unsigned long boundary);

/* twostep.c */
void debug_reserving(struct base_observer *observer, const void *caller, struct dma_dev *dev,
		     const struct dma_iova_state *state);
void debug_reserved(struct base_observer *observer, const void *caller, struct dma_dev *dev,
		    const struct dma_iova_state *state);
void debug_freeing(struct base_observer *observer, const void *caller, struct dma_dev *dev,
		   const struct dma_iova_state *state, size_t mapped_len, bool destroy,
		   enum dma_data_direction dir, unsigned long attrs);

/* link.c */
void debug_linked(struct base_observer *observer, const void *caller, struct dma_dev *dev,
		  const struct dma_iova_state *state, size_t offset, const struct phys_vec *vec,
		  size_t nr_vecs, enum dma_data_direction dir, unsigned long attrs);
void debug_linked_page(struct base_observer *observer, const void *caller, struct dma_dev *dev,
		       const struct dma_iova_state *state, size_t offset, phys_addr_t phys,
		       enum dma_data_direction dir);
void debug_link_failed(struct base_observer *observer, const void *caller, struct dma_dev *dev,
		       const struct dma_iova_state *state, size_t offset, phys_addr_t phys,
		       size_t size, enum dma_data_direction dir, unsigned long attrs, int err);
void debug_synced(struct base_observer *observer, const void *caller, struct dma_dev *dev,
		  const struct dma_iova_state *state, size_t offset, size_t size);

/* unlink.c */
void debug_unlinking(struct base_observer *observer, const void *caller, struct dma_dev *dev,
		     const struct dma_iova_state *state, size_t offset, size_t size,
		     enum dma_data_direction dir, unsigned long attrs);
void debug_cut(struct base_observer *observer, const void *caller, dma_addr_t first,
	       dma_addr_t last);

/* gather.c */
void debug_gather_begun(struct base_observer *observer, const void *caller,
			const struct dma_gather *gather);
void debug_gather_ended(struct base_observer *observer, const struct dma_gather *gather);
/* Report those that are open; returns how many. */
int debug_gathers_open(struct debug *debug);

/* device.c */
void debug_accessed(struct base_observer *observer, uint32_t device, dma_addr_t addr, bool write);
void debug_memory_gone(struct base_observer *observer, uint32_t device, dma_addr_t addr,
		       phys_addr_t phys, bool write);
void debug_faulted(struct base_observer *observer, const struct dma_fault *fault);
void debug_bounce_failed(struct base_observer *observer, const void *caller, struct dma_dev *dev,
			 phys_addr_t phys, size_t size);

/* check.c */
void debug_closing(struct base_observer *observer);

#endif
