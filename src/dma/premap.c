/* SPDX-License-Identifier: MIT */
/* Memory mapped ahead: registering it, translating, and mapping on devices that do no more. */
#include <twostep/premap.h>

#include "dma/dma.h"

/* Larger than, or beyond, all the memory that can be mapped ahead; also 0 bytes. */
static __always_inline bool is_beyond(uint64_t size, phys_addr_t phys)
{
	return ((size - 1) | phys) >> PREMAP_PHYS_BITS;
}

static __always_inline uint64_t pages_of(uint64_t addr, uint64_t size)
{
	return ((addr & GRANULE_MASK) + size + GRANULE_MASK) >> GRANULE_SHIFT;
}

static __always_inline const uint64_t *top_of(const struct dma_space *space)
{
	return __atomic_load_n(&space->premap.top, __ATOMIC_ACQUIRE);
}

/* Translating. */

/* DMA_MAPPING_ERROR: something is wrong, or the entry does not tell all. */
static __always_inline dma_addr_t translate(const struct dma_dev *dev, phys_addr_t phys,
					    size_t size, enum dma_data_direction dir)
{
	const uint64_t *top = top_of(dev->space);
	uint64_t entry, more;
	dma_addr_t addr;

	if (unlikely(!top || is_beyond(size, phys) || (unsigned int)dir >= DMA_NONE ||
		     dma_gen_watch(dev->be) & WATCH_FORKED))
		return DMA_MAPPING_ERROR;
	entry = premap_entry(top, phys, &more);
	addr = phys + (entry & PREMAP_DELTA);
	if (unlikely(!(entry >> dir & 1) ||
		     ((phys & GRANULE_MASK) + (size - 1)) >> GRANULE_SHIFT > more ||
		     (addr + (size - 1)) >> GRANULE_SHIFT > dev->limit_pfn))
		return DMA_MAPPING_ERROR;
	return addr;
}

/* How many bytes from @phys on are in one region, not counted beyond @size. */
static uint64_t bytes_ahead(const uint64_t *top, phys_addr_t phys, uint64_t size)
{
	uint64_t reached = 0, more;

	for (;;) {
		uint64_t entry = premap_entry(top, phys + reached, &more);
		uint64_t follow = entry >> PREMAP_MORE_SHIFT & PREMAP_MORE_MAX;

		if (!entry)
			return reached;
		if ((more + 1) * GRANULE - (phys & GRANULE_MASK) >= size - reached)
			return size;
		/* The granule that is the last for sure is in the same region. */
		if (follow < PREMAP_MORE_MAX)
			return reached + (more + 1) * GRANULE - (phys & GRANULE_MASK);
		reached += more * GRANULE;
	}
}

static __cold dma_addr_t not_ahead(const struct dma_dev *dev, phys_addr_t phys, size_t size,
				   uint64_t ahead)
{
	if (ahead)
		base_error(-ENOENT,
			   "map of %zu bytes at 0x%llx: the region that is mapped ahead there ends "
			   "after %llu bytes; map what is in one region, or register larger ones "
			   "with dma_premap()",
			   size, (unsigned long long)phys, (unsigned long long)ahead);
	else
		base_error(-ENOENT,
			   "map of %zu bytes at 0x%llx: this memory is not mapped ahead for %s; "
			   "register it with dma_premap() first",
			   size, (unsigned long long)phys, dev->name);
	return DMA_MAPPING_ERROR;
}

/* What the short way leaves: long ranges, and everything that is wrong. */
static __cold dma_addr_t translate_long(const struct dma_dev *dev, phys_addr_t phys, size_t size,
					enum dma_data_direction dir)
{
	static const char *const words[] = {"DMA_BIDIRECTIONAL", "DMA_TO_DEVICE",
					    "DMA_FROM_DEVICE"};
	const uint64_t *top = top_of(dev->space);
	unsigned long long at = phys;
	uint64_t entry = 0, more, ahead;
	dma_addr_t addr;

	if (dma_space_check(dev->space))
		return DMA_MAPPING_ERROR;
	if ((unsigned int)dir >= DMA_NONE || !size) {
		base_error(-EINVAL,
			   "map of %zu bytes at 0x%llx with direction %d; map at least 1 byte, and "
			   "say what the device will do with it",
			   size, at, (int)dir);
		return DMA_MAPPING_ERROR;
	}
	if (top && !(phys >> PREMAP_PHYS_BITS))
		entry = premap_entry(top, phys, &more);
	if (!entry)
		return not_ahead(dev, phys, size, 0);
	ahead = bytes_ahead(top, phys, is_beyond(size, phys) ? SIZE_MAX - GRANULE : size);
	if (ahead < size)
		return not_ahead(dev, phys, size, ahead);
	if (!(entry >> dir & 1)) {
		base_error(-EACCES,
			   "map of %zu bytes at 0x%llx with %s: the region was registered with %s; "
			   "register it with all that the device will do",
			   size, at, words[dir],
			   words[entry >> DMA_TO_DEVICE & 1 ? DMA_TO_DEVICE : DMA_FROM_DEVICE]);
		return DMA_MAPPING_ERROR;
	}
	addr = phys + (entry & PREMAP_DELTA);
	if ((addr + (size - 1)) >> GRANULE_SHIFT > dev->limit_pfn) {
		base_error(-ERANGE,
			   "map of %zu bytes at 0x%llx: it is mapped ahead at 0x%llx, and %s "
			   "reaches 0x%llx only; register it with a device of that mask, or set a "
			   "wider one with dma_set_mask_and_coherent()",
			   size, at, (unsigned long long)addr, dev->name,
			   (unsigned long long)dma_dev_reach(dev));
		return DMA_MAPPING_ERROR;
	}
	return addr;
}

dma_addr_t dma_premap_translate(struct dma_dev *dev, phys_addr_t phys, size_t size,
				enum dma_data_direction dir)
{
	dma_addr_t addr = translate(dev, phys, size, dir);

	return likely(addr != DMA_MAPPING_ERROR) ? addr : translate_long(dev, phys, size, dir);
}

/* Devices that map nothing else. */

static int check_map(const struct dma_dev *dev, phys_addr_t phys, size_t size,
		     enum dma_data_direction dir, unsigned long attrs)
{
	if (attrs & DMA_ATTR_CC_SHARED && dev->be->translates)
		return base_error(
			-EINVAL, "map of 0x%llx: DMA_ATTR_CC_SHARED has no meaning behind an IOMMU",
			(unsigned long long)phys);
	if (attrs & DMA_ATTR_REQUIRE_COHERENT && dev->noncoherent)
		return base_error(
			-EOPNOTSUPP,
			"map of 0x%llx: DMA_ATTR_REQUIRE_COHERENT, and %s is not coherent",
			(unsigned long long)phys, dev->name);
	return dma_reach_ahead(dev, "map", phys, size, dir, attrs, true);
}

static __cold dma_addr_t map_long(struct dma_dev *dev, phys_addr_t phys, size_t size,
				  enum dma_data_direction dir, unsigned long attrs)
{
	dma_addr_t addr = dma_premap_translate(dev, phys, size, dir);

	if (addr == DMA_MAPPING_ERROR || check_map(dev, phys, size, dir, attrs))
		return DMA_MAPPING_ERROR;
	/* Another device may have registered it, one that is coherent. */
	if (dma_cache_prepare(dev, phys, size, attrs))
		return DMA_MAPPING_ERROR;
	dma_cache_clean(dev, phys, size, attrs);
	return addr;
}

dma_addr_t dma_premap_map(struct dma_dev *dev, phys_addr_t phys, size_t size,
			  enum dma_data_direction dir, unsigned long attrs)
{
	dma_addr_t addr;

	if (unlikely(dev->noncoherent || attrs & DMA_ATTR_CC_SHARED))
		return map_long(dev, phys, size, dir, attrs);
	addr = translate(dev, phys, size, dir);
	return likely(addr != DMA_MAPPING_ERROR) ? addr : map_long(dev, phys, size, dir, attrs);
}

void dma_premap_unmap(struct dma_dev *dev, dma_addr_t addr, size_t size,
		      enum dma_data_direction dir, unsigned long attrs)
{
	if (dev->noncoherent && size && addr + size - 1 >= addr && dma_copies_back(dir, attrs) &&
	    !(attrs & DMA_ATTR_MMIO))
		dma_sync_pieces_for_cpu(dev, addr, size);
}

/* Registering. */

static int check_region(struct dma_dev *dev, phys_addr_t phys, size_t size,
			enum dma_data_direction dir, unsigned long attrs)
{
	const struct memory_record *record;
	unsigned long long at = phys;
	int err = dma_space_check(dev->space);

	if (err)
		return err;
	if ((unsigned int)dir >= DMA_NONE)
		return base_error(-EINVAL,
				  "premap of 0x%llx without a direction; say what the device will "
				  "do with it",
				  at);
	if (!size)
		return base_error(-EINVAL, "premap of 0 bytes at 0x%llx", at);
	err = memory_check(phys, size, &record);
	if (err)
		return err;
	if (is_beyond(size, phys) || (phys + size - 1) >> PREMAP_PHYS_BITS)
		return base_error(
			-ERANGE,
			"premap of %zu bytes at 0x%llx: memory below 0x%llx can be mapped "
			"ahead",
			size, at, 1ULL << PREMAP_PHYS_BITS);
	if (attrs & DMA_ATTR_CC_SHARED && dev->be->translates)
		return base_error(
			-EINVAL,
			"premap of 0x%llx: DMA_ATTR_CC_SHARED has no meaning behind an IOMMU", at);
	if (dev->min_align_mask > GRANULE_MASK && dev->be->translates)
		return base_error(
			-EINVAL,
			"premap of 0x%llx: the minimum alignment mask 0x%x of %s is wider "
			"than a granule",
			at, dev->min_align_mask, dev->name);
	if (attrs & DMA_ATTR_REQUIRE_COHERENT && dev->noncoherent)
		return base_error(
			-EOPNOTSUPP,
			"premap of 0x%llx: DMA_ATTR_REQUIRE_COHERENT, and %s is not coherent", at,
			dev->name);
	return dma_reach_ahead(dev, "premap", phys, size, dir, attrs, false);
}

/*
 * Granules of addresses to leave out before a region, so that memory and addresses have
 * the same offset in 2 MiB, and large page-table entries fit.
 */
static uint64_t lead_of(phys_addr_t phys, uint64_t pages)
{
	return pages >= PGT_ENTRIES ? phys >> GRANULE_SHIFT & (PGT_ENTRIES - 1) : 0;
}

static void give_iova_back(struct dma_space *space, struct dma_slot *slot, uint64_t pfn,
			   uint64_t pages)
{
	iova_retire(&space->iova, slot_iova(slot), pfn, pages, IOVA_AHEAD);
	iova_give_back(&space->iova, slot_iova(slot), pfn, pages);
}

/* Let the device at all of it. 0, and where the granule of @phys is; -errno: nothing changed. */
static int link_region(struct dma_dev *dev, phys_addr_t phys, size_t size,
		       enum dma_data_direction dir, unsigned long attrs, dma_addr_t *iova)
{
	struct dma_space *space = dev->space;
	struct dma_slot *slot = dma_slot(space);
	const struct phys_vec vec = {phys, size};
	uint64_t pages = pages_of(phys, size), lead = lead_of(phys, pages);
	uint64_t pfn;
	int err = dma_cache_prepare(dev, phys, size, attrs);

	if (err)
		return err;
	pfn = iova_alloc(&space->iova, slot_iova(slot), lead + pages, 0, dev->limit_pfn,
			 IOVA_AHEAD);
	if (!pfn && lead) {
		lead = 0;
		pfn = iova_alloc(&space->iova, slot_iova(slot), pages, 0, dev->limit_pfn,
				 IOVA_AHEAD);
	}
	if (!pfn) {
		dma_no_iova(dev, size);
		return base_error_code();
	}
	*iova = (pfn + lead) << GRANULE_SHIFT;
	err = dma_link(space, *iova, &vec, 1, (phys & GRANULE_MASK) + size, dir,
		       attrs & ~PGT_ATTR_PAGES);
	if (!err && dev->be->needs_sync) {
		err = dma_sync_links(space, *iova, pages << GRANULE_SHIFT, false);
		if (err)
			dma_take_away(space, &(struct dma_removal){
						     .iova = *iova,
						     .size = pages << GRANULE_SHIFT,
						     .linked = pages << GRANULE_SHIFT,
						     .after = KEEP_IOVA,
						     .what = "undoing a premap",
					     });
	}
	if (err) {
		give_iova_back(space, slot, pfn, lead + pages);
		return err;
	}
	dma_cache_clean(dev, phys, size, attrs);
	slot_count(slot, &slot->allocs, 1);
	return 0;
}

static int premap_locked(struct dma_dev *dev, phys_addr_t phys, size_t size,
			 enum dma_data_direction dir, unsigned long attrs, dma_addr_t *addr)
{
	struct premap *premap = &dev->space->premap;
	phys_addr_t first = phys & ~GRANULE_MASK;
	uint64_t bytes = pages_of(phys, size) << GRANULE_SHIFT;
	dma_addr_t iova = first;
	int err;

	if (premap_overlaps(premap, first, bytes))
		return base_error(
			-EEXIST,
			"premap of %zu bytes at 0x%llx: a granule of it is in a region of "
			"this address space already; end that with dma_unpremap(), or "
			"register what is not in it",
			size, (unsigned long long)phys);
	err = premap_prepare(premap, first, bytes);
	if (!err)
		err = premap_regions_room(premap);
	if (!err && dev->be->translates)
		err = link_region(dev, phys, size, dir, attrs, &iova);
	if (err)
		return err;
	premap_set(premap, first, bytes, iova, dir);
	premap_regions_add(premap, phys, size, dir, attrs);
	*addr = iova + (phys & GRANULE_MASK);
	return 0;
}

int dma_premap(struct dma_dev *dev, phys_addr_t phys, size_t size, enum dma_data_direction dir,
	       unsigned long attrs, dma_addr_t *where)
{
	struct base_observer *observer = dma_observer(dev->be);
	dma_addr_t addr = DMA_MAPPING_ERROR;
	int err = check_region(dev, phys, size, dir, attrs);

	if (err)
		return err;
	pthread_mutex_lock(&dev->space->premap.lock);
	err = premap_locked(dev, phys, size, dir, attrs, &addr);
	pthread_mutex_unlock(&dev->space->premap.lock);
	if (err)
		return err;
	if (observer) {
		DMA_CALLED();
		observer->ops->mapped(observer, dma_caller, dev, addr, phys, size, dir, attrs);
		observer->ops->checked(observer, dev, addr);
	}
	if (where)
		*where = addr;
	return 0;
}

/* Where the addresses of a region begin, perhaps before those that are linked. */
static uint64_t first_pfn(struct dma_space *space, dma_addr_t iova, uint64_t lead, uint64_t pages)
{
	enum iova_kind kind = IOVA_STREAMING;
	uint64_t pfn = iova >> GRANULE_SHIFT;

	if (!lead || (iova_live(&space->iova, pfn, &kind) == pages && kind == IOVA_AHEAD))
		return pfn;
	return pfn - lead;
}

/* Nothing finds the region any more; take it away from the devices. */
static void unlink_region(struct dma_dev *dev, phys_addr_t phys, size_t size, dma_addr_t iova)
{
	struct dma_space *space = dev->space;
	struct dma_slot *slot = dma_slot(space);
	uint64_t pages = pages_of(phys, size), lead = lead_of(phys, pages);
	uint64_t pfn = first_pfn(space, iova, lead, pages);

	lead = (iova >> GRANULE_SHIFT) - pfn;
	iova_retire(&space->iova, slot_iova(slot), pfn, lead + pages, IOVA_AHEAD);
	slot_count(slot, &slot->frees, 1);
	dma_take_away(space, &(struct dma_removal){
				     .iova = iova,
				     .size = pages << GRANULE_SHIFT,
				     .linked = pages << GRANULE_SHIFT,
				     .after = KEEP_IOVA,
				     .what = "unpremap",
			     });
	iova_give_back(&space->iova, slot_iova(slot), pfn, lead + pages);
}

static bool unpremap_locked(struct premap *premap, phys_addr_t phys, size_t size,
			    enum dma_data_direction *dir, unsigned long *attrs, dma_addr_t *iova)
{
	phys_addr_t first = phys & ~GRANULE_MASK;
	uint64_t more;

	if (!size || !premap_regions_remove(premap, phys, size, dir, attrs))
		return false;
	*iova = first + (premap_entry(premap->top, first, &more) & PREMAP_DELTA);
	premap_clear(premap, first, pages_of(phys, size) << GRANULE_SHIFT);
	return true;
}

int dma_unpremap(struct dma_dev *dev, phys_addr_t phys, size_t size)
{
	struct base_observer *observer = dma_observer(dev->be);
	struct premap *premap = &dev->space->premap;
	enum dma_data_direction dir = DMA_NONE;
	unsigned long attrs = 0;
	dma_addr_t iova = 0;
	int err = dma_space_check(dev->space);
	bool found;

	if (err)
		return err;
	pthread_mutex_lock(&premap->lock);
	found = unpremap_locked(premap, phys, size, &dir, &attrs, &iova);
	pthread_mutex_unlock(&premap->lock);
	if (!found)
		return base_error(-ENOENT,
				  "unpremap of %zu bytes at 0x%llx: no region was registered like "
				  "that; pass what dma_premap() was given, once",
				  size, (unsigned long long)phys);
	if (observer) {
		DMA_CALLED();
		observer->ops->unmapping(observer, dma_caller, dev, iova + (phys & GRANULE_MASK),
					 size, dir, attrs);
	}
	if (dev->be->translates)
		unlink_region(dev, phys, size, iova);
	else
		dev->be->ops->drain(dev->be);
	return 0;
}
