/* SPDX-License-Identifier: MIT */
/* Unlinking, and what an unlink took more than it was asked to. */
#include "debug/states.h"

typedef unsigned long long ull;

static __cold void unlink_hole(const struct debug_call *call, const struct debug_range *range,
			       size_t offset, size_t size, uint64_t pfn, uint64_t pages)
{
	uint64_t at = debug_first_granule(call->debug, pfn, pages, false);
	struct debug_finding finding =
		debug_finding_of(call, range, DMA_DEBUG_UNLINK_HOLE, offset, size);
	uint32_t word;

	if (at == UINT64_MAX || !debug_knows(call->debug))
		return;
	word = debug_granule(call->debug, at << GRANULE_SHIFT, NULL);
	if (word & GRANULE_UNLINKED && !((word ^ debug_life(range)) & GRANULE_LIFE_MASK)) {
		finding.origin = site_caller(debug_site_of(call->debug, word));
		debug_report(call->debug, &finding,
			     "unlink of %zu bytes at 0x%llx: 0x%llx was unlinked before; unlink "
			     "each link once",
			     size, (ull)finding.addr, (ull)(at << GRANULE_SHIFT));
		return;
	}
	debug_report(call->debug, &finding,
		     "unlink of %zu bytes at 0x%llx: nothing was ever linked at 0x%llx; unlink "
		     "what was linked",
		     size, (ull)finding.addr, (ull)(at << GRANULE_SHIFT));
}

/* The part of [offset, offset + size) that is inside; false: none is. */
static bool clip(const struct debug_call *call, const struct debug_range *range, size_t offset,
		 size_t *size)
{
	uint64_t total = size_of(load(&range->size));
	struct debug_finding finding;

	if (likely(*size && offset < total && *size <= total - offset))
		return true;
	finding = debug_finding_of(call, range, DMA_DEBUG_UNLINK_OUTSIDE, offset, *size);
	debug_report(call->debug, &finding,
		     "unlink of %zu bytes at offset 0x%zx of a reservation of %llu bytes; only "
		     "what is inside was unlinked",
		     *size, offset, (ull)total);
	if (!*size || offset >= total)
		return false;
	*size = total - offset;
	return true;
}

void debug_unlinking(struct base_observer *observer, const void *caller, struct dma_dev *dev,
		     const struct dma_iova_state *state, size_t offset, size_t size,
		     enum dma_data_direction dir, unsigned long attrs)
{
	const struct debug_call call =
		debug_call(observer, caller, dev, state, "unlink", site_word(caller, dir, attrs));
	struct debug_range *range = debug_state_range(&call, DMA_DEBUG_STATE_UNKNOWN);
	dma_addr_t addr = state->addr + offset;
	uint64_t pfn, pages;
	struct debug_look look;

	if (unlikely(!range || !clip(&call, range, offset, &size)))
		return;
	pfn = addr >> GRANULE_SHIFT;
	pages = pages_of(addr, size);
	look = debug_look(call.debug, call.slot, pfn, pages);
	if (unlikely(!look_all_linked(&look)))
		unlink_hole(&call, range, offset, size, pfn, pages);
	debug_compare_sites(&call, &look, pfn, pages);
	debug_probe_links(&call, pfn, pages);
	debug_unlink(call.debug, call.slot, &look, pfn, pages, debug_life(range), call.site);
	debug_event_joined(call.debug, call.slot, DMA_DEBUG_UNLINKED, range->addr, addr, size, 0,
			   call.now, caller);
}

/* Told while the unlink works, when what it was asked for is no longer linked in the model. */
void debug_cut(struct base_observer *observer, const void *caller, dma_addr_t first,
	       dma_addr_t last)
{
	struct debug *debug = debug_of(observer);
	struct debug_slot *slot = debug_slot(debug);
	uint64_t pfn = first >> GRANULE_SHIFT, pages = (last >> GRANULE_SHIFT) - pfn + 1;
	struct debug_look look = debug_look(debug, slot, pfn, pages);
	struct debug_finding finding = {
		.kind = DMA_DEBUG_UNLINK_CUT,
		.addr = first,
		.size = last - first + 1,
		.caller = caller,
	};
	struct debug_range range;
	uint64_t left;
	uint32_t word;

	if (!look_any_linked(&look) || !debug_live_at(debug, first, &range))
		return;
	left = debug_first_granule(debug, pfn, pages, true);
	word = debug_granule(debug, left << GRANULE_SHIFT, &finding.phys);
	finding.origin = site_caller(debug_site_of(debug, word));
	finding.dev = (const struct dma_dev *)(uintptr_t)(range.head & POINTER_MASK);
	debug_report(debug, &finding,
		     "unlink of part of what was linked at 0x%llx-0x%llx: one entry or one unit "
		     "holds it, so all of it went; unlink the whole of each link",
		     (ull)first, (ull)last);
	debug_unlink(debug, slot, &look, pfn, pages, debug_life(&range),
		     site_word(caller, DMA_BIDIRECTIONAL, 0));
	debug_event(debug, slot, DMA_DEBUG_UNLINKED, first, finding.size, 0, debug_now(), caller);
}
