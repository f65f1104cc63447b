/* SPDX-License-Identifier: MIT */
/* Streaming mappings: one call maps one piece of memory, one call ends it. */
#include "dma/lazy.h"

static __always_inline uint64_t pages_of(uint64_t addr, uint64_t size)
{
	return ((addr & GRANULE_MASK) + size + GRANULE_MASK) >> GRANULE_SHIFT;
}

/* What is refused on every backend; -errno with the error text. */
static int check_map(struct dma_dev *dev, phys_addr_t phys, size_t size,
		     enum dma_data_direction dir)
{
	const struct memory_record *record;
	int err = dma_space_check(dev->space);

	if (err)
		return err;
	if ((unsigned int)dir >= DMA_NONE)
		return base_error(-EINVAL,
				  "map of 0x%llx without a direction; say what the device will "
				  "do with it",
				  (unsigned long long)phys);
	if (!size)
		return base_error(-EINVAL, "map of 0 bytes at 0x%llx", (unsigned long long)phys);
	return memory_check(phys, size, &record);
}

/* What the device gets itself and what must be bounced; REACH_REFUSED with the error text. */
static enum dma_reach map_reach(struct dma_dev *dev, phys_addr_t phys, size_t size,
				enum dma_data_direction dir, unsigned long attrs)
{
	enum dma_reach reach;

	if (attrs & DMA_ATTR_REQUIRE_COHERENT && dev->noncoherent) {
		base_error(-EOPNOTSUPP,
			   "map of 0x%llx: DMA_ATTR_REQUIRE_COHERENT, and %s is not coherent",
			   (unsigned long long)phys, dev->name);
		return REACH_REFUSED;
	}
	/* Behind an IOMMU, MMIO is never bounced for its alignment. */
	if (attrs & DMA_ATTR_MMIO && dev->be->translates && !dma_must_bounce_whole(dev, phys))
		return REACH_ITSELF;
	reach = dma_reach(dev, phys, size, dir, attrs);
	if (reach == REACH_REFUSED)
		dma_reach_refused(dev, -EPERM, "map", phys, size);
	return reach;
}

/* Where devices find the memory; -ENXIO without the error text: they cannot have it. */
static int take(struct dma_dev *dev, phys_addr_t phys, size_t size, dma_addr_t *addr)
{
	int err = dev->be->ops->take(dev->be, phys, size, addr);

	if (err || *addr + (size - 1) <= dma_dev_reach(dev))
		return err;
	dev->be->ops->release(dev->be, phys, size);
	return -ENXIO;
}

/* A buffer that the device finds at another address than the CPU. */
static dma_addr_t map_lent(struct dma_dev *dev, phys_addr_t phys, size_t size,
			   enum dma_data_direction dir, unsigned long attrs)
{
	phys_addr_t lent;
	dma_addr_t addr;
	int err;

	if (dma_lend(dev, phys, size, 0, dev->min_align_mask, dir, attrs, &lent))
		return DMA_MAPPING_ERROR;
	err = take(dev, lent, size, &addr);
	if (!err)
		return addr;
	dma_take_back(lent);
	if (err == -ENXIO)
		base_error(
			-ENOMEM,
			"map of %zu bytes at 0x%llx: %s cannot have the bounce buffers, which are "
			"in huge pages above 0x%llx; set a wider mask with "
			"dma_set_mask_and_coherent()",
			size, (unsigned long long)phys, dev->name,
			(unsigned long long)dma_dev_reach(dev));
	return DMA_MAPPING_ERROR;
}

/* Without translation, where memory is elsewhere for devices. */
static dma_addr_t map_taken(struct dma_dev *dev, phys_addr_t phys, size_t size,
			    enum dma_data_direction dir, unsigned long attrs)
{
	enum dma_reach reach = map_reach(dev, phys, size, dir, attrs);
	dma_addr_t addr;
	int err;

	if (reach == REACH_BOUNCED)
		return map_lent(dev, phys, size, dir, attrs);
	if (reach == REACH_REFUSED)
		return DMA_MAPPING_ERROR;
	err = take(dev, phys, size, &addr);
	if (!err)
		return addr;
	if (err != -ENXIO)
		return DMA_MAPPING_ERROR;
	if (!(attrs & (DMA_ATTR_MMIO | DMA_ATTR_REQUIRE_COHERENT)) &&
	    memory_cpu_address(phys, size))
		return map_lent(dev, phys, size, dir, attrs);
	dma_reach_refused(dev, -EPERM, "map", phys, size);
	return DMA_MAPPING_ERROR;
}

static dma_addr_t map_direct(struct dma_dev *dev, phys_addr_t phys, size_t size,
			     enum dma_data_direction dir, unsigned long attrs)
{
	phys_addr_t lent;

	if (dma_is_taken(dev->be))
		return map_taken(dev, phys, size, dir, attrs);
	if (unlikely(dev->place) && dma_place_hides(dev, phys, size)) {
		base_error(-EADDRINUSE,
			   "map of 0x%llx: the bus of %s has BARs at these addresses, and no IOMMU "
			   "to give others; use memory elsewhere",
			   (unsigned long long)phys, dev->name);
		return DMA_MAPPING_ERROR;
	}
	switch (map_reach(dev, phys, size, dir, attrs)) {
	case REACH_ITSELF:
		return phys;
	case REACH_BOUNCED:
		if (!dma_lend(dev, phys, size, 0, dev->min_align_mask, dir, attrs, &lent))
			return lent;
		break;
	case REACH_REFUSED:
		break;
	}
	return DMA_MAPPING_ERROR;
}

int dma_map_granules(struct dma_dev *dev, struct dma_slot *slot, dma_addr_t iova, phys_addr_t phys,
		     size_t size, enum iova_kind kind, enum dma_data_direction dir,
		     unsigned long attrs)
{
	struct dma_space *space = dev->space;
	const struct phys_vec vec = {phys, size};
	uint64_t pages = pages_of(phys, size), bytes = pages << GRANULE_SHIFT;
	int err = dma_link(space, iova, &vec, 1, (phys & GRANULE_MASK) + size, dir,
			   attrs & ~PGT_ATTR_PRIVATE);
	uint64_t linked = err ? 0 : bytes;

	if (!err && dev->be->needs_sync)
		err = dma_sync_links(space, iova, bytes, false);
	if (!err)
		return 0;
	iova_retire(&space->iova, slot_iova(slot), iova >> GRANULE_SHIFT, pages, kind);
	dma_take_away(space, &(struct dma_removal){
				     .iova = iova,
				     .size = bytes,
				     .linked = linked,
				     .after = RELEASE_IOVA,
				     .what = "undoing a map",
			     });
	return err;
}

/* Let the device at @phys, which it may have itself. */
static dma_addr_t map_iova(struct dma_dev *dev, phys_addr_t phys, size_t size, enum iova_kind kind,
			   enum dma_data_direction dir, unsigned long attrs)
{
	struct dma_space *space = dev->space;
	struct dma_slot *slot = dma_slot(space);
	uint64_t pfn;

	if (dma_cache_prepare(dev, phys, size, attrs))
		return DMA_MAPPING_ERROR;
	/* For the unmap, which allocates nothing. */
	dma_lazy_equip(space, slot);
	pfn = dma_iova_alloc(dev, slot, pages_of(phys, size), 0, kind);
	if (!pfn) {
		dma_no_iova(dev, size);
		return DMA_MAPPING_ERROR;
	}
	if (dma_map_granules(dev, slot, pfn << GRANULE_SHIFT, phys, size, kind, dir, attrs))
		return DMA_MAPPING_ERROR;
	dma_cache_clean(dev, phys, size, attrs);
	slot_count(slot, &slot->allocs, 1);
	return pfn << GRANULE_SHIFT | (phys & GRANULE_MASK);
}

static dma_addr_t map_bounced(struct dma_dev *dev, phys_addr_t phys, size_t size,
			      enum iova_kind kind, enum dma_data_direction dir, unsigned long attrs)
{
	phys_addr_t lent;
	dma_addr_t addr;

	if (dma_lend(dev, phys, size, GRANULE_MASK, dev->min_align_mask, dir, attrs, &lent))
		return DMA_MAPPING_ERROR;
	addr = map_iova(dev, lent, size, kind, dir, attrs);
	if (addr == DMA_MAPPING_ERROR)
		dma_take_back(lent);
	return addr;
}

/* The record of a mapping with nothing to settle. */
static enum iova_kind plain_kind(const struct dma_dev *dev)
{
	return dev->lazy ? IOVA_LAZY : IOVA_STREAMING;
}

/* Of kind @settled, if there is something to settle when it ends, and of @plain if not. */
static dma_addr_t map_translated(struct dma_dev *dev, phys_addr_t phys, size_t size,
				 enum iova_kind plain, enum iova_kind settled,
				 enum dma_data_direction dir, unsigned long attrs)
{
	if (attrs & DMA_ATTR_CC_SHARED) {
		base_error(-EINVAL,
			   "map of 0x%llx: DMA_ATTR_CC_SHARED has no meaning behind an IOMMU",
			   (unsigned long long)phys);
		return DMA_MAPPING_ERROR;
	}
	if (dev->min_align_mask > GRANULE_MASK) {
		base_error(-EINVAL,
			   "map of 0x%llx: the minimum alignment mask 0x%x of %s is wider than "
			   "a granule",
			   (unsigned long long)phys, dev->min_align_mask, dev->name);
		return DMA_MAPPING_ERROR;
	}
	switch (map_reach(dev, phys, size, dir, attrs)) {
	case REACH_ITSELF:
		return map_iova(dev, phys, size, dev->noncoherent ? settled : plain, dir, attrs);
	case REACH_BOUNCED:
		return map_bounced(dev, phys, size, settled, dir, attrs);
	case REACH_REFUSED:
		break;
	}
	return DMA_MAPPING_ERROR;
}

/*
 * Inside one granule of plain memory, and nothing special about the device: @limit_pfn is
 * what it may reach by this way with a record of @kind. @gen is the generation word, perhaps
 * without the observer's bit. DMA_MAPPING_ERROR: take the long way.
 */
static __always_inline dma_addr_t map_page(struct dma_dev *dev, uint64_t gen, uint64_t limit_pfn,
					   enum iova_kind kind, phys_addr_t phys, size_t size,
					   enum dma_data_direction dir, unsigned long attrs)
{
	struct dma_space *space = dev->space;
	struct dma_slot *slot = space->slots[base_thread];
	struct backend *be = dev->be;
	uint64_t offset = phys & GRANULE_MASK;
	uint64_t pfn;

	if (unlikely(!limit_pfn || !slot || gen & PGT_GEN_WATCH || attrs ||
		     size - 1 >= GRANULE - offset || (unsigned int)dir >= DMA_NONE ||
		     ((phys - offset) ^ memory_plain.match) & memory_plain.mask ||
		     !iova_alloc_short(&space->iova, &slot->iova, 1, limit_pfn, kind, &pfn)))
		return DMA_MAPPING_ERROR;
	if (likely(pgt_cursor_link(&slot->cursor, gen, pfn << GRANULE_SHIFT,
				   (phys - offset) | be->leaf_bits[dir]))) {
		counter_step(&slot->page_links);
		counter_step(&slot->allocs);
		return pfn << GRANULE_SHIFT | offset;
	}
	iova_retire(&space->iova, &slot->iova, pfn, 1, kind);
	iova_give_back(&space->iova, &slot->iova, pfn, 1);
	return DMA_MAPPING_ERROR;
}

static __cold dma_addr_t map_any(struct dma_dev *dev, phys_addr_t phys, size_t size,
				 enum dma_data_direction dir, unsigned long attrs)
{
	if (check_map(dev, phys, size, dir))
		return DMA_MAPPING_ERROR;
	if (!dev->be->translates)
		return map_direct(dev, phys, size, dir, attrs);
	return map_translated(dev, phys, size, plain_kind(dev), IOVA_SETTLED, dir, attrs);
}

dma_addr_t dma_map_entry(struct dma_dev *dev, phys_addr_t phys, size_t size,
			 enum dma_data_direction dir, unsigned long attrs)
{
	if (dev->ahead)
		return dma_premap_map(dev, phys, size, dir, attrs & ~DMA_ATTR_CC_SHARED);
	if (!dev->be->translates)
		return map_direct(dev, phys, size, dir, attrs);
	return map_translated(dev, phys, size, IOVA_SG_ENTRY, IOVA_SG_ENTRY, dir,
			      attrs & ~DMA_ATTR_CC_SHARED);
}

/* The short way in a lazy space, which the strict one has refused. */
static __attribute__((__noinline__)) dma_addr_t map_lazy(struct dma_dev *dev, phys_addr_t phys,
							 size_t size, enum dma_data_direction dir,
							 unsigned long attrs)
{
	uint64_t gen = dma_gen_watch(dev->be) & ~WATCH_OBSERVED;
	dma_addr_t addr = map_page(dev, gen, dev->map_limit_pfn, IOVA_LAZY, phys, size, dir, attrs);

	if (likely(addr != DMA_MAPPING_ERROR))
		return addr;
	return map_any(dev, phys, size, dir, attrs);
}

/* The last thing that a map in a space with an observer does; @addr is what it returns. */
static __attribute__((__noinline__)) dma_addr_t tell_mapped(struct dma_dev *dev, phys_addr_t phys,
							    size_t size,
							    enum dma_data_direction dir,
							    unsigned long attrs, dma_addr_t addr)
{
	struct base_observer *observer = dev->be->observer;

	observer->ops->mapped(observer, dma_caller, dev, addr, phys, size, dir, attrs);
	return addr;
}

static __attribute__((__noinline__)) dma_addr_t map_long(struct dma_dev *dev, phys_addr_t phys,
							 size_t size, enum dma_data_direction dir,
							 unsigned long attrs)
{
	struct base_observer *observer = dma_observer(dev->be);
	dma_addr_t addr;

	/* The region is what was mapped, and what observers have been told of. */
	if (dev->ahead)
		return dma_premap_map(dev, phys, size, dir, attrs);
	if (likely(!observer))
		return map_any(dev, phys, size, dir, attrs);
	addr = dev->lazy ? map_lazy(dev, phys, size, dir, attrs)
			 : map_any(dev, phys, size, dir, attrs);
	if (addr == DMA_MAPPING_ERROR)
		return addr;
	return tell_mapped(dev, phys, size, dir, attrs, addr);
}

static __always_inline dma_addr_t map(struct dma_dev *dev, phys_addr_t phys, size_t size,
				      enum dma_data_direction dir, unsigned long attrs)
{
	uint64_t gen = dma_gen_watch(dev->be);
	dma_addr_t addr = map_page(dev, gen & ~WATCH_OBSERVED, dev->strict_limit_pfn,
				   IOVA_STREAMING, phys, size, dir, attrs);

	if (likely(addr != DMA_MAPPING_ERROR)) {
		if (likely(!(gen & WATCH_OBSERVED)))
			return addr;
		return DMA_CALLED(), tell_mapped(dev, phys, size, dir, attrs, addr);
	}
	if (unlikely(gen & PGT_GEN_WATCH))
		return DMA_CALLED(), map_long(dev, phys, size, dir, attrs);
	if (dev->ahead)
		return dma_premap_map(dev, phys, size, dir, attrs);
	if (dev->lazy)
		return map_lazy(dev, phys, size, dir, attrs);
	return map_any(dev, phys, size, dir, attrs);
}

dma_addr_t dma_map_phys(struct dma_dev *dev, phys_addr_t phys, size_t size,
			enum dma_data_direction dir, unsigned long attrs)
{
	return map(dev, phys, size, dir, attrs);
}

/* What the unmap calls are for. */
static bool is_mapping(enum iova_kind kind)
{
	return kind == IOVA_STREAMING || kind == IOVA_SETTLED || kind == IOVA_LAZY;
}

static bool is_of_list(enum iova_kind kind)
{
	return kind == IOVA_SG || kind == IOVA_SG_ENTRY;
}

/* Whether an unmap ends such a range, be it the wrong call. */
static bool is_streaming(enum iova_kind kind)
{
	return is_mapping(kind) || is_of_list(kind);
}

/* By what a mapping that was unmapped by the wrong call was made. */
static const char *made_by(enum iova_kind kind)
{
	return is_of_list(kind) ? "dma_map_sg_attrs()" : "dma_map_phys()";
}

__cold uint64_t dma_unmap_mismatch(struct dma_dev *dev, dma_addr_t addr, uint64_t size,
				   enum iova_kind *kind)
{
	struct dma_space *space = dev->space;
	struct dma_slot *slot = dma_slot(space);
	uint64_t pfn = addr >> GRANULE_SHIFT;
	uint64_t pages = iova_live(&space->iova, pfn, kind);

	if (pages && is_streaming(*kind) &&
	    !iova_retire(&space->iova, slot_iova(slot), pfn, pages, *kind)) {
		dma_misuse(space,
			   "unmap of %llu bytes at 0x%llx: %llu bytes are mapped there, with %s; "
			   "all of it was unmapped",
			   (unsigned long long)size, (unsigned long long)addr,
			   (unsigned long long)(pages << GRANULE_SHIFT), made_by(*kind));
		return pages;
	}
	if (addr == DMA_MAPPING_ERROR)
		dma_misuse(space,
			   "unmap of DMA_MAPPING_ERROR; check dma_mapping_error() after mapping");
	else if (pages && *kind == IOVA_ALLOCATED)
		dma_misuse(space,
			   "unmap of 0x%llx, which was allocated for the device; use "
			   "dma_free_coherent(), or the call that fits",
			   (unsigned long long)addr);
	else if (pages && *kind == IOVA_AHEAD)
		dma_misuse(
			space,
			"unmap of 0x%llx, which is mapped ahead; use dma_unpremap() when nothing "
			"of the region is in use",
			(unsigned long long)addr);
	else if (pages)
		dma_misuse(space,
			   "unmap of 0x%llx, which was reserved with dma_iova_try_alloc(); use "
			   "dma_iova_destroy()",
			   (unsigned long long)addr);
	else
		dma_misuse(space,
			   "unmap of 0x%llx: nothing is mapped there; was it unmapped before?",
			   (unsigned long long)addr);
	return 0;
}

/* The granules at @addr are the caller's: how many, and whether they must be settled; 0: none. */
static uint64_t retire_mapping(struct dma_dev *dev, struct dma_slot *slot, dma_addr_t addr,
			       size_t size, enum iova_kind *kind)
{
	uint64_t pages = size - 1 < SIZE_MAX - 2 * GRANULE ? pages_of(addr, size) : 0;
	struct iova_space *iova = &dev->space->iova;
	uint64_t pfn = addr >> GRANULE_SHIFT;

	*kind = IOVA_STREAMING;
	if (dev->noncoherent || dev->space->lazy ||
	    __atomic_load_n(&dev->space->bounced, __ATOMIC_RELAXED)) {
		iova_live(iova, pfn, kind);
		if (!is_mapping(*kind))
			*kind = IOVA_STREAMING;
	}
	if (likely(pages && !iova_retire(iova, slot_iova(slot), pfn, pages, *kind)))
		return pages;
	return dma_unmap_mismatch(dev, addr, size, kind);
}

/*
 * Nothing is in the way of the device here; but a buffer that was lent comes back,
 * whatever attributes say: what may not be bounced has no address of a buffer.
 */
static void give_back_lent(struct dma_dev *dev, phys_addr_t phys, enum dma_data_direction dir,
			   unsigned long attrs)
{
	struct bounce_list list = {NULL};
	struct bounce_mapping *bounced;

	if (likely(!__atomic_load_n(&dev->bounced, __ATOMIC_RELAXED)))
		return;
	bounced = bounce_find(phys);
	if (!bounced)
		return;
	/* As strict as it can be: what the device has begun is over before bytes are copied. */
	dev->be->ops->drain(dev->be);
	bounce_list_add(&list, bounced, dma_copies_back(dir, attrs));
	bounce_list_finish(&list);
}

static void unmap_direct(struct dma_dev *dev, dma_addr_t addr, size_t size,
			 enum dma_data_direction dir, unsigned long attrs)
{
	phys_addr_t phys;

	if (likely(!dma_is_taken(dev->be))) {
		give_back_lent(dev, addr, dir, attrs);
	} else if (dev->be->ops->lookup(dev->be, addr, &phys)) {
		dev->be->ops->release(dev->be, phys, size);
		give_back_lent(dev, phys, dir, attrs);
	}
}

void dma_take_mapping(struct dma_dev *dev, dma_addr_t addr, size_t size, uint64_t pages,
		      enum iova_kind kind, enum dma_data_direction dir, unsigned long attrs,
		      struct dma_gather *gather, bool lazy)
{
	bool settled = kind == IOVA_SETTLED || kind == IOVA_SG_ENTRY;
	bool queued = kind == IOVA_LAZY || (kind == IOVA_SG && dev->lazy);
	struct dma_slot *slot = dma_slot(dev->space);

	slot_count(slot, &slot->frees, 1);
	dma_take_away(dev->space, &(struct dma_removal){
					  .iova = addr & ~GRANULE_MASK,
					  .size = pages << GRANULE_SHIFT,
					  .linked = pages << GRANULE_SHIFT,
					  .after = RELEASE_IOVA,
					  .gather = gather,
					  .lazy = lazy && queued,
					  .what = "unmap",
					  .told = kind == IOVA_SG,
					  .settle = settled ? dev : NULL,
					  .addr = addr,
					  .bytes = size,
					  .dir = dir,
					  .attrs = attrs,
				  });
}

/* Whether an unmap may be queued. What was given a gather, fitting or not, is never lazy. */
enum unmap_how { UNMAP, UNMAP_STRICT };

static __cold void unmap_any(struct dma_dev *dev, dma_addr_t addr, size_t size,
			     enum dma_data_direction dir, unsigned long attrs,
			     struct dma_gather *gather, enum unmap_how how)
{
	enum iova_kind kind;
	uint64_t pages;

	if (dma_space_check(dev->space))
		return;
	if (dev->ahead) {
		dma_premap_unmap(dev, addr, size, dir, attrs);
		return;
	}
	if (!dev->be->translates) {
		unmap_direct(dev, addr, size, dir, attrs);
		return;
	}
	if (attrs & DMA_ATTR_CC_SHARED)
		return;
	pages = retire_mapping(dev, dma_slot(dev->space), addr, size, &kind);
	if (pages)
		dma_take_mapping(dev, addr, size, pages, kind, dir, attrs, gather, how == UNMAP);
}

void dma_unmap_entry(struct dma_dev *dev, dma_addr_t addr, size_t size, enum dma_data_direction dir,
		     unsigned long attrs, struct dma_gather *gather)
{
	struct iova_cache *cache = slot_iova(dma_slot(dev->space));
	uint64_t pages = pages_of(addr, size);
	enum iova_kind kind = IOVA_SG_ENTRY;

	if (dev->ahead) {
		dma_premap_unmap(dev, addr, size, dir, attrs);
		return;
	}
	if (!dev->be->translates) {
		unmap_direct(dev, addr, size, dir, attrs);
		return;
	}
	if (iova_retire(&dev->space->iova, cache, addr >> GRANULE_SHIFT, pages, kind))
		pages = dma_unmap_mismatch(dev, addr, size, &kind);
	if (pages)
		dma_take_mapping(dev, addr, size, pages, kind, dir, attrs, gather, false);
}

static __always_inline bool is_page(dma_addr_t addr, size_t size, unsigned long attrs)
{
	return likely(!attrs && size - 1 < GRANULE - (addr & GRANULE_MASK));
}

/* Inside one granule, with nothing to settle. */
static __always_inline bool unmap_page(struct dma_dev *dev, uint64_t gen, dma_addr_t addr,
				       size_t size, unsigned long attrs, struct dma_gather *gather)
{
	return is_page(addr, size, attrs) &&
	       likely(dma_drop_granule(dev, gen, addr & ~GRANULE_MASK, IOVA_STREAMING, gather,
				       "unmap"));
}

/* The short way in a lazy space, which the strict one has refused. */
static __attribute__((__noinline__)) void unmap_lazy(struct dma_dev *dev, dma_addr_t addr,
						     size_t size, enum dma_data_direction dir,
						     unsigned long attrs, struct dma_gather *gather,
						     enum unmap_how how)
{
	uint64_t gen = dma_gen_watch(dev->be) & ~WATCH_OBSERVED;
	dma_addr_t iova = addr & ~GRANULE_MASK;

	if (is_page(addr, size, attrs) &&
	    (how == UNMAP ? dma_lazy_drop_granule(dev, gen, iova, "unmap")
			  : dma_drop_granule(dev, gen, iova, IOVA_LAZY, gather, "unmap")))
		return;
	unmap_any(dev, addr, size, dir, attrs, gather, how);
}

static __always_inline void unmap_watched(struct dma_dev *dev, dma_addr_t addr, size_t size,
					  enum dma_data_direction dir, unsigned long attrs,
					  struct dma_gather *gather, enum unmap_how how)
{
	struct base_observer *observer = dev->ahead ? NULL : dma_observer(dev->be);

	if (observer) {
		observer->ops->unmapping(observer, dma_caller, dev, addr, size, dir, attrs);
		if (unmap_page(dev, dma_gen_watch(dev->be) & ~WATCH_OBSERVED, addr, size, attrs,
			       gather))
			return;
	}
	if (dev->lazy)
		unmap_lazy(dev, addr, size, dir, attrs, gather, how);
	else
		unmap_any(dev, addr, size, dir, attrs, gather, how);
}

/* Without a gather, and with: what one function took for both would be on the stack. */
static __attribute__((__noinline__)) void unmap_long(struct dma_dev *dev, dma_addr_t addr,
						     size_t size, enum dma_data_direction dir,
						     unsigned long attrs)
{
	unmap_watched(dev, addr, size, dir, attrs, NULL, UNMAP);
}

static __attribute__((__noinline__)) void
unmap_long_strict(struct dma_dev *dev, dma_addr_t addr, size_t size, enum dma_data_direction dir,
		  unsigned long attrs, struct dma_gather *gather)
{
	unmap_watched(dev, addr, size, dir, attrs, gather, UNMAP_STRICT);
}

static __always_inline void unmap(struct dma_dev *dev, dma_addr_t addr, size_t size,
				  enum dma_data_direction dir, unsigned long attrs,
				  struct dma_gather *gather, enum unmap_how how)
{
	uint64_t gen = dma_gen_watch(dev->be);

	if (unlikely(gen & PGT_GEN_WATCH)) {
		DMA_CALLED();
		if (how == UNMAP)
			unmap_long(dev, addr, size, dir, attrs);
		else
			unmap_long_strict(dev, addr, size, dir, attrs, gather);
	} else if (unlikely(!unmap_page(dev, gen, addr, size, attrs, gather))) {
		if (dev->lazy)
			unmap_lazy(dev, addr, size, dir, attrs, gather, how);
		else
			unmap_any(dev, addr, size, dir, attrs, gather, how);
	}
}

void dma_unmap_phys(struct dma_dev *dev, dma_addr_t addr, size_t size, enum dma_data_direction dir,
		    unsigned long attrs)
{
	unmap(dev, addr, size, dir, attrs, NULL, UNMAP);
}

void dma_unmap_phys_gather(struct dma_dev *dev, dma_addr_t addr, size_t size,
			   enum dma_data_direction dir, unsigned long attrs,
			   struct dma_gather *gather)
{
	unmap(dev, addr, size, dir, attrs, dma_gather_for(gather, dev->space), UNMAP_STRICT);
}

dma_addr_t dma_map_single_attrs(struct dma_dev *dev, void *ptr, size_t size,
				enum dma_data_direction dir, unsigned long attrs)
{
	return map(dev, dma_virt_to_phys(ptr), size, dir, attrs);
}

/*
 * The same function, by another name: two that are alike a compiler may merge into one that
 * calls the other, and that call is what observers would be told.
 */
void dma_unmap_single_attrs(struct dma_dev *dev, dma_addr_t addr, size_t size,
			    enum dma_data_direction dir, unsigned long attrs)
	__attribute__((__alias__("dma_unmap_phys")));

dma_addr_t dma_map_resource(struct dma_dev *dev, phys_addr_t phys, size_t size,
			    enum dma_data_direction dir, unsigned long attrs)
{
	DMA_CALLED();
	return map_long(dev, phys, size, dir, attrs | DMA_ATTR_MMIO);
}

void dma_unmap_resource(struct dma_dev *dev, dma_addr_t addr, size_t size,
			enum dma_data_direction dir, unsigned long attrs)
{
	DMA_CALLED();
	unmap_long(dev, addr, size, dir, attrs | DMA_ATTR_MMIO);
}

static int mapping_error(dma_addr_t addr)
{
	return addr == DMA_MAPPING_ERROR ? -ENOMEM : 0;
}

static __attribute__((__noinline__)) int tell_checked(struct dma_dev *dev, dma_addr_t addr)
{
	struct base_observer *observer = dma_observer(dev->be);

	if (observer)
		observer->ops->checked(observer, dev, addr);
	return mapping_error(addr);
}

int dma_mapping_error(struct dma_dev *dev, dma_addr_t addr)
{
	if (unlikely(dev->observed))
		return tell_checked(dev, addr);
	return mapping_error(addr);
}
