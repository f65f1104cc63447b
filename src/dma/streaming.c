/* SPDX-License-Identifier: MIT */
/* Streaming mappings: one call maps one piece of memory, one call ends it. */
#include "dma/dma.h"

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

static dma_addr_t map_direct(struct dma_dev *dev, phys_addr_t phys, size_t size,
			     unsigned long attrs)
{
	uint64_t limit = dev->mask < dev->bus_limit ? dev->mask : dev->bus_limit;

	if (likely(phys + size - 1 <= limit))
		return phys;
	base_error(-ENOMEM,
		   "map of %zu bytes at 0x%llx: %s reaches addresses up to 0x%llx only, and %s; "
		   "%s",
		   size, (unsigned long long)phys, dev->name, (unsigned long long)limit,
		   attrs & (DMA_ATTR_MMIO | DMA_ATTR_REQUIRE_COHERENT) ||
				   !memory_cpu_address(phys, size)
			   ? "this memory must not be bounced"
			   : "no bounce pool is set up",
		   dev->mask < dev->bus_limit
			   ? "set a wider mask with dma_set_mask_and_coherent()"
			   : "its bus carries no more, so use memory at lower addresses");
	return DMA_MAPPING_ERROR;
}

/* An unaligned buffer of an untrusted device would have to be bounced. */
static int check_bounce(struct dma_dev *dev, phys_addr_t phys, size_t size, unsigned long attrs)
{
	if (!dev->untrusted || attrs & DMA_ATTR_MMIO || !((phys | size) & GRANULE_MASK))
		return 0;
	return base_error(-ENOMEM,
			  "map of %zu bytes at 0x%llx: %s is untrusted, so memory that is not "
			  "whole granules must be bounced, and %s; align it to 4096 bytes",
			  size, (unsigned long long)phys, dev->name,
			  attrs & DMA_ATTR_REQUIRE_COHERENT || !memory_cpu_address(phys, size)
				  ? "this memory must not be"
				  : "no bounce pool is set up");
}

/* 0; or -errno, and nothing is linked and the IOVA is given back. */
static int map_granules(struct dma_dev *dev, struct dma_slot *slot, dma_addr_t iova,
			phys_addr_t phys, size_t size, enum dma_data_direction dir,
			unsigned long attrs)
{
	struct dma_space *space = dev->space;
	const struct phys_vec vec = {phys, size};
	uint64_t pages = pages_of(phys, size), bytes = pages << GRANULE_SHIFT;
	int err = dma_link(space, iova, &vec, 1, (phys & GRANULE_MASK) + size, dir,
			   attrs & ~PGT_ATTR_PAGES);
	uint64_t linked = err ? 0 : bytes;

	if (!err && dev->be->needs_sync)
		err = dma_sync_links(space, iova, bytes, false);
	if (!err)
		return 0;
	iova_retire(&space->iova, slot_iova(slot), iova >> GRANULE_SHIFT, pages, IOVA_STREAMING);
	dma_take_away(space, iova, bytes, linked, RELEASE_IOVA, NULL, "undoing a map");
	return err;
}

static __cold dma_addr_t map_long(struct dma_dev *dev, phys_addr_t phys, size_t size,
				  enum dma_data_direction dir, unsigned long attrs)
{
	struct dma_space *space = dev->space;
	struct dma_slot *slot;
	uint64_t pfn, pages = pages_of(phys, size);

	if (check_map(dev, phys, size, dir))
		return DMA_MAPPING_ERROR;
	if (!dev->be->translates)
		return map_direct(dev, phys, size, attrs);
	if (attrs & DMA_ATTR_CC_SHARED) {
		base_error(-EINVAL,
			   "map of 0x%llx: DMA_ATTR_CC_SHARED has no meaning behind an IOMMU",
			   (unsigned long long)phys);
		return DMA_MAPPING_ERROR;
	}
	if (check_bounce(dev, phys, size, attrs))
		return DMA_MAPPING_ERROR;
	if (dev->min_align_mask > GRANULE_MASK) {
		base_error(-EINVAL,
			   "map of 0x%llx: the minimum alignment mask 0x%x of %s is wider than "
			   "a granule",
			   (unsigned long long)phys, dev->min_align_mask, dev->name);
		return DMA_MAPPING_ERROR;
	}
	slot = dma_slot(space);
	pfn = iova_alloc(&space->iova, slot_iova(slot), pages, 0, dev->limit_pfn, IOVA_STREAMING);
	if (!pfn) {
		dma_no_iova(dev, size);
		return DMA_MAPPING_ERROR;
	}
	if (map_granules(dev, slot, pfn << GRANULE_SHIFT, phys, size, dir, attrs))
		return DMA_MAPPING_ERROR;
	slot_count(slot, &slot->allocs, 1);
	return pfn << GRANULE_SHIFT | (phys & GRANULE_MASK);
}

dma_addr_t dma_map_phys(struct dma_dev *dev, phys_addr_t phys, size_t size,
			enum dma_data_direction dir, unsigned long attrs)
{
	struct dma_space *space = dev->space;
	struct dma_slot *slot = space->slots[base_thread];
	struct backend *be = dev->be;
	uint64_t offset = phys & GRANULE_MASK;
	uint64_t gen = dma_gen_watch(be);
	uint64_t pfn;

	/* Inside one granule of plain memory, and nothing special about the device. */
	if (unlikely(!slot || dev->odd | be->needs_sync || gen & PGT_GEN_WATCH || attrs ||
		     size - 1 >= GRANULE - offset || (unsigned int)dir >= DMA_NONE ||
		     ((phys - offset) ^ memory_plain.match) & memory_plain.mask ||
		     !iova_alloc_short(&space->iova, &slot->iova, 1, dev->limit_pfn, IOVA_STREAMING,
				       &pfn)))
		return map_long(dev, phys, size, dir, attrs);
	if (likely(pgt_cursor_link(&slot->cursor, gen, pfn << GRANULE_SHIFT,
				   (phys - offset) | be->leaf_bits[dir]))) {
		counter_step(&slot->page_links);
		counter_step(&slot->allocs);
		return pfn << GRANULE_SHIFT | offset;
	}
	iova_retire(&space->iova, &slot->iova, pfn, 1, IOVA_STREAMING);
	iova_give_back(&space->iova, &slot->iova, pfn, 1);
	return map_long(dev, phys, size, dir, attrs);
}

/*
 * How many granules to take away at @addr; 0: nothing is mapped there. What is
 * mapped with another size goes whole, and is misuse.
 */
static __cold uint64_t unmap_mismatch(struct dma_dev *dev, dma_addr_t addr, size_t size)
{
	struct dma_space *space = dev->space;
	struct dma_slot *slot = dma_slot(space);
	uint64_t pfn = addr >> GRANULE_SHIFT;
	enum iova_kind kind = IOVA_STREAMING;
	uint64_t pages = iova_live(&space->iova, pfn, &kind);

	if (pages && kind == IOVA_STREAMING &&
	    !iova_retire(&space->iova, slot_iova(slot), pfn, pages, IOVA_STREAMING)) {
		dma_misuse(space,
			   "unmap of %zu bytes at 0x%llx: %llu bytes are mapped there; all of it "
			   "was unmapped",
			   size, (unsigned long long)addr,
			   (unsigned long long)(pages << GRANULE_SHIFT));
		return pages;
	}
	if (addr == DMA_MAPPING_ERROR)
		dma_misuse(space,
			   "unmap of DMA_MAPPING_ERROR; check dma_mapping_error() after mapping");
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

static __cold void unmap_long(struct dma_dev *dev, dma_addr_t addr, size_t size,
			      unsigned long attrs, struct dma_gather *gather)
{
	struct dma_space *space = dev->space;
	struct dma_slot *slot;
	uint64_t pages = size - 1 < SIZE_MAX - 2 * GRANULE ? pages_of(addr, size) : 0;

	if (dma_space_check(space) || !dev->be->translates || attrs & DMA_ATTR_CC_SHARED)
		return;
	slot = dma_slot(space);
	if (!pages || iova_retire(&space->iova, slot_iova(slot), addr >> GRANULE_SHIFT, pages,
				  IOVA_STREAMING)) {
		pages = unmap_mismatch(dev, addr, size);
		if (!pages)
			return;
	}
	slot_count(slot, &slot->frees, 1);
	dma_take_away(space, addr & ~GRANULE_MASK, pages << GRANULE_SHIFT, pages << GRANULE_SHIFT,
		      RELEASE_IOVA, gather, "unmap");
}

static __always_inline void unmap(struct dma_dev *dev, dma_addr_t addr, size_t size,
				  unsigned long attrs, struct dma_gather *gather)
{
	if (unlikely(attrs || size - 1 >= GRANULE - (addr & GRANULE_MASK) ||
		     !dma_drop_granule(dev, addr & ~GRANULE_MASK, IOVA_STREAMING, gather, "unmap")))
		unmap_long(dev, addr, size, attrs, gather);
}

void dma_unmap_phys(struct dma_dev *dev, dma_addr_t addr, size_t size, enum dma_data_direction dir,
		    unsigned long attrs)
{
	(void)dir;
	unmap(dev, addr, size, attrs, NULL);
}

void dma_unmap_phys_gather(struct dma_dev *dev, dma_addr_t addr, size_t size,
			   enum dma_data_direction dir, unsigned long attrs,
			   struct dma_gather *gather)
{
	(void)dir;
	unmap(dev, addr, size, attrs, dma_gather_for(gather, dev->space));
}

dma_addr_t dma_map_single_attrs(struct dma_dev *dev, void *ptr, size_t size,
				enum dma_data_direction dir, unsigned long attrs)
{
	return dma_map_phys(dev, dma_virt_to_phys(ptr), size, dir, attrs);
}

void dma_unmap_single_attrs(struct dma_dev *dev, dma_addr_t addr, size_t size,
			    enum dma_data_direction dir, unsigned long attrs)
{
	dma_unmap_phys(dev, addr, size, dir, attrs);
}

dma_addr_t dma_map_resource(struct dma_dev *dev, phys_addr_t phys, size_t size,
			    enum dma_data_direction dir, unsigned long attrs)
{
	return dma_map_phys(dev, phys, size, dir, attrs | DMA_ATTR_MMIO);
}

void dma_unmap_resource(struct dma_dev *dev, dma_addr_t addr, size_t size,
			enum dma_data_direction dir, unsigned long attrs)
{
	dma_unmap_phys(dev, addr, size, dir, attrs | DMA_ATTR_MMIO);
}

int dma_mapping_error(struct dma_dev *dev, dma_addr_t addr)
{
	(void)dev;
	return addr == DMA_MAPPING_ERROR ? -ENOMEM : 0;
}
