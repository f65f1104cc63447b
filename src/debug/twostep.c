/* SPDX-License-Identifier: MIT */
/* Reservations: made, and given back. */
#include "debug/states.h"

typedef unsigned long long ull;

/*
 * A state that a reservation was last used through, and that still holds it, would be
 * lost. On the stack it may be what a call before left there, after the state was
 * returned by value; there nothing can be said.
 */
void debug_reserving(struct base_observer *observer, const void *caller, struct dma_dev *dev,
		     const struct dma_iova_state *state)
{
	struct debug *debug = debug_of(observer);
	uint64_t addr = state->addr, size = state->__size & ~__DMA_IOVA_BOUNCED;
	struct debug_finding finding = {
		.kind = DMA_DEBUG_STATE_LIVE,
		.dev = dev,
		.addr = addr,
		.size = size_of(size),
		.caller = caller,
	};
	struct debug_chunk *chunk;
	struct debug_range was;

	if (likely(!size || !addr))
		return;
	chunk = debug_chunk(debug, debug_slot(debug), addr >> GRANULE_SHIFT, false);
	if (!chunk)
		return;
	range_copy(&was, chunk_range(chunk, addr >> GRANULE_SHIFT));
	if (!(was.head & RANGE_LIVE) || !(was.head & RANGE_TWO_STEP) || was.addr != addr ||
	    was.size != size || was.memory != (uintptr_t)state || !memory_off_own_stack(was.memory))
		return;
	finding.origin = site_caller(was.made);
	debug_report(debug, &finding,
		     "reservation with a state that still holds %llu bytes at 0x%llx, which would "
		     "be lost; free it first, or use another state",
		     (ull)finding.size, (ull)addr);
}

/*
 * A life that tells the granule words of this reservation from those of earlier ones:
 * surely from the last one at the same address, from others as good as surely.
 */
static uint64_t next_life(uint64_t head, uint64_t now)
{
	uint64_t life = now >> 6 << RANGE_LIFE_SHIFT & RANGE_LIFE_MASK;

	if (unlikely(life == (head & RANGE_LIFE_MASK)))
		life = (life + (1ULL << RANGE_LIFE_SHIFT)) & RANGE_LIFE_MASK;
	return life;
}

void debug_reserved(struct base_observer *observer, const void *caller, struct dma_dev *dev,
		    const struct dma_iova_state *state)
{
	struct debug *debug = debug_of(observer);
	struct debug_slot *slot = debug_slot(debug);
	uint64_t now = debug_now(), pfn = state->addr >> GRANULE_SHIFT;
	struct debug_chunk *chunk = debug_chunk(debug, slot, pfn, true);
	struct debug_range *range;

	debug_event(debug, slot, DMA_DEBUG_RESERVED, state->addr, size_of(state->__size), 0, now,
		    caller);
	if (unlikely(!chunk)) {
		debug_incomplete(debug, caller, dev, "a reservation");
		return;
	}
	range = chunk_range(chunk, pfn);
	chunk_touch(chunk, pfn);
	range_begin(range, &(struct debug_range){
				   .head = ((uintptr_t)dev & POINTER_MASK) | RANGE_LIVE |
					   RANGE_TWO_STEP | next_life(load(&range->head), now),
				   .addr = state->addr,
				   .size = state->__size & ~__DMA_IOVA_BOUNCED,
				   .memory = (uintptr_t)state,
				   .made = site_word(caller, DMA_BIDIRECTIONAL, 0),
				   .made_time = now,
			   });
}

/* Freeing. */

static __cold void free_linked(const struct debug_call *call, const struct debug_range *range)
{
	uint64_t pages = range_pages(range), pfn = range->addr >> GRANULE_SHIFT;
	uint64_t first = debug_first_granule(call->debug, pfn, pages, true);
	struct debug_finding finding =
		debug_finding_of(call, range, DMA_DEBUG_FREE_LINKED, 0, size_of(range->size));
	uint32_t word = debug_granule(call->debug, first << GRANULE_SHIFT, &finding.phys);

	finding.origin = site_caller(debug_site_of(call->debug, word));
	debug_report(call->debug, &finding,
		     "free of %llu bytes at 0x%llx with memory still linked at 0x%llx, which was "
		     "unlinked; unlink first, or use dma_iova_destroy()",
		     (ull)finding.size, (ull)finding.addr, (ull)(first << GRANULE_SHIFT));
}

static uint64_t count_linked(struct debug *debug, uint64_t pfn, uint64_t pages)
{
	uint64_t end = pfn + pages, linked = 0;

	for (;; pfn++, linked++) {
		pfn = debug_first_granule(debug, pfn, end - pfn, true);
		if (pfn == UINT64_MAX)
			return linked;
	}
}

static __cold void destroy_length(const struct debug_call *call, const struct debug_range *range,
				  size_t mapped_len)
{
	uint64_t pages = range_pages(range), pfn = range->addr >> GRANULE_SHIFT;
	uint64_t hole = debug_first_granule(call->debug, pfn, pages, false);
	uint64_t linked = count_linked(call->debug, pfn, pages);
	struct debug_finding finding =
		debug_finding_of(call, range, DMA_DEBUG_DESTROY_LENGTH, 0, size_of(range->size));
	uint32_t word;

	if (linked) {
		uint64_t at = debug_first_granule(call->debug, pfn, pages, true);

		word = debug_granule(call->debug, at << GRANULE_SHIFT, &finding.phys);
		finding.origin = site_caller(debug_site_of(call->debug, word));
	}
	if (hole != UINT64_MAX && hole - pfn < linked)
		debug_report(call->debug, &finding,
			     "destroy of %llu bytes at 0x%llx with %zu bytes linked: of the %llu "
			     "granules that are linked only %llu are at the beginning; unlink the "
			     "others first",
			     (ull)finding.size, (ull)finding.addr, mapped_len, (ull)linked,
			     (ull)(hole - pfn));
	else
		debug_report(call->debug, &finding,
			     "destroy of %llu bytes at 0x%llx with %zu bytes linked, but %llu "
			     "granules are; pass how many bytes were linked",
			     (ull)finding.size, (ull)finding.addr, mapped_len, (ull)linked);
}

void debug_freeing(struct base_observer *observer, const void *caller, struct dma_dev *dev,
		   const struct dma_iova_state *state, size_t mapped_len, bool destroy,
		   enum dma_data_direction dir, unsigned long attrs)
{
	const struct debug_call call = debug_call(observer, caller, dev, state,
						  destroy ? "destroy" : "free",
						  site_word(caller, dir, attrs));
	struct debug_range *range = debug_state_range(&call, DMA_DEBUG_FREE_TWICE);
	struct debug *debug = call.debug;
	struct debug_look prefix = {.first = 0}, rest = {.first = 0};
	uint64_t pfn, pages, linked = 0, total;
	bool fits;

	if (unlikely(!range))
		return;
	total = size_of(load(&range->size));
	pfn = state->addr >> GRANULE_SHIFT;
	pages = pages_of(state->addr, total);
	if (mapped_len)
		linked = pages_of(state->addr, mapped_len < total ? mapped_len : total);
	if (linked)
		prefix = debug_look(debug, call.slot, pfn, linked);
	if (linked < pages)
		rest = debug_look(debug, call.slot, pfn + linked, pages - linked);
	fits = !look_any_linked(&rest) && (!linked || look_all_linked(&prefix)) &&
	       mapped_len <= total;
	if (unlikely(!fits && !destroy && look_any_linked(&rest)))
		free_linked(&call, range);
	if (unlikely(!fits && destroy && debug_knows(debug)))
		destroy_length(&call, range, mapped_len);
	if (linked) {
		debug_compare_sites(&call, &prefix, pfn, linked);
		debug_probe_links(&call, pfn, linked);
		debug_unlink(debug, call.slot, &prefix, pfn, linked, debug_life(range), call.site);
	}
	if (unlikely(look_any_linked(&rest)))
		debug_unlink(debug, call.slot, &rest, pfn + linked, pages - linked,
			     debug_life(range), call.site);
	range_end(range, load(&range->head), caller, call.now);
	debug_event(debug, call.slot, DMA_DEBUG_FREED, state->addr, total, 0, call.now, caller);
}
