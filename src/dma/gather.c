/* SPDX-License-Identifier: MIT */
/*
 * Many unlinks, one invalidation. A gathered range has no entries any more, but
 * devices may still have it in their IOTLBs, so its IOVA must not be handed out
 * and nothing may be linked there: ranges that stay reserved carry marks in the
 * page table, which make a link there invalidate first (link.c).
 */
#include "dma/dma.h"

static inline void tell_begun(struct dma_dev *dev, const struct dma_gather *gather)
{
	struct base_observer *observer = dma_observer(dev->be);

	if (observer)
		observer->ops->gather_begun(observer, dma_caller, gather);
}

void dma_gather_begin(struct dma_dev *dev, struct dma_gather *gather)
{
	DMA_CALLED();
	gather->space = dev && dev->be->translates ? dev->space : NULL;
	gather->free_tables = NULL;
	gather->bounced = NULL;
	gather->count = 0;
	gather->mark = 0;
	if (gather->space)
		tell_begun(dev, gather);
}

/* Thread number and a count of its own: unique in the space for a thousand million gathers. */
uint64_t dma_gather_mark(struct dma_gather *gather, struct dma_slot *slot)
{
	uint64_t count;

	if (gather->mark)
		return gather->mark;
	if (slot->shared)
		count = __atomic_fetch_add(&slot->gathers, 1, __ATOMIC_RELAXED);
	else
		count = slot->gathers++;
	gather->mark = ((uint64_t)slot->number << 30 | (count & ((1U << 30) - 1))) + 1;
	return gather->mark;
}

void dma_gather_flush(struct dma_gather *gather)
{
	struct backend_range ranges[DMA_GATHER_RANGES];
	struct dma_space *space = gather->space;
	struct dma_slot *slot = dma_slot(space);
	struct backend *be = space->be;
	size_t nr = 0;

	for (size_t i = 0; i < gather->count; i++) {
		dma_addr_t first = gather->range[i].addr;
		dma_addr_t last = first + (gather->range[i].info & GATHER_BYTES) - 1;

		if (nr && ranges[nr - 1].last + 1 == first)
			ranges[nr - 1].last = last;
		else if (nr && last + 1 == ranges[nr - 1].first)
			ranges[nr - 1].first = first;
		else
			ranges[nr++] = (struct backend_range){first, last};
	}
	be->ops->invalidate(be, ranges, nr);
	slot_count(slot, &slot->invalidations, 1);
	if (unlikely(gather->free_tables))
		be->ops->free_tables(be, gather->free_tables);
	gather->free_tables = NULL;
	if (unlikely(gather->bounced)) {
		struct bounce_list bounced = {gather->bounced};

		bounce_list_finish(&bounced);
		gather->bounced = NULL;
	}
	for (size_t i = 0; i < gather->count; i++) {
		dma_addr_t first = gather->range[i].addr;
		uint64_t size = gather->range[i].info & GATHER_BYTES;

		if (gather->range[i].info & GATHER_UNMARK)
			be->ops->unmark(be, first, size, gather->mark);
#ifndef SABOTAGE_REUSE_GATHERED_IOVA
		else
			iova_give_back(&space->iova, slot_iova(slot), first >> GRANULE_SHIFT,
				       size >> GRANULE_SHIFT);
#endif
	}
	gather->count = 0;
}

void dma_gather_add(struct dma_gather *gather, dma_addr_t iova, uint64_t size, bool unmark)
{
	if (unlikely(gather->count == DMA_GATHER_RANGES))
		dma_gather_flush(gather);
#ifdef SABOTAGE_REUSE_GATHERED_IOVA
	if (!unmark)
		iova_give_back(&gather->space->iova, slot_iova(dma_slot(gather->space)),
			       iova >> GRANULE_SHIFT, size >> GRANULE_SHIFT);
#endif
	gather->range[gather->count].addr = iova;
	gather->range[gather->count].info = size | (unmark ? GATHER_UNMARK : 0);
	gather->count++;
}

void dma_gather_add_bounced(struct dma_gather *gather, const struct bounce_list *bounced)
{
	struct bounce_list all = {gather->bounced};

	bounce_list_join(&all, bounced);
	gather->bounced = all.first;
}

/* A call with a gather that has ended, which nobody will end again, must be strict. */
void dma_gather_end(struct dma_gather *gather)
{
	struct base_observer *observer = gather->space ? dma_observer(gather->space->be) : NULL;

	if (gather->space && gather->count && !dma_space_check(gather->space))
		dma_gather_flush(gather);
	if (observer)
		observer->ops->gather_ended(observer, gather);
	gather->count = 0;
	gather->space = NULL;
}
