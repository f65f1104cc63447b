/* SPDX-License-Identifier: MIT */
/* The two-step API: unlink, free, destroy. CONTRACT: docs/differences.md. */
#include "dma/twostep.h"

/* Unlinking. */

/*
 * The granules that [offset, offset + size) touches, cut to the reservation. False:
 * none.
 */
static bool touched(struct dma_dev *dev, const struct dma_iova_state *state, size_t offset,
		    size_t size, dma_addr_t *first, uint64_t *length)
{
	uint64_t total = state_size(state);

	if (unlikely(is_foreign(dev, state))) {
		dma_misuse(dev->space, "unlink of a state, 0x%llx, that was not reserved for %s",
			   (unsigned long long)state->addr, dev->name);
		return false;
	}
	if (unlikely(!size || offset >= total || size > total - offset)) {
		dma_misuse(dev->space,
			   "unlink of %zu bytes at offset 0x%zx of a reservation that is "
			   "%llu bytes long; only what lies inside was unlinked",
			   size, offset, (unsigned long long)total);
		if (!size || offset >= total)
			return false;
		size = total - offset;
	}
	*first = (state->addr + offset) & ~GRANULE_MASK;
	*length = align_up(state->addr + offset + size, GRANULE) - *first;
	return true;
}

/* Whether a unit has memory outside of the part that shall go: then all of it goes. */
static bool unit_is_cut(struct dma_dev *dev, const struct dma_iova_state *state, dma_addr_t first,
			uint64_t length)
{
	struct pgt_cursor *cursor = slot_cursor(dma_slot(dev->space));
	const struct backend_ops *ops = dev->be->ops;
	dma_addr_t base = state_base(state);
	uint64_t before = first - base;
	uint64_t after = (state_pages(state) << GRANULE_SHIFT) - before - length;

	return (before && ops->linked(dev->be, cursor, base, before) & PGT_LINKED_LEAF) ||
	       (after && ops->linked(dev->be, cursor, first + length, after) & PGT_LINKED_LEAF);
}

static void unlink_range(struct dma_dev *dev, struct dma_iova_state *state, size_t offset,
			 size_t size, enum dma_data_direction dir, unsigned long attrs,
			 struct dma_gather *gather)
{
	struct base_observer *observer = dma_observer(dev->be);
	struct dma_removal removal = {
		.after = KEEP_IOVA,
		.gather = gather,
		.what = "unlink",
		.addr = state->addr + offset,
		.bytes = size,
		.dir = dir,
		.attrs = attrs,
	};

	if (unlikely(dma_space_check(dev->space)))
		return;
	if (unlikely(observer))
		observer->ops->unlinking(observer, dma_caller, dev, state, offset, size, dir,
					 attrs);
	if (!touched(dev, state, offset, size, &removal.iova, &removal.size))
		return;
	removal.linked = removal.size;
	if (unlikely(is_settled(state)))
		removal.settle = dev;
	if (unlikely(__dma_iova_word(state) & __DMA_IOVA_WHOLE &&
		     unit_is_cut(dev, state, removal.iova, removal.size))) {
		dma_tell_cut(dev->space, "unlink of part of a unit", removal.iova, removal.size,
			     state_base(state),
			     state_base(state) + (state_pages(state) << GRANULE_SHIFT) - 1);
		removal.iova = state_base(state);
		removal.size = state_pages(state) << GRANULE_SHIFT;
		removal.linked = 0;
		removal.gather = NULL;
		removal.told = true;
	} else if (unlikely(removal.settle)) {
		dma_addr_t first = removal.iova;
		uint64_t length = removal.size;

		if (dma_settle_widen(dev, &removal.iova, &removal.size)) {
			dma_tell_cut(dev->space, "unlink", first, length, removal.iova,
				     removal.iova + removal.size - 1);
			removal.linked = removal.size;
			removal.told = true;
		}
	}
	dma_take_away(dev->space, &removal);
}

void dma_iova_unlink_gather(struct dma_dev *dev, struct dma_iova_state *state, size_t offset,
			    size_t size, enum dma_data_direction dir, unsigned long attrs,
			    struct dma_gather *gather)
{
	DMA_CALLED();
	unlink_range(dev, state, offset, size, dir, attrs, gather);
}

void dma_iova_unlink(struct dma_dev *dev, struct dma_iova_state *state, size_t offset, size_t size,
		     enum dma_data_direction dir, unsigned long attrs)
{
	DMA_CALLED();
	unlink_range(dev, state, offset, size, dir, attrs, NULL);
}

/* Giving back. */

static __cold void not_reserved(struct dma_dev *dev, const struct dma_iova_state *state,
				const char *what)
{
	enum iova_kind kind;
	unsigned long long addr = state->addr;

	if (dma_space_check(dev->space))
		return;
	if (!dma_use_iova(state))
		dma_misuse(dev->space, "%s of a state that reserves nothing", what);
	else if (dev->be->translates &&
		 iova_live(&dev->space->iova, state->addr >> GRANULE_SHIFT, &kind))
		dma_misuse(dev->space,
			   "%s of 0x%llx with %llu bytes: what is live there is not a "
			   "reservation of that size; nothing was freed",
			   what, addr, (unsigned long long)state_size(state));
	else
		dma_misuse(dev->space,
			   "%s of 0x%llx: nothing is reserved there; was it freed before?", what,
			   addr);
}

static bool retire(struct dma_dev *dev, struct dma_slot *slot, const struct dma_iova_state *state)
{
	if (unlikely(!dma_use_iova(state) || !dev->be->translates ||
		     dma_gen_watch(dev->be) & WATCH_FORKED) ||
	    iova_retire(&dev->space->iova, slot_iova(slot), state->addr >> GRANULE_SHIFT,
			state_pages(state), IOVA_TWO_STEP))
		return false;
	slot_count(slot, &slot->frees, 1);
	return true;
}

/* What is still linked goes without copying back: nobody says in which direction. */
static __attribute__((__noinline__)) void free_long(struct dma_dev *dev,
						    struct dma_iova_state *state)
{
	struct base_observer *observer = dma_observer(dev->be);

	if (unlikely(observer))
		observer->ops->freeing(observer, dma_caller, dev, state, 0, false, DMA_NONE, 0);
	if (unlikely(!retire(dev, dma_slot(dev->space), state))) {
		not_reserved(dev, state, "free");
		return;
	}
	dma_take_away(dev->space, &(struct dma_removal){
					  .iova = state_base(state),
					  .size = state_pages(state) << GRANULE_SHIFT,
					  .after = RELEASE_IOVA,
					  .what = "free",
					  .settle = is_settled(state) ? dev : NULL,
					  .dir = DMA_NONE,
				  });
}

void dma_iova_free(struct dma_dev *dev, struct dma_iova_state *state)
{
	struct dma_space *space = dev->space;
	struct dma_slot *slot = space->slots[base_thread];
	uint64_t pfn = state->addr >> GRANULE_SHIFT;

	/* One aligned granule, of which the cursor knows that nothing is linked there. */
	if (unlikely(!slot || state->__size - 1 >= GRANULE || state->addr & GRANULE_MASK ||
		     !pgt_cursor_empty(&slot->cursor, dma_gen_watch(dev->be), state->addr) ||
		     !iova_retire_short(&slot->iova, pfn, 1, IOVA_TWO_STEP))) {
		DMA_CALLED();
		free_long(dev, state);
		return;
	}
	counter_step(&slot->frees);
	if (unlikely(!iova_give_back_short(&space->iova, &slot->iova, pfn, 1)))
		iova_give_back_slow(&space->iova, &slot->iova, pfn, 1);
}

/* One aligned granule that is linked, with nothing to settle. */
static __always_inline bool drop_page(struct dma_dev *dev, uint64_t gen,
				      const struct dma_iova_state *state, size_t mapped_len,
				      struct dma_gather *gather)
{
	return likely(state->__size - 1 < GRANULE && mapped_len - 1 < state->__size &&
		      !(state->addr & GRANULE_MASK)) &&
	       likely(dma_drop_granule(dev, gen, state->addr, IOVA_TWO_STEP, gather, "destroy"));
}

static __attribute__((__noinline__)) void
destroy_long(struct dma_dev *dev, struct dma_iova_state *state, size_t mapped_len,
	     enum dma_data_direction dir, unsigned long attrs, struct dma_gather *gather)
{
	struct base_observer *observer = dma_observer(dev->be);
	struct dma_space *space = dev->space;
	uint64_t total = state_size(state), linked = 0;

	if (unlikely(observer)) {
		observer->ops->freeing(observer, dma_caller, dev, state, mapped_len, true, dir,
				       attrs);
		if (drop_page(dev, dma_gen_watch(dev->be) & ~WATCH_OBSERVED, state, mapped_len,
			      gather))
			return;
	}
	if (unlikely(!retire(dev, dma_slot(space), state))) {
		not_reserved(dev, state, "destroy");
		return;
	}
	if (unlikely(mapped_len > total)) {
		dma_misuse(space,
			   "destroy with %zu bytes linked of a reservation that is %llu bytes long",
			   mapped_len, (unsigned long long)total);
		mapped_len = total;
	}
	if (mapped_len)
		linked = align_up((state->addr & GRANULE_MASK) + mapped_len, GRANULE);
	dma_take_away(space, &(struct dma_removal){
				     .iova = state_base(state),
				     .size = state_pages(state) << GRANULE_SHIFT,
				     .linked = linked,
				     .after = RELEASE_IOVA,
				     .gather = gather,
				     .what = "destroy",
				     .settle = is_settled(state) ? dev : NULL,
				     .addr = state->addr,
				     .bytes = mapped_len,
				     .dir = dir,
				     .attrs = attrs,
			     });
}

void dma_iova_destroy_gather(struct dma_dev *dev, struct dma_iova_state *state, size_t mapped_len,
			     enum dma_data_direction dir, unsigned long attrs,
			     struct dma_gather *gather)
{
	gather = dma_gather_for(gather, dev->space);
	if (unlikely(!drop_page(dev, dma_gen_watch(dev->be), state, mapped_len, gather))) {
		DMA_CALLED();
		destroy_long(dev, state, mapped_len, dir, attrs, gather);
	}
}

void dma_iova_destroy(struct dma_dev *dev, struct dma_iova_state *state, size_t mapped_len,
		      enum dma_data_direction dir, unsigned long attrs)
{
	if (unlikely(!drop_page(dev, dma_gen_watch(dev->be), state, mapped_len, NULL))) {
		DMA_CALLED();
		destroy_long(dev, state, mapped_len, dir, attrs, NULL);
	}
}
