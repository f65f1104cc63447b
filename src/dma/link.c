/* SPDX-License-Identifier: MIT */
/* Letting devices at memory, whoever owns the IOVA. */
#include "dma/lazy.h"

static bool take_span(void *arg, uint64_t first, uint64_t size)
{
	struct dma_space *space = arg;

	return iova_take_at(&space->iova, first >> GRANULE_SHIFT, size >> GRANULE_SHIFT);
}

static void give_span(void *arg, uint64_t first, uint64_t size)
{
	struct dma_space *space = arg;

	iova_give_back_at(&space->iova, first >> GRANULE_SHIFT, size >> GRANULE_SHIFT);
}

/* How often a link may look for empty tables. */
#define RECLAIMS 3

/* Empty tables become free, each for an invalidation. */
static __cold void reclaim_tables(struct dma_space *space, struct dma_slot *slot)
{
	size_t freed;

	/* What is queued keeps tables of its own, and addresses that others' span. */
	dma_lazy_flush(space);
	freed = space->be->ops->reclaim(space->be, take_span, give_span, space);
	slot_count(slot, &slot->invalidations, freed);
}

void dma_invalidate(struct dma_space *space, struct dma_slot *slot, dma_addr_t first,
		    dma_addr_t last)
{
	const struct backend_range range = {first, last};

	space->be->ops->invalidate(space->be, &range, 1);
	slot_count(slot, &slot->invalidations, 1);
}

static int link_error(int err, dma_addr_t iova, uint64_t bytes)
{
	unsigned long long at = iova, n = bytes;

	switch (err) {
	case -ENXIO: /* the backend has said why */
		return err;
	case -EADDRINUSE:
		return base_error(err,
				  "cannot link %llu bytes at 0x%llx: part of the range is "
				  "linked already; unlink it first",
				  n, at);
	case -ERANGE:
		return base_error(err,
				  "cannot link %llu bytes at 0x%llx: the memory lies beyond "
				  "the addresses that the page-table format can hold",
				  n, at);
	case -ENOMEM:
		return base_error(err,
				  "cannot link %llu bytes at 0x%llx: no memory for page "
				  "tables; unmap something, or open the device with more tables=",
				  n, at);
	default:
		return base_error(err, "cannot link %llu bytes at 0x%llx: %s", n, at,
				  strerror(-err));
	}
}

/*
 * Nothing is linked there, but a gather has not ended: make that final first. A mark
 * may stand for a leaf that is larger than the range, so all that the largest spans
 * is invalidated.
 */
void dma_flush_marks(struct dma_space *space, struct dma_slot *slot, dma_addr_t iova, uint64_t size)
{
	dma_addr_t end = align_up(iova + size, PGT_LARGEST_LEAF);

	dma_invalidate(space, slot, align_down(iova, PGT_LARGEST_LEAF), end - 1);
	space->be->ops->unmark(space->be, iova, size, 0);
}

int dma_link(struct dma_space *space, dma_addr_t iova, const struct phys_vec *vec, size_t nr_vecs,
	     uint64_t bytes, enum dma_data_direction dir, unsigned long attrs)
{
	struct dma_slot *slot = dma_slot(space);
	struct backend *be = space->be;
	uint64_t size = align_up(bytes, GRANULE);
	struct pgt_linked linked;
	unsigned int reclaims = 0;
	int err;

	for (;;) {
		err = be->ops->link(be, slot_cursor(slot), iova, vec, nr_vecs, dir, attrs, &linked);
		if (likely(!err))
			break;
		if (err == -ESTALE) {
			dma_flush_marks(space, slot, iova, size);
			continue;
		}
		/*
		 * Where nothing could be reclaimed another thread may just have done it, or
		 * may hold a table's addresses for a moment: once more all the same.
		 */
		if (err != -ENOMEM || reclaims == RECLAIMS)
			return link_error(err, iova, bytes);
		reclaim_tables(space, slot);
		reclaims++;
	}
	slot_count(slot, &slot->entries, linked.entries);
	slot_count(slot, &slot->bytes_linked, size);
	if (unlikely(linked.free_tables)) {
		dma_invalidate(space, slot, iova, iova + size - 1);
		be->ops->free_tables(be, linked.free_tables);
	}
	return 0;
}

int dma_sync_links(struct dma_space *space, dma_addr_t iova, uint64_t size, bool whole)
{
	struct dma_slot *slot = dma_slot(space);
	int requests = space->be->ops->sync(space->be, iova, size, whole);

	if (requests > 0)
		slot_count(slot, &slot->invalidations, (uint64_t)requests);
	return requests < 0 ? requests : 0;
}
