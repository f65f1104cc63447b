/* SPDX-License-Identifier: MIT */
/*
 * Scatter-gather lists. A list has one record for each range of DMA addresses that it
 * got, with the number of its entries.
 */
#include "debug/parts.h"

typedef unsigned long long ull;

void debug_mapped_sg(struct base_observer *observer, const void *caller, struct dma_dev *dev,
		     dma_addr_t addr, uint64_t size, const struct scatterlist *sgl, unsigned int nr,
		     unsigned int nents, enum dma_data_direction dir, unsigned long attrs)
{
	struct debug *debug = debug_of(observer);
	struct debug_slot *slot = debug_slot(debug);
	const struct debug_range made = {
		.head = ((uintptr_t)dev & POINTER_MASK) | RANGE_LIVE | RANGE_STREAMING | RANGE_SG,
		.addr = addr,
		.size = size,
		.memory = sgl->paddr,
		.made = site_word(caller, dir, attrs),
		.made_time = debug_now(),
		.ended = (uint64_t)nents << RANGE_NENTS_SHIFT | RANGE_CHECKED,
	};
	uint64_t pfn = addr >> GRANULE_SHIFT, told = 0;
	struct debug_chunk *chunk = NULL;
	bool known;

	if (debug->translates)
		chunk = debug_chunk(debug, slot, pfn, true);
	if (chunk) {
		chunk_touch(chunk, pfn);
		range_begin(chunk_range(chunk, pfn), &made);
	}
	known = chunk || (!debug->translates && direct_add(debug, &made));
	debug_event(debug, slot, DMA_DEBUG_MAPPED, addr, size, sgl->paddr, made.made_time, caller);
	if (!known)
		debug_incomplete(debug, caller, dev, "a list");
	for (unsigned int i = 0; i < nr; i++) {
		const struct debug_piece piece = {caller,	 dev, addr,  sgl[i].paddr,
						  sgl[i].length, dir, attrs, false};

		debug_look_at_memory(debug, slot, made.made_time, &piece, known, &told);
	}
}

void debug_unmapping_sg(struct base_observer *observer, const void *caller, struct dma_dev *dev,
			dma_addr_t addr, uint64_t size, unsigned int nents,
			enum dma_data_direction dir, unsigned long attrs)
{
	struct debug *debug = debug_of(observer);
	uint64_t now = debug_now(), pfn = addr >> GRANULE_SHIFT;
	struct debug_unmap unmap = {
		.debug = debug,
		.slot = debug_slot(debug),
		.caller = caller,
		.dev = dev,
		.asked = {.head = ((uintptr_t)dev & POINTER_MASK) | RANGE_LIVE | RANGE_STREAMING |
				  RANGE_SG,
			  .addr = addr,
			  .size = size,
			  .made = site_word(caller, dir, attrs),
			  .ended = (uint64_t)(uintptr_t)caller & POINTER_MASK,
			  .ended_time = now},
		.nents = nents,
	};
	struct debug_chunk *chunk = NULL;

	if (debug->translates)
		chunk = debug_chunk(debug, unmap.slot, pfn, false);
	if (debug_unmap_long(&unmap, chunk ? chunk_range(chunk, pfn) : NULL))
		debug_event(debug, unmap.slot, DMA_DEBUG_UNMAPPED, addr, size, 0, now, caller);
}

void debug_syncing_sg(struct base_observer *observer, const void *caller, struct dma_dev *dev,
		      dma_addr_t addr, uint64_t size, unsigned int nents,
		      enum dma_data_direction dir, bool for_device)
{
	struct debug_finding finding = {.dev = dev, .addr = addr, .size = size, .caller = caller};
	struct debug *debug = debug_of(observer);
	struct debug_range range;
	ull mapped;

	if (!debug_sync(debug, &finding, dir, for_device, &range) || !(range.head & RANGE_SG))
		return;
	mapped = range.ended >> RANGE_NENTS_SHIFT;
	if (!nents || nents == mapped)
		return;
	finding.kind = DMA_DEBUG_SG_SYNC_ENTRIES;
	debug_report(debug, &finding,
		     "sync of %u entries of the list at 0x%llx, which was mapped with %llu; pass "
		     "the number that was mapped",
		     nents, (ull)addr, mapped);
}

void debug_sg_exceeds(struct base_observer *observer, const void *caller, struct dma_dev *dev,
		      const struct scatterlist *segment, unsigned int max_seg_size,
		      unsigned long boundary)
{
	struct debug *debug = debug_of(observer);
	ull addr = segment->dma_address, size = segment->dma_length;
	struct debug_finding finding = {
		.dev = dev,
		.addr = addr,
		.size = size,
		.caller = caller,
		.brief = true,
	};

	if (size > max_seg_size) {
		finding.kind = DMA_DEBUG_SG_TOO_LONG;
		debug_report(debug, &finding,
			     "a segment of %llu bytes at 0x%llx, and the device takes %u at most; "
			     "cut the entry, or say what it takes with dma_set_max_seg_size()",
			     size, addr, max_seg_size);
	}
	if ((addr ^ (addr + size - 1)) & ~boundary) {
		finding.kind = DMA_DEBUG_SG_BOUNDARY;
		debug_report(debug, &finding,
			     "a segment of %llu bytes at 0x%llx crosses the segment boundary 0x%lx "
			     "of the device; cut the entry, or say what it can with "
			     "dma_set_seg_boundary()",
			     size, addr, boundary);
	}
}
