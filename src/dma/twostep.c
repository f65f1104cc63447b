/* SPDX-License-Identifier: MIT */
/* The two-step API: reserve, link, sync, unlink, free. CONTRACT: docs/differences.md. */
#include "dma/dma.h"
#include "pgtable/entries.h"

#define STATE_SIZE_MASK (~(__DMA_IOVA_BOUNCED | __DMA_IOVA_WHOLE))

static __always_inline uint64_t state_size(const struct dma_iova_state *state)
{
	return state->__size & STATE_SIZE_MASK;
}

/* The granules of a reservation. */
static __always_inline uint64_t state_pages(const struct dma_iova_state *state)
{
	return (state_size(state) + (state->addr & GRANULE_MASK) + GRANULE_MASK) >> GRANULE_SHIFT;
}

static __always_inline dma_addr_t state_base(const struct dma_iova_state *state)
{
	return state->addr & ~GRANULE_MASK;
}

/* Reserving. */

static __cold bool alloc_refused(struct dma_dev *dev, size_t size)
{
	if (dma_space_check(dev->space))
		return false;
	if (!dev->be->translates)
		base_error(-EOPNOTSUPP,
			   "%s does not translate addresses, so nothing can be reserved; "
			   "use dma_map_phys()",
			   dev->name);
	else if (!size)
		base_error(-EINVAL, "a reservation of 0 bytes; ask for at least 1");
	else if (size & ~STATE_SIZE_MASK)
		base_error(-EINVAL, "a reservation of 0x%zx bytes is larger than any address space",
			   size);
	else
		dma_no_iova(dev, size);
	return false;
}

static __attribute__((__noinline__)) bool try_alloc_long(struct dma_dev *dev,
							 struct dma_iova_state *state,
							 phys_addr_t phys, size_t size,
							 unsigned int align_order, uint64_t flags)
{
	struct dma_space *space = dev->space;
	uint64_t offset = phys & GRANULE_MASK;
	struct dma_slot *slot;
	uint64_t pfn;

	*state = (struct dma_iova_state){0};
	if (unlikely(!dev->be->translates || size - 1 >= STATE_SIZE_MASK ||
		     dma_gen_watch(dev->be) & WATCH_FORKED))
		return alloc_refused(dev, size);
	slot = dma_slot(space);
	pfn = iova_alloc(&space->iova, slot_iova(slot),
			 (size + offset + GRANULE_MASK) >> GRANULE_SHIFT, align_order,
			 dev->limit_pfn, IOVA_TWO_STEP);
	if (unlikely(!pfn))
		return alloc_refused(dev, size);
	slot_count(slot, &slot->allocs, 1);
	state->addr = pfn << GRANULE_SHIFT | offset;
	state->__size = size | flags;
	return true;
}

bool dma_iova_try_alloc(struct dma_dev *dev, struct dma_iova_state *state, phys_addr_t phys,
			size_t size)
{
	struct dma_space *space = dev->space;
	struct dma_slot *slot = space->slots[base_thread];
	uint64_t pfn;

	/* One aligned granule, if the thread holds a free one. */
	if (unlikely(!slot || size - 1 >= GRANULE || phys & GRANULE_MASK ||
		     dma_gen_watch(dev->be) & PGT_GEN_WATCH ||
		     !iova_alloc_short(&space->iova, &slot->iova, 1, dev->limit_pfn, IOVA_TWO_STEP,
				       &pfn)))
		return try_alloc_long(dev, state, phys, size, 0, 0);
	counter_step(&slot->allocs);
	state->addr = pfn << GRANULE_SHIFT;
	state->__size = size;
	return true;
}

bool dma_iova_try_alloc_flags(struct dma_dev *dev, struct dma_iova_state *state, phys_addr_t phys,
			      size_t size, size_t align, unsigned int flags)
{
	unsigned int order = 0;

	if ((align && !is_power_of_two(align)) || flags & ~DMA_IOVA_WHOLE) {
		*state = (struct dma_iova_state){0};
		base_error(
			-EINVAL,
			"reservation with alignment 0x%zx and flags 0x%x: the alignment must be 0 "
			"or a power of two, and the only flag is DMA_IOVA_WHOLE",
			align, flags);
		return false;
	}
	if (align > GRANULE)
		order = order_of(align >> GRANULE_SHIFT);
	return try_alloc_long(dev, state, phys, size, order,
			      flags & DMA_IOVA_WHOLE ? __DMA_IOVA_WHOLE : 0);
}

/* Linking. */

/* What the kernel checks before it looks at the page table, in its order. */
static int check_kernel_rules(const struct dma_dev *dev, const struct dma_iova_state *state,
			      phys_addr_t phys, size_t offset, size_t size, unsigned long attrs)
{
	unsigned long long at = phys;

	if (phys & GRANULE_MASK && offset)
		return base_error(-EIO,
				  "link of 0x%llx at offset 0x%zx: only the piece at offset 0 may "
				  "begin inside a granule; split the buffer at 4096 bytes",
				  at, offset);
	if (attrs & DMA_ATTR_REQUIRE_COHERENT && state->__size & __DMA_IOVA_BOUNCED)
		return base_error(-EOPNOTSUPP,
				  "link of 0x%llx: DMA_ATTR_REQUIRE_COHERENT in a range of "
				  "which a part was bounced",
				  at);
	if (!dev->untrusted || !((phys | size) & GRANULE_MASK))
		return 0;
	if (attrs & (DMA_ATTR_MMIO | DMA_ATTR_REQUIRE_COHERENT) ||
	    (size && !memory_cpu_address(phys, size)))
		return base_error(-EPERM,
				  "link of %zu bytes at 0x%llx: %s is untrusted, so memory that "
				  "is not whole granules must be bounced, and this must not be; "
				  "align it to 4096 bytes",
				  size, at, dev->name);
	return 0;
}

/* A state whose addresses this device cannot have reserved. */
static __cold int foreign_state(const struct dma_dev *dev, const struct dma_iova_state *state)
{
	if (!dev->be->translates)
		return base_error(-EINVAL,
				  "%s does not translate addresses, so the state 0x%llx was not "
				  "reserved for it; pass the device that reserved it",
				  dev->name, (unsigned long long)state->addr);
	return base_error(-ERANGE,
			  "the state 0x%llx lies beyond the addresses of %s; pass the state that "
			  "dma_iova_try_alloc() filled",
			  (unsigned long long)state->addr, dev->name);
}

static __always_inline bool is_foreign(const struct dma_dev *dev,
				       const struct dma_iova_state *state)
{
	return !dev->be->translates || state->addr > dev->be->last ||
	       state_size(state) > dev->be->last - state->addr + 1;
}

static int check_piece(const struct dma_dev *dev, const struct dma_iova_state *state,
		       phys_addr_t phys, size_t offset, size_t size, enum dma_data_direction dir,
		       unsigned long attrs)
{
	unsigned long long at = phys;
	uint64_t total = state_size(state);
	const struct memory_record *record;
	int err = check_kernel_rules(dev, state, phys, offset, size, attrs);

	if (err)
		return err;
	if (!size)
		return base_error(-EINVAL, "link of 0 bytes at offset 0x%zx; leave it out", offset);
	if ((unsigned int)dir >= DMA_NONE)
		return base_error(-EINVAL,
				  "link of 0x%llx without a direction; say what the device "
				  "will do with it",
				  at);
	err = memory_check(phys, size, &record);
	if (err)
		return err;
	if ((state->addr + offset - phys) & GRANULE_MASK)
		return base_error(-ENXIO,
				  "link of 0x%llx at offset 0x%zx: the reservation, 0x%llx, has "
				  "another offset in the granule there; reserve with the first "
				  "piece's address, and end each piece but the last on a granule",
				  at, offset, (unsigned long long)state->addr);
	if (offset > total || size > total - offset)
		return base_error(-ERANGE,
				  "link of %zu bytes at offset 0x%zx: the reservation is %llu "
				  "bytes long",
				  size, offset, (unsigned long long)total);
	if (phys >= dev->be->phys_end || size > dev->be->phys_end - phys)
		return base_error(-ERANGE,
				  "link of 0x%llx: the page-table format holds addresses below "
				  "0x%llx only",
				  at, (unsigned long long)dev->be->phys_end);
	if (dev->untrusted && (phys | size) & GRANULE_MASK)
		return base_error(-ENOMEM,
				  "link of %zu bytes at 0x%llx: %s is untrusted, so this must be "
				  "bounced, and no bounce pool is set up; align it to 4096 bytes",
				  size, at, dev->name);
	return 0;
}

static __cold int link_long(struct dma_dev *dev, struct dma_iova_state *state, phys_addr_t phys,
			    size_t offset, size_t size, enum dma_data_direction dir,
			    unsigned long attrs)
{
	const struct phys_vec vec = {phys, size};
	int err = dma_space_check(dev->space);

	if (!err && is_foreign(dev, state))
		err = foreign_state(dev, state);
	if (!err)
		err = check_piece(dev, state, phys, offset, size, dir, attrs);
	if (err)
		return err;
	return dma_link(dev->space, (state->addr + offset) & ~GRANULE_MASK, &vec, 1,
			size + (phys & GRANULE_MASK), dir, attrs & ~PGT_ATTR_PAGES);
}

/* Remember the part of the reservation that the cursor's table translates. */
static void set_window(struct dma_link_window *w, const struct pgt_cursor *cursor,
		       const struct dma_iova_state *state)
{
	uint64_t end = state->addr + (state_size(state) & ~GRANULE_MASK);
	uint64_t first = state->addr > cursor->base ? state->addr : cursor->base;

	if (end > cursor->base + PGT_TABLE_SPAN)
		end = cursor->base + PGT_TABLE_SPAN;
	*w = (struct dma_link_window){
		.addr = state->addr,
		.size = state->__size,
		.gen = cursor->gen,
		.first = first - state->addr,
		.pages = (end - first) >> GRANULE_SHIFT,
		.entries = &cursor->table[(first - cursor->base) >> GRANULE_SHIFT],
	};
}

/* One granule of plain memory inside the reservation where the cursor is; else the long way. */
static __attribute__((__noinline__)) int link_page(struct dma_dev *dev,
						   struct dma_iova_state *state, phys_addr_t phys,
						   size_t offset, size_t size,
						   enum dma_data_direction dir)
{
	struct dma_slot *slot = dev->space->slots[base_thread];
	const struct backend *be = dev->be;

	if (unlikely(!slot || ((phys ^ memory_plain.match) & memory_plain.mask) ||
		     (state->addr | offset) & GRANULE_MASK ||
		     (offset | GRANULE_MASK) >= state_size(state) ||
		     !pgt_cursor_link(&slot->cursor, dma_gen_watch(be), state->addr + offset,
				      phys | be->leaf_bits[dir])))
		return link_long(dev, state, phys, offset, size, dir, 0);
	counter_add(&slot->page_links, 1);
	set_window(&slot->window, &slot->cursor, state);
	return 0;
}

/*
 * The shortest way: the window says that the state is the one of the last link, and
 * where. It lives on the spare registers, with the arguments left where they came;
 * what would need the stack costs more than it saves. The generation may be loaded
 * relaxed: who owns the addresses has synchronised with whoever advanced it.
 */
int dma_iova_link(struct dma_dev *dev, struct dma_iova_state *state, phys_addr_t phys,
		  size_t offset, size_t size, enum dma_data_direction dir, unsigned long attrs)
{
	struct dma_slot *slot;
	const struct backend *be;
	uint64_t *entry;
	uint64_t page;

	if (unlikely(attrs))
		return link_long(dev, state, phys, offset, size, dir, attrs);
	__asm__ volatile(""); /* two branches, not one of a combined condition */
	if (unlikely((unsigned int)dir >= DMA_NONE || size != GRANULE))
		return link_long(dev, state, phys, offset, size, dir, 0);
	slot = dev->space->slots[base_thread];
	if (unlikely(!slot || (phys ^ memory_plain.match) & memory_plain.mask))
		return link_page(dev, state, phys, offset, size, dir);
	/* An offset inside a granule rotates into a page number beyond any window. */
	page = rotate_right(offset - slot->window.first, GRANULE_SHIFT);
	be = dev->be;
	if (unlikely(page >= slot->window.pages || state->addr != slot->window.addr ||
		     state->__size != slot->window.size ||
		     slot->window.gen != __atomic_load_n(&be->gen_watch, __ATOMIC_RELAXED)))
		return link_page(dev, state, phys, offset, size, dir);
	entry = &slot->window.entries[page];
	if (unlikely(__atomic_load_n(entry, __ATOMIC_RELAXED)))
		return link_page(dev, state, phys, offset, size, dir);
	__atomic_store_n(entry, phys | be->leaf_bits[dir], __ATOMIC_RELEASE);
	counter_step(&slot->page_links);
	return 0;
}

static __cold int link_vec_long(struct dma_dev *dev, struct dma_iova_state *state,
				const struct phys_vec *vec, size_t nr_vecs, size_t offset,
				enum dma_data_direction dir, unsigned long attrs)
{
	size_t at = offset;
	int err = dma_space_check(dev->space);

	if (err)
		return err;
	if (is_foreign(dev, state))
		return foreign_state(dev, state);
	if (!nr_vecs)
		return base_error(-EINVAL, "link of a vector without pieces");
	for (size_t i = 0; i < nr_vecs; at += vec[i++].len) {
		err = check_piece(dev, state, vec[i].paddr, at, vec[i].len, dir, attrs);
		if (err)
			return err;
	}
	return dma_link(dev->space, (state->addr + offset) & ~GRANULE_MASK, vec, nr_vecs,
			at - offset + (vec[0].paddr & GRANULE_MASK), dir, attrs & ~PGT_ATTR_PAGES);
}

int dma_iova_link_vec(struct dma_dev *dev, struct dma_iova_state *state, const struct phys_vec *vec,
		      size_t nr_vecs, size_t offset, enum dma_data_direction dir,
		      unsigned long attrs)
{
	const struct backend *be = dev->be;
	uint64_t total = state_size(state), bytes = (uint64_t)nr_vecs << GRANULE_SHIFT;

	if (nr_vecs == 1)
		return dma_iova_link(dev, state, vec->paddr, offset, vec->len, dir, attrs);
	/* Whole pages of plain memory, inside the reservation. */
	if (unlikely(!nr_vecs || is_foreign(dev, state) || nr_vecs > total >> GRANULE_SHIFT ||
		     offset > total - bytes || (state->addr | offset) & GRANULE_MASK || attrs ||
		     (unsigned int)dir >= DMA_NONE || dma_gen_watch(be) & WATCH_FORKED))
		return link_vec_long(dev, state, vec, nr_vecs, offset, dir, attrs);
	if (unlikely(!vec_is_pages(vec, nr_vecs, memory_plain.match, memory_plain.mask)))
		return link_vec_long(dev, state, vec, nr_vecs, offset, dir, attrs);
	return dma_link(dev->space, state->addr + offset, vec, nr_vecs, bytes, dir, PGT_ATTR_PAGES);
}

int dma_iova_sync(struct dma_dev *dev, struct dma_iova_state *state, size_t offset, size_t size)
{
	uint64_t total = state_size(state);
	bool whole = state->__size & __DMA_IOVA_WHOLE;
	dma_addr_t first;

	if (unlikely(dma_space_check(dev->space)))
		return -EPERM;
	if (unlikely(!size))
		return base_error(-EINVAL, "sync of 0 bytes at offset 0x%zx; leave it out", offset);
	if (unlikely(is_foreign(dev, state)))
		return foreign_state(dev, state);
	if (unlikely(offset > total || size > total - offset))
		return base_error(-ERANGE,
				  "sync of %zu bytes at offset 0x%zx: the reservation is %llu "
				  "bytes long",
				  size, offset, (unsigned long long)total);
	if (likely(!dev->be->needs_sync && !whole))
		return 0;
	first = (state->addr + offset) & ~GRANULE_MASK;
	return dma_sync_links(dev->space, first,
			      align_up(state->addr + offset + size, GRANULE) - first, whole);
}

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

void dma_iova_unlink_gather(struct dma_dev *dev, struct dma_iova_state *state, size_t offset,
			    size_t size, enum dma_data_direction dir, unsigned long attrs,
			    struct dma_gather *gather)
{
	dma_addr_t first;
	uint64_t length;

	(void)dir;
	(void)attrs;
	if (unlikely(dma_space_check(dev->space)) ||
	    !touched(dev, state, offset, size, &first, &length))
		return;
	if (unlikely(state->__size & __DMA_IOVA_WHOLE && unit_is_cut(dev, state, first, length)))
		dma_take_away(dev->space, state_base(state), state_pages(state) << GRANULE_SHIFT, 0,
			      KEEP_IOVA, NULL, "unlink of part of a unit");
	else
		dma_take_away(dev->space, first, length, length, KEEP_IOVA, gather, "unlink");
}

void dma_iova_unlink(struct dma_dev *dev, struct dma_iova_state *state, size_t offset, size_t size,
		     enum dma_data_direction dir, unsigned long attrs)
{
	dma_iova_unlink_gather(dev, state, offset, size, dir, attrs, NULL);
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

static __attribute__((__noinline__)) void free_long(struct dma_dev *dev,
						    struct dma_iova_state *state)
{
	if (unlikely(!retire(dev, dma_slot(dev->space), state)))
		not_reserved(dev, state, "free");
	else
		dma_take_away(dev->space, state_base(state), state_pages(state) << GRANULE_SHIFT, 0,
			      RELEASE_IOVA, NULL, "free");
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
		free_long(dev, state);
		return;
	}
	counter_step(&slot->frees);
	if (unlikely(!iova_give_back_short(&space->iova, &slot->iova, pfn, 1)))
		iova_give_back_slow(&space->iova, &slot->iova, pfn, 1);
}

static __attribute__((__noinline__)) void destroy_long(struct dma_dev *dev,
						       struct dma_iova_state *state,
						       size_t mapped_len, struct dma_gather *gather)
{
	struct dma_space *space = dev->space;
	uint64_t total = state_size(state), linked = 0;

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
	dma_take_away(space, state_base(state), state_pages(state) << GRANULE_SHIFT, linked,
		      RELEASE_IOVA, gather, "destroy");
}

static __always_inline void destroy(struct dma_dev *dev, struct dma_iova_state *state,
				    size_t mapped_len, struct dma_gather *gather)
{
	/* One aligned granule that is linked. */
	if (unlikely(state->__size - 1 >= GRANULE || mapped_len - 1 >= state->__size ||
		     state->addr & GRANULE_MASK ||
		     !dma_drop_granule(dev, state->addr, IOVA_TWO_STEP, gather, "destroy")))
		destroy_long(dev, state, mapped_len, gather);
}

void dma_iova_destroy_gather(struct dma_dev *dev, struct dma_iova_state *state, size_t mapped_len,
			     enum dma_data_direction dir, unsigned long attrs,
			     struct dma_gather *gather)
{
	(void)dir;
	(void)attrs;
	destroy(dev, state, mapped_len, dma_gather_for(gather, dev->space));
}

void dma_iova_destroy(struct dma_dev *dev, struct dma_iova_state *state, size_t mapped_len,
		      enum dma_data_direction dir, unsigned long attrs)
{
	(void)dir;
	(void)attrs;
	destroy(dev, state, mapped_len, NULL);
}
