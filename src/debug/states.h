/* SPDX-License-Identifier: MIT */
/*
 * What the two-step hooks share: the call that is being looked at, the reservation that
 * its state names, and runs of its granules.
 */
#ifndef DEBUG_STATES_H
#define DEBUG_STATES_H

#include "debug/parts.h"

/* A two-step call that is being looked at. */
struct debug_call {
	struct debug *debug;
	struct debug_slot *slot;
	uint64_t now;
	const void *caller;
	const struct dma_dev *dev;
	const struct dma_iova_state *state;
	const char *what; /* in words */
	uint64_t site;
};

static __always_inline struct debug_call debug_call(struct base_observer *observer,
						    const void *caller, const struct dma_dev *dev,
						    const struct dma_iova_state *state,
						    const char *what, uint64_t site)
{
	struct debug *debug = debug_of(observer);

	return (struct debug_call){debug, debug_slot(debug), debug_now(), caller, dev, state, what,
				   site};
}

struct debug_range *debug_state_unknown(const struct debug_call *call, struct debug_range *range,
					enum dma_debug_kind kind) __cold;

/*
 * The live reservation that the state names, or NULL; then @kind is reported, unless
 * nothing can be known. One that another device reserved is reported and found.
 */
static __always_inline struct debug_range *debug_state_range(const struct debug_call *call,
							     enum dma_debug_kind kind)
{
	const struct dma_iova_state *state = call->state;
	uint64_t pfn = state->addr >> GRANULE_SHIFT;
	struct debug_chunk *chunk = debug_chunk(call->debug, call->slot, pfn, false);
	struct debug_range *range = NULL;

	if (likely(chunk)) {
		range = chunk_range(chunk, pfn);
		if (likely((load(&range->head) & ~RANGE_LIFE_MASK) ==
				   (((uintptr_t)call->dev & POINTER_MASK) | RANGE_LIVE |
				    RANGE_TWO_STEP) &&
			   load(&range->addr) == state->addr &&
			   !((load(&range->size) ^ load(&state->__size)) & ~__DMA_IOVA_BOUNCED))) {
			if (load(&range->memory) != (uintptr_t)state)
				store(&range->memory, (uintptr_t)state);
			return range;
		}
	}
	return debug_state_unknown(call, range, kind);
}

struct debug_finding debug_finding_of(const struct debug_call *call,
				      const struct debug_range *range, enum dma_debug_kind kind,
				      size_t offset, size_t size);

/* What there is in a run of granules. */
struct debug_look {
	uint32_t first; /* the first word */
	uint32_t differ; /* bits in which others differ from it */
	bool missing; /* part of it has no records, so nothing is linked there */
};

struct debug_look debug_look(struct debug *debug, struct debug_slot *slot, uint64_t pfn,
			     uint64_t pages);

static inline bool look_any_linked(const struct debug_look *look)
{
	return (look->first | look->differ) & GRANULE_LINKED;
}

static inline bool look_all_linked(const struct debug_look *look)
{
	return look->first & ~look->differ & GRANULE_LINKED && !look->missing;
}

/* The first granule of a run that is linked, or that is not; UINT64_MAX: none. */
uint64_t debug_first_granule(struct debug *debug, uint64_t pfn, uint64_t pages, bool linked);

/* DIRECTION and ATTRS of links that are taken away: as they were linked? */
void debug_compare_sites(const struct debug_call *call, const struct debug_look *look, uint64_t pfn,
			 uint64_t pages);

/* MEMORY_GONE of links that are taken away, if it is time to look. */
void debug_probe_links(const struct debug_call *call, uint64_t pfn, uint64_t pages);

/* Each granule that is linked becomes one that @site unlinked. */
void debug_unlink(struct debug *debug, struct debug_slot *slot, const struct debug_look *look,
		  uint64_t pfn, uint64_t pages, uint32_t life, uint64_t site);

#endif
