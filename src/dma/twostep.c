/* SPDX-License-Identifier: MIT */
/* The two-step API: reserve, link, sync. CONTRACT: docs/differences.md. */
#include "dma/twostep.h"
#include "pgtable/entries.h"

/* Reserving. */

static __cold bool alloc_refused(struct dma_dev *dev, size_t size)
{
	if (dma_space_check(dev->space))
		return false;
	if (dev->ahead)
		base_error(-EOPNOTSUPP,
			   "%s was opened with map=ahead, so nothing can be reserved; use "
			   "dma_map_phys() for memory that dma_premap() has registered",
			   dev->name);
	else if (!dev->be->translates)
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
	struct base_observer *observer = dma_observer(dev->be);
	struct dma_space *space = dev->space;
	uint64_t offset = phys & GRANULE_MASK;
	struct dma_slot *slot;
	uint64_t pfn;

	if (unlikely(observer))
		observer->ops->reserving(observer, dma_caller, dev, state);
	*state = (struct dma_iova_state){0};
	if (unlikely(!dev->be->translates || dev->ahead || size - 1 >= STATE_SIZE_MASK ||
		     dma_gen_watch(dev->be) & WATCH_FORKED))
		return alloc_refused(dev, size);
	slot = dma_slot(space);
	pfn = dma_iova_alloc(dev, slot, (size + offset + GRANULE_MASK) >> GRANULE_SHIFT,
			     align_order, IOVA_TWO_STEP);
	if (unlikely(!pfn))
		return alloc_refused(dev, size);
	slot_count(slot, &slot->allocs, 1);
	state->addr = pfn << GRANULE_SHIFT | offset;
	state->__size = size | flags | (dma_dev_settles(dev) ? __DMA_IOVA_SETTLE : 0);
	if (unlikely(observer))
		observer->ops->reserved(observer, dma_caller, dev, state);
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
		     !iova_alloc_short(&space->iova, &slot->iova, 1, dev->short_limit_pfn,
				       IOVA_TWO_STEP, &pfn)))
		return DMA_CALLED(), try_alloc_long(dev, state, phys, size, 0, 0);
	counter_step(&slot->allocs);
	state->addr = pfn << GRANULE_SHIFT;
	state->__size = size;
	return true;
}

bool dma_iova_try_alloc_flags(struct dma_dev *dev, struct dma_iova_state *state, phys_addr_t phys,
			      size_t size, size_t align, unsigned int flags)
{
	unsigned int order = 0;

	DMA_CALLED();
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
			      phys_addr_t phys, size_t offset, size_t size,
			      enum dma_data_direction dir, unsigned long attrs)
{
	unsigned long long at = phys;

	if (phys & GRANULE_MASK && offset)
		return base_error(-EIO,
				  "link of 0x%llx at offset 0x%zx: only the piece at offset 0 may "
				  "begin inside a granule; split the buffer at 4096 bytes",
				  at, offset);
	if (attrs & DMA_ATTR_REQUIRE_COHERENT && __dma_iova_word(state) & __DMA_IOVA_BOUNCED)
		return base_error(-EOPNOTSUPP,
				  "link of 0x%llx: DMA_ATTR_REQUIRE_COHERENT in a range of "
				  "which a part was bounced",
				  at);
	if (attrs & DMA_ATTR_REQUIRE_COHERENT && dev->noncoherent)
		return base_error(
			-EOPNOTSUPP,
			"link of 0x%llx: DMA_ATTR_REQUIRE_COHERENT, and %s is not coherent", at,
			dev->name);
	if (dma_reach(dev, phys, size, dir, attrs) == REACH_REFUSED)
		return dma_reach_refused(dev, -EPERM, "link", phys, size);
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

static int check_piece(const struct dma_dev *dev, const struct dma_iova_state *state,
		       phys_addr_t phys, size_t offset, size_t size, enum dma_data_direction dir,
		       unsigned long attrs)
{
	unsigned long long at = phys;
	uint64_t total = state_size(state);
	const struct memory_record *record;
	int err = check_kernel_rules(dev, state, phys, offset, size, dir, attrs);

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
	return 0;
}

/* Whether the device can have no piece but through a bounce buffer or a cache. */
static bool needs_copies(const struct dma_dev *dev, const struct dma_iova_state *state,
			 const struct phys_vec *vec, size_t nr_vecs, enum dma_data_direction dir,
			 unsigned long attrs)
{
	if (__dma_iova_word(state) & __DMA_IOVA_SETTLE || dma_dev_settles(dev))
		return true;
	for (size_t i = 0; i < nr_vecs; i++)
		if (dma_reach(dev, vec[i].paddr, vec[i].len, dir, attrs) == REACH_BOUNCED)
			return true;
	return false;
}

/* Link pieces that have been checked, @bytes long with what is before the first. */
static int link_checked(struct dma_dev *dev, struct dma_iova_state *state,
			const struct phys_vec *vec, size_t nr_vecs, size_t offset, uint64_t bytes,
			enum dma_data_direction dir, unsigned long attrs)
{
	dma_addr_t iova = (state->addr + offset) & ~GRANULE_MASK;
	bool bounced = false;
	int err;

	attrs &= ~PGT_ATTR_PRIVATE;
	if (likely(!needs_copies(dev, state, vec, nr_vecs, dir, attrs)))
		return dma_link(dev->space, iova, vec, nr_vecs, bytes, dir, attrs);
	err = dma_link_copied(dev, iova, vec, nr_vecs, bytes, dir, attrs, &bounced);
	/* Links at other offsets of the state may run at the same time. */
	if (bounced)
		__atomic_fetch_or(&state->__size, __DMA_IOVA_BOUNCED, __ATOMIC_RELAXED);
	return err;
}

static void tell_link(struct dma_dev *dev, const struct dma_iova_state *state, size_t offset,
		      const struct phys_vec *vec, size_t nr_vecs, enum dma_data_direction dir,
		      unsigned long attrs, int err)
{
	struct base_observer *observer = dma_observer(dev->be);
	size_t size = 0;

	if (likely(!observer || err == -EPERM))
		return;
	if (!err) {
		observer->ops->linked(observer, dma_caller, dev, state, offset, vec, nr_vecs, dir,
				      attrs);
		return;
	}
	for (size_t i = 0; i < nr_vecs; i++)
		size += vec[i].len;
	observer->ops->link_failed(observer, dma_caller, dev, state, offset,
				   nr_vecs ? vec[0].paddr : 0, size, dir, attrs, err);
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
	if (!err)
		err = link_checked(dev, state, &vec, 1, offset, size + (phys & GRANULE_MASK), dir,
				   attrs);
	tell_link(dev, state, offset, &vec, 1, dir, attrs, err);
	return err;
}

/* Remember the part of the reservation that the cursor's table translates. */
static void set_window(struct dma_link_window *w, const struct pgt_cursor *cursor,
		       const struct dma_iova_state *state, bool observed)
{
	uint64_t end = state->addr + (state_size(state) & ~GRANULE_MASK);
	uint64_t first = state->addr > cursor->base ? state->addr : cursor->base;
	uint64_t pages;

	if (end > cursor->base + PGT_TABLE_SPAN)
		end = cursor->base + PGT_TABLE_SPAN;
	pages = (end - first) >> GRANULE_SHIFT;
	*w = (struct dma_link_window){
		.addr = state->addr,
		.size = __dma_iova_word(state),
		.gen = cursor->gen | (observed ? WATCH_OBSERVED : 0),
		.first = first - state->addr,
		.pages = observed ? 0 : pages,
		.watched = observed ? pages : 0,
		.entries = &cursor->table[(first - cursor->base) >> GRANULE_SHIFT],
	};
}

static __always_inline void tell_link_page(struct dma_dev *dev, const struct dma_iova_state *state,
					   size_t offset, phys_addr_t phys,
					   enum dma_data_direction dir)
{
	struct base_observer *observer = dev->be->observer;

	observer->ops->linked_page(observer, dma_caller, dev, state, offset, phys, dir);
}

/* One granule of plain memory inside the reservation where the cursor is; else the long way. */
static __attribute__((__noinline__)) int link_at_cursor(struct dma_dev *dev,
							struct dma_iova_state *state,
							phys_addr_t phys, size_t offset,
							enum dma_data_direction dir)
{
	struct dma_slot *slot = dev->space->slots[base_thread];
	const struct backend *be = dev->be;
	uint64_t gen = dma_gen_watch(be);

	if (unlikely(!slot || ((phys ^ memory_plain.match) & memory_plain.mask) ||
		     (state->addr | offset) & GRANULE_MASK || is_settled(state) ||
		     (offset | GRANULE_MASK) >= state_size(state) ||
		     !pgt_cursor_link(&slot->cursor, gen & ~WATCH_OBSERVED, state->addr + offset,
				      phys | be->leaf_bits[dir])))
		return link_long(dev, state, phys, offset, GRANULE, dir, 0);
	counter_add(&slot->page_links, 1);
	set_window(&slot->window, &slot->cursor, state, gen & WATCH_OBSERVED);
	if (unlikely(gen & WATCH_OBSERVED))
		tell_link_page(dev, state, offset, phys, dir);
	return 0;
}

/*
 * Not in the window; in a space that is observed there is another one, where a link that
 * fits is told. Of @slot and @phys that much is known: there is a slot, and plain memory.
 */
static __attribute__((__noinline__)) int
link_outside(struct dma_dev *dev, struct dma_iova_state *state, phys_addr_t phys, size_t offset,
	     struct dma_slot *slot, enum dma_data_direction dir)
{
	uint64_t page = rotate_right(offset - slot->window.first, GRANULE_SHIFT);
	const struct backend *be = dev->be;
	uint64_t *entry;

	if (unlikely(page >= slot->window.watched || state->addr != slot->window.addr ||
		     __dma_iova_word(state) != slot->window.size ||
		     slot->window.gen != __atomic_load_n(&be->gen_watch, __ATOMIC_RELAXED)))
		return link_at_cursor(dev, state, phys, offset, dir);
	entry = &slot->window.entries[page];
	if (unlikely(__atomic_load_n(entry, __ATOMIC_RELAXED)))
		return link_at_cursor(dev, state, phys, offset, dir);
	__atomic_store_n(entry, phys | be->leaf_bits[dir], __ATOMIC_RELEASE);
	counter_step(&slot->page_links);
	tell_link_page(dev, state, offset, phys, dir);
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
		return DMA_CALLED(), link_long(dev, state, phys, offset, size, dir, attrs);
	__asm__ volatile(""); /* two branches, not one of a combined condition */
	if (unlikely((unsigned int)dir >= DMA_NONE || size != GRANULE))
		return DMA_CALLED(), link_long(dev, state, phys, offset, size, dir, 0);
	slot = dev->space->slots[base_thread];
	if (unlikely(!slot || (phys ^ memory_plain.match) & memory_plain.mask))
		return DMA_CALLED(), link_at_cursor(dev, state, phys, offset, dir);
	/* An offset inside a granule rotates into a page number beyond any window. */
	page = rotate_right(offset - slot->window.first, GRANULE_SHIFT);
	be = dev->be;
	if (unlikely(page >= slot->window.pages || state->addr != slot->window.addr ||
		     __dma_iova_word(state) != slot->window.size ||
		     slot->window.gen != __atomic_load_n(&be->gen_watch, __ATOMIC_RELAXED)))
		return DMA_CALLED(), link_outside(dev, state, phys, offset, slot, dir);
	entry = &slot->window.entries[page];
	if (unlikely(__atomic_load_n(entry, __ATOMIC_RELAXED)))
		return DMA_CALLED(), link_outside(dev, state, phys, offset, slot, dir);
	__atomic_store_n(entry, phys | be->leaf_bits[dir], __ATOMIC_RELEASE);
	counter_step(&slot->page_links);
	return 0;
}

static int link_vec_checked(struct dma_dev *dev, struct dma_iova_state *state,
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
	return link_checked(dev, state, vec, nr_vecs, offset,
			    at - offset + (vec[0].paddr & GRANULE_MASK), dir, attrs);
}

static __cold int link_vec_long(struct dma_dev *dev, struct dma_iova_state *state,
				const struct phys_vec *vec, size_t nr_vecs, size_t offset,
				enum dma_data_direction dir, unsigned long attrs)
{
	int err = link_vec_checked(dev, state, vec, nr_vecs, offset, dir, attrs);

	tell_link(dev, state, offset, vec, nr_vecs, dir, attrs, err);
	return err;
}

/* Whole pages of plain memory, inside the reservation of a device that has nothing to settle. */
static __always_inline bool is_plain_vec(const struct dma_dev *dev,
					 const struct dma_iova_state *state,
					 const struct phys_vec *vec, size_t nr_vecs, size_t offset,
					 enum dma_data_direction dir, unsigned long attrs)
{
	uint64_t total = state_size(state), bytes = (uint64_t)nr_vecs << GRANULE_SHIFT;

	return likely(nr_vecs && !is_foreign(dev, state) && nr_vecs <= total >> GRANULE_SHIFT &&
		      offset <= total - bytes && !((state->addr | offset) & GRANULE_MASK) &&
		      !attrs && (unsigned int)dir < DMA_NONE && !is_settled(state) &&
		      !(dma_gen_watch(dev->be) & WATCH_FORKED)) &&
	       likely(vec_is_pages(vec, nr_vecs, memory_plain.match, memory_plain.mask));
}

int dma_iova_link_vec(struct dma_dev *dev, struct dma_iova_state *state, const struct phys_vec *vec,
		      size_t nr_vecs, size_t offset, enum dma_data_direction dir,
		      unsigned long attrs)
{
	struct base_observer *observer = dma_observer(dev->be);
	int err;

	if (nr_vecs == 1 && likely(!observer))
		return dma_iova_link(dev, state, vec->paddr, offset, vec->len, dir, attrs);
	if (unlikely(!is_plain_vec(dev, state, vec, nr_vecs, offset, dir, attrs)))
		return DMA_CALLED(), link_vec_long(dev, state, vec, nr_vecs, offset, dir, attrs);
	err = dma_link(dev->space, state->addr + offset, vec, nr_vecs,
		       (uint64_t)nr_vecs << GRANULE_SHIFT, dir, PGT_ATTR_PAGES);
	if (unlikely(observer)) {
		DMA_CALLED();
		tell_link(dev, state, offset, vec, nr_vecs, dir, attrs, err);
	}
	return err;
}

static __always_inline int sync_links(struct dma_dev *dev, struct dma_iova_state *state,
				      size_t offset, size_t size)
{
	uint64_t total = state_size(state);
	bool whole = __dma_iova_word(state) & __DMA_IOVA_WHOLE;
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

int dma_iova_sync(struct dma_dev *dev, struct dma_iova_state *state, size_t offset, size_t size)
{
	struct base_observer *observer = dma_observer(dev->be);
	int err = sync_links(dev, state, offset, size);

	if (unlikely(observer && !err)) {
		DMA_CALLED();
		observer->ops->synced(observer, dma_caller, dev, state, offset, size);
	}
	return err;
}
