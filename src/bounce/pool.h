/* SPDX-License-Identifier: MIT */
/* What the files of this room share: the structures of a pool. See bounce.h. */
#ifndef BOUNCE_POOL_H
#define BOUNCE_POOL_H

#include <pthread.h>

#include "bounce/bounce.h"

#define BOUNCE_SLOT_SHIFT 11
#define BOUNCE_SEGMENT_SHIFT 18
#define BOUNCE_SEGMENT_SLOTS 128u

#define BOUNCE_POOLS 64
#define BOUNCE_MAX_AREAS 256u

/* The length of a pool, in segments, must fit into its word of the registry. */
#define BOUNCE_LENGTH_BITS 24
#define BOUNCE_MAX_SEGMENTS ((1ULL << BOUNCE_LENGTH_BITS) - 1)

/* A bit a slot of a segment. */
typedef unsigned __int128 bounce_bits;

struct bounce_mapping {
	struct dma_bounce *pool;
	char *buffer;
	void *cpu;
	phys_addr_t origin;
	const void *owner;
	struct bounce_mapping *next; /* on its list */
	uint32_t size;
	uint32_t offset; /* of the buffer in its slots */
	uint32_t slots; /* read by anybody who looks for an address */
	bool listed;
	bool copy_back;
} __cacheline_aligned;

struct bounce_segment {
	uint64_t used[2]; /* its area's lock */
	uint64_t starts[2]; /* written under that lock, read without */
} __cacheline_aligned;

struct bounce_area {
	pthread_mutex_t lock;
	uint32_t words; /* of @longest that are in use */
	uint32_t hint; /* the word where a buffer was found last */
	uint64_t *longest; /* a byte a segment, eight in a word: bound of the longest free run */
	/* Counters that any thread reads. */
	uint64_t maps;
	uint64_t used; /* slots */
	uint64_t high_water;
} __cacheline_aligned;

enum bounce_state {
	BOUNCE_FREE,
	BOUNCE_CHANGING, /* being made, or taken apart */
	BOUNCE_READY,
	BOUNCE_INHERITED, /* a parent's */
};

struct dma_bounce {
	/* Constant while the pool exists. */
	uint64_t start;
	uint64_t max_segments;
	struct bounce_area *area;
	struct bounce_segment *segment;
	struct bounce_mapping *mapping; /* by slot */
	void *tables; /* all of these */
	size_t tables_size;
	unsigned int areas;
	unsigned int areas_shift;

	uint32_t state; /* enum bounce_state; changes under the registry's lock */
	bool is_default;
	bool huge; /* in huge pages: made accessible, and grows, by whole ones */
	uint64_t segments; /* accessible; changes under grow_lock */
	uint64_t step; /* how many to grow by */
	pthread_mutex_t grow_lock;
	uint64_t grown;
	uint64_t failed;
	uint64_t failed_full;
	uint64_t failed_size;
	uint64_t users; /* devices that have it */
} __cacheline_aligned;

/* What a pool is to be like: a description with its defaults filled in. */
struct bounce_plan {
	uint64_t segments;
	uint64_t max_segments;
	uint64_t last;
	unsigned int areas;
	bool is_default;
	bool huge;
};

/* How a request lies in slots. */
struct bounce_shape {
	bounce_bits allowed; /* where in a segment its first slot may be */
	uint32_t slots;
	uint32_t offset;
};

/* pool.c */

int bounce_plan(const struct dma_bounce_desc *desc, struct bounce_plan *plan);
/* The plan is of whole huge pages from now on. */
void bounce_plan_huge(struct bounce_plan *plan);
int bounce_make(const struct bounce_plan *plan, struct dma_bounce **bounce);
/* Give everything back that a pool has, but the structure. */
void bounce_unmake(struct dma_bounce *bounce);
/* Have more than @seen segments. False: it cannot be. */
bool bounce_grow(struct dma_bounce *bounce, uint64_t seen);
/* Slots in use. 0: what was done with the last buffers has been done. */
uint64_t bounce_used(const struct dma_bounce *bounce);
void bounce_add_stats(const struct dma_bounce *bounce, struct dma_bounce_stats *stats);

/* registry.c */

/* A structure to make a pool in, zeroed; NULL with the error text if all are taken. */
struct dma_bounce *bounce_claim(void);
void bounce_show(struct dma_bounce *bounce);
/* Nothing finds it any more. 0, or the error why it must stay. */
int bounce_hide(struct dma_bounce *bounce);
/* The structure is another's. */
void bounce_release(struct dma_bounce *bounce);

static inline bool bounce_is_inherited(const struct dma_bounce *bounce)
{
	return __atomic_load_n(&bounce->state, __ATOMIC_RELAXED) == BOUNCE_INHERITED;
}

/* slots.c */

/* The segments [first, end) belong to their areas from now on. */
void bounce_deal(struct dma_bounce *bounce, uint64_t first, uint64_t end);
/* Lend slots; @request gives what goes into the record. NULL: no room. */
struct bounce_mapping *bounce_take(struct dma_bounce *bounce, const struct bounce_shape *shape,
				   const struct bounce_request *request);
void bounce_give_back(struct bounce_mapping *mapping);
/* bounce_list_add_owned(), of one pool. */
size_t bounce_pool_add_owned(const struct dma_bounce *bounce, struct bounce_list *list,
			     const void *owner);
/* bounce_stands_for(), of one pool. */
bool bounce_pool_stands_for(const struct dma_bounce *bounce, uint64_t base, uint64_t last);
/* The mapping at an address inside the pool, or NULL. */
struct bounce_mapping *bounce_lent(const struct dma_bounce *bounce, phys_addr_t phys);

/* default.c */

/* In a child: there is none yet. */
void bounce_forget_defaults(void);

#endif
