/* SPDX-License-Identifier: MIT */
/*
 * Handing a mapped buffer back and forth between CPU and device. Where both see the
 * same bytes, which is nearly always, only the arguments are checked.
 */
#include "dma/dma.h"

/* Bytes from @phys on: cache first, then the buffer, which the CPU then has from memory. */
static void piece_for_cpu(struct dma_dev *dev, phys_addr_t phys, uint64_t size)
{
	struct bounce_mapping *bounced = bounce_find(phys);

	if (dev->noncoherent)
		dev->be->ops->cache_invalidate(dev->be, phys, size);
	if (bounced)
		bounce_to_cpu(bounced, phys, size);
}

static void piece_for_device(struct dma_dev *dev, phys_addr_t phys, uint64_t size)
{
	struct bounce_mapping *bounced = bounce_find(phys);

	if (bounced)
		bounce_to_device(bounced, phys, size);
	if (dev->noncoherent)
		dev->be->ops->cache_write_back(dev->be, phys, size);
}

static __cold void not_synced(struct dma_dev *dev, dma_addr_t addr, phys_addr_t phys)
{
	dma_misuse(dev->space,
		   "sync of 0x%llx: the memory there, 0x%llx, has no CPU mapping and cannot be "
		   "synced; leave the sync out, and map it with DMA_ATTR_MMIO",
		   (unsigned long long)addr, (unsigned long long)phys);
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/*
 * Bytes from @addr on in which nothing is linked, given that nothing is in its first
 * granule: whole tables at once, so that a mistake that names a huge range soon ends.
 */
static uint64_t hole(struct backend *be, dma_addr_t addr, uint64_t size)
{
	for (unsigned int shift = 39; shift > GRANULE_SHIFT; shift -= 9) {
		uint64_t span = 1ULL << shift;

		if (!(addr & (span - 1)) && size >= span && !be->ops->linked(be, NULL, addr, span))
			return span;
	}
	return least(GRANULE - (addr & GRANULE_MASK), size);
}

/*
 * Granule by granule, because what is linked need not follow each other in memory, nor
 * all of it be linked. Where nothing is translated a mapping is one piece, and a buffer
 * takes what is its own.
 */
static void sync_pieces(struct dma_dev *dev, dma_addr_t addr, size_t size,
			void (*piece)(struct dma_dev *dev, phys_addr_t phys, uint64_t size))
{
	phys_addr_t phys;
	uint64_t part, end;

	if (!dev->be->translates) {
		if (!dma_is_taken(dev->be))
			piece(dev, addr, size);
		else if (dev->be->ops->lookup(dev->be, addr, &phys))
			piece(dev, phys, size);
		return;
	}
	end = (dev->space->iova.last_pfn + 1) << GRANULE_SHIFT;
	size = addr < end ? least(size, end - addr) : 0;
	for (; size; addr += part, size -= part) {
		part = least(GRANULE - (addr & GRANULE_MASK), size);
		if (!dev->be->ops->lookup(dev->be, addr, &phys)) {
			part = hole(dev->be, addr, size);
			continue;
		}
		if (dev->noncoherent && !memory_cpu_address(phys, part)) {
			not_synced(dev, addr, phys);
			return;
		}
		piece(dev, phys, part);
	}
}

void dma_sync_pieces_for_cpu(struct dma_dev *dev, dma_addr_t addr, size_t size)
{
	sync_pieces(dev, addr, size, piece_for_cpu);
}

void dma_sync_range(struct dma_dev *dev, dma_addr_t addr, size_t size, enum dma_data_direction dir,
		    bool for_device)
{
	if (for_device) {
		/* Lines that the CPU has written must not go over the device's bytes later. */
		if (dir != DMA_FROM_DEVICE || dev->noncoherent)
			sync_pieces(dev, addr, size, piece_for_device);
	} else if (dir != DMA_TO_DEVICE) {
		sync_pieces(dev, addr, size, piece_for_cpu);
	}
}

static void sync(struct dma_dev *dev, dma_addr_t addr, size_t size, enum dma_data_direction dir,
		 bool for_device)
{
	struct base_observer *observer = dma_observer(dev->be);

	if (dma_space_check(dev->space))
		return;
	if (unlikely(observer))
		observer->ops->syncing(observer, dma_caller, dev, addr, size, dir, for_device);
	if (unlikely((unsigned int)dir >= DMA_NONE || !size || addr + size - 1 < addr)) {
		dma_misuse(dev->space, "sync of %zu bytes at 0x%llx with direction %d", size,
			   (unsigned long long)addr, (int)dir);
		return;
	}
	if (unlikely(dma_may_need_sync(dev)))
		dma_sync_range(dev, addr, size, dir, for_device);
}

void dma_sync_single_for_cpu(struct dma_dev *dev, dma_addr_t addr, size_t size,
			     enum dma_data_direction dir)
{
	DMA_CALLED();
	sync(dev, addr, size, dir, false);
}

void dma_sync_single_for_device(struct dma_dev *dev, dma_addr_t addr, size_t size,
				enum dma_data_direction dir)
{
	DMA_CALLED();
	sync(dev, addr, size, dir, true);
}

void dma_sync_single_range_for_cpu(struct dma_dev *dev, dma_addr_t addr, unsigned long offset,
				   size_t size, enum dma_data_direction dir)
{
	DMA_CALLED();
	sync(dev, addr + offset, size, dir, false);
}

void dma_sync_single_range_for_device(struct dma_dev *dev, dma_addr_t addr, unsigned long offset,
				      size_t size, enum dma_data_direction dir)
{
	DMA_CALLED();
	sync(dev, addr + offset, size, dir, true);
}

bool dma_need_sync(struct dma_dev *dev, dma_addr_t addr)
{
	phys_addr_t phys;

	if (likely(!dma_may_need_sync(dev)))
		return false;
	return dev->noncoherent ||
	       (dev->be->ops->lookup(dev->be, addr, &phys) && bounce_find(phys));
}
