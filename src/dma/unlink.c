/* SPDX-License-Identifier: MIT */
/* Taking memory away: entries, then invalidation, then the IOVA. */
#include "dma/lazy.h"

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

void dma_tell_cut(struct dma_space *space, const char *what, dma_addr_t iova, uint64_t size,
		  dma_addr_t first, dma_addr_t last)
{
	struct base_observer *observer = dma_observer(space->be);

	dma_misuse(space,
		   "%s of 0x%llx-0x%llx cuts a larger entry or unit; all of it, 0x%llx-0x%llx, was "
		   "unlinked",
		   what, (unsigned long long)iova, (unsigned long long)(iova + size - 1),
		   (unsigned long long)first, (unsigned long long)last);
	if (observer)
		observer->ops->cut(observer, dma_caller, first, last);
}

/* One call, one misuse, whatever all was wrong with it. */
static __cold void complain(struct dma_space *space, struct dma_slot *slot, dma_addr_t iova,
			    uint64_t linked, struct taken *taken, const char *what)
{
	struct backend *be = space->be;
	unsigned long long first = iova, last = iova + linked - 1;

	if (taken->removed.cut && !taken->misuse)
		dma_tell_cut(space, what, iova, linked, taken->removed.first, taken->removed.last);
	else if (!taken->misuse)
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
static __always_inline void make_final(struct dma_space *space, struct dma_slot *slot,
				       dma_addr_t iova, uint64_t size, const struct taken *taken)
{
	if (likely(taken->removed.first <= taken->removed.last))
		dma_invalidate(space, slot, taken->removed.first, taken->removed.last);
	if (unlikely(taken->marks))
		dma_flush_marks(space, slot, iova, size);
	if (unlikely(taken->removed.free_tables))
		space->be->ops->free_tables(space->be, taken->removed.free_tables);
}

/* The entries of a part, of which @linked bytes should be linked. */
static __always_inline void remove_entries(struct dma_space *space, struct dma_slot *slot,
					   dma_addr_t iova, uint64_t size, uint64_t linked,
					   uint64_t mark, struct taken *taken, const char *what)
{
	struct backend *be = space->be;

	if (linked)
		be->ops->unlink(be, slot_cursor(slot), iova, linked, mark, &taken->removed);
	if (unlikely(taken->removed.hole | taken->removed.cut))
		complain(space, slot, iova, linked, taken, what);
	if (linked < size)
		take_rest(space, slot, iova + linked, size - linked, mark, taken, what);
	slot_count(slot, &slot->entries, taken->removed.entries);
	slot_count(slot, &slot->bytes_unlinked, taken->removed.bytes);
}

/*
 * A device that does not see the CPU's caches: in parts, each strict, because the
 * memory whose lines are dropped afterwards must be remembered on the stack.
 */
static void take_away_in_parts(struct dma_space *space, const struct dma_removal *r,
			       struct dma_settling *settling)
{
	struct dma_slot *slot = dma_slot(space);
	bool misuse = r->told;
	uint64_t part;

	for (uint64_t at = 0; at < r->size; at += part) {
		struct taken taken = {.removed = {.first = 1}, .misuse = misuse};
		uint64_t linked = r->linked > at ? r->linked - at : 0;

		part = dma_settle_collect(r, r->iova + at, r->size - at, settling);
		remove_entries(space, slot, r->iova + at, part, linked < part ? linked : part, 0,
			       &taken, r->what);
		make_final(space, slot, r->iova + at, part, &taken);
		dma_settle_caches(r->settle, settling);
		misuse = taken.misuse;
	}
	bounce_list_finish(&settling->bounced);
	if (r->after == RELEASE_IOVA)
		give_iova_back(space, slot, r->iova, r->size);
}

static void gather_it(struct dma_gather *gather, const struct dma_removal *r,
		      const struct taken *taken)
{
	if (r->after == RELEASE_IOVA)
		dma_gather_add(gather, r->iova, r->size, false);
	else
		dma_gather_add(gather, taken->removed.first,
			       taken->removed.last - taken->removed.first + 1, true);
	/* Only now: making room for the range frees the tables of those before it. */
	if (unlikely(taken->removed.free_tables))
		gather->free_tables = gather->space->be->ops->join_tables(
			gather->space->be, gather->free_tables, taken->removed.free_tables);
}

/* Buffers of @bounced, if there are any, are settled once the device has lost its access. */
static __always_inline void take_away(struct dma_space *space, const struct dma_removal *r,
				      struct bounce_list *bounced)
{
	struct dma_gather *gather = dma_gather_for(r->gather, space);
	struct taken taken = {.removed = {.first = 1}, .misuse = r->told};
	struct dma_slot *slot = dma_slot(space);
	uint64_t mark;

	mark = gather && r->after == KEEP_IOVA ? dma_gather_mark(gather, slot) : 0;
	remove_entries(space, slot, r->iova, r->size, r->linked, mark, &taken, r->what);
	if (gather && !taken.marks && taken.removed.first <= taken.removed.last) {
		gather_it(gather, r, &taken);
		if (bounced && bounced->first)
			dma_gather_add_bounced(gather, bounced);
		return;
	}
	taken.marks |= mark != 0;
	/* Holes that were told of are none; a cut is. */
	if (unlikely(r->lazy) && slot->ring && !taken.marks &&
	    (!taken.misuse || (r->told && !taken.removed.cut))) {
		dma_lazy_add(space, slot, r->iova >> GRANULE_SHIFT, r->size >> GRANULE_SHIFT,
			     taken.removed.free_tables);
		return;
	}
	make_final(space, slot, r->iova, r->size, &taken);
	if (bounced)
		bounce_list_finish(bounced);
	if (r->after == RELEASE_IOVA)
		give_iova_back(space, slot, r->iova, r->size);
}

static __cold void take_away_settled(struct dma_space *space, const struct dma_removal *r)
{
	struct dma_settling settling; /* a kilobyte, which is not cleared */

	settling.bounced.first = NULL;
	if (r->settle->noncoherent) {
		take_away_in_parts(space, r, &settling);
		return;
	}
	dma_settle_collect(r, r->iova, r->size, &settling);
	take_away(space, r, &settling.bounced);
}

void dma_take_away(struct dma_space *space, const struct dma_removal *r)
{
	if (unlikely(r->settle))
		take_away_settled(space, r);
	else
		take_away(space, r, NULL);
}

void dma_take_away_granule(struct dma_space *space, dma_addr_t iova, struct dma_gather *gather,
			   const char *what)
{
	dma_take_away(space, &(struct dma_removal){
				     .iova = iova,
				     .size = GRANULE,
				     .linked = GRANULE,
				     .after = RELEASE_IOVA,
				     .gather = gather,
				     .what = what,
			     });
}
