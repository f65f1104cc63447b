/* SPDX-License-Identifier: MIT */
/* Taking memory away: entries, then invalidation, then the IOVA. */
#include "dma/dma.h"

/* What came out of the table, and whether an open gather has been there. */
struct taken {
	struct pgt_removed removed;
	bool marks;
	bool misuse; /* the call has been told already */
};

static void give_iova_back(struct dma_space *space, struct dma_slot *slot, dma_addr_t iova,
			   uint64_t size)
{
	iova_give_back(&space->iova, slot_iova(slot), iova >> GRANULE_SHIFT, size >> GRANULE_SHIFT);
}

/*
 * The part that should not be linked: usually nothing is. A leaf there is removed,
 * and is misuse.
 */
static void take_rest(struct dma_space *space, struct dma_slot *slot, dma_addr_t iova,
		      uint64_t size, uint64_t mark, struct taken *taken, const char *what)
{
	struct backend *be = space->be;
	struct pgt_removed rest;
	unsigned int found = be->ops->linked(be, slot_cursor(slot), iova, size);

	taken->marks |= found & PGT_LINKED_MARK;
	if (likely(!(found & PGT_LINKED_LEAF)))
		return;
	be->ops->unlink(be, slot_cursor(slot), iova, size, mark, &rest);
	if (!taken->misuse)
		dma_misuse(space,
			   "%s of 0x%llx: memory is linked in 0x%llx-0x%llx, outside of what was "
			   "said to be linked; it was unlinked too",
			   what, (unsigned long long)iova, (unsigned long long)rest.first,
			   (unsigned long long)rest.last);
	if (taken->removed.first > taken->removed.last) {
		taken->removed = rest;
		return;
	}
	taken->removed.free_tables =
		be->ops->join_tables(be, taken->removed.free_tables, rest.free_tables);
	if (rest.first < taken->removed.first)
		taken->removed.first = rest.first;
	if (rest.last > taken->removed.last)
		taken->removed.last = rest.last;
	taken->removed.bytes += rest.bytes;
	taken->removed.entries += rest.entries;
}

/* One call, one misuse, whatever all was wrong with it. */
static __cold void complain(struct dma_space *space, struct dma_slot *slot, dma_addr_t iova,
			    uint64_t linked, struct taken *taken, const char *what)
{
	struct backend *be = space->be;
	unsigned long long first = iova, last = iova + linked - 1;

	if (taken->removed.cut)
		dma_misuse(space,
			   "%s of 0x%llx-0x%llx cuts a larger entry; all of it, "
			   "0x%llx-0x%llx, was unlinked",
			   what, first, last, (unsigned long long)taken->removed.first,
			   (unsigned long long)taken->removed.last);
	else
		dma_misuse(space,
			   "%s of 0x%llx-0x%llx: not all of it was linked; %llu bytes were "
			   "unlinked",
			   what, first, last, (unsigned long long)taken->removed.bytes);
	taken->misuse = true;
	if (taken->removed.hole)
		taken->marks |= be->ops->linked(be, slot_cursor(slot), iova, linked) &
				PGT_LINKED_MARK;
}

/* Strict: the device has lost its access when this returns. */
static void finish(struct dma_space *space, struct dma_slot *slot, dma_addr_t iova, uint64_t size,
		   enum dma_after_unlink after, const struct taken *taken)
{
	if (likely(taken->removed.first <= taken->removed.last))
		dma_invalidate(space, slot, taken->removed.first, taken->removed.last);
	if (unlikely(taken->marks))
		dma_flush_marks(space, slot, iova, size);
	if (unlikely(taken->removed.free_tables))
		space->be->ops->free_tables(space->be, taken->removed.free_tables);
	if (after == RELEASE_IOVA)
		give_iova_back(space, slot, iova, size);
}

void dma_take_away(struct dma_space *space, dma_addr_t iova, uint64_t size, uint64_t linked,
		   enum dma_after_unlink after, struct dma_gather *gather, const char *what)
{
	struct dma_slot *slot = dma_slot(space);
	struct backend *be = space->be;
	struct taken taken = {.removed = {.first = 1}};
	uint64_t mark;

	gather = dma_gather_for(gather, space);
	mark = gather && after == KEEP_IOVA ? dma_gather_mark(gather, slot) : 0;
	if (linked)
		be->ops->unlink(be, slot_cursor(slot), iova, linked, mark, &taken.removed);
	if (unlikely(taken.removed.hole | taken.removed.cut))
		complain(space, slot, iova, linked, &taken, what);
	if (linked < size)
		take_rest(space, slot, iova + linked, size - linked, mark, &taken, what);
	slot_count(slot, &slot->entries, taken.removed.entries);
	slot_count(slot, &slot->bytes_unlinked, taken.removed.bytes);

	if (!gather || taken.marks || taken.removed.first > taken.removed.last) {
		taken.marks |= mark != 0;
		finish(space, slot, iova, size, after, &taken);
		return;
	}
	if (after == RELEASE_IOVA)
		dma_gather_add(gather, iova, size, false);
	else
		dma_gather_add(gather, taken.removed.first,
			       taken.removed.last - taken.removed.first + 1, true);
	/* Only now: making room for the range frees the tables of those before it. */
	if (unlikely(taken.removed.free_tables))
		gather->free_tables =
			be->ops->join_tables(be, gather->free_tables, taken.removed.free_tables);
}
