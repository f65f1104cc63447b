/* SPDX-License-Identifier: MIT */
/*
 * Handing a mapped buffer back and forth between CPU and device. Where both see the
 * same bytes, which is nearly always, only the arguments are checked.
 */
#include "dma/dma.h"

/* Whether the calls can do anything for the device. */
static bool may_need_sync(const struct dma_dev *dev)
{
	return dev->noncoherent || __atomic_load_n(&dev->bounced, __ATOMIC_RELAXED);
}

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

/*
 * Granule by granule, because what is linked need not follow each other in memory. Where
 * nothing is translated a mapping is one piece, and a buffer takes what is its own.
 */
static void sync_pieces(struct dma_dev *dev, dma_addr_t addr, size_t size,
			void (*piece)(struct dma_dev *dev, phys_addr_t phys, uint64_t size))
{
	phys_addr_t phys;
	uint64_t part;

	if (!dev->be->translates) {
		piece(dev, addr, size);
		return;
	}
	for (; size; addr += part, size -= part) {
		part = GRANULE - (addr & GRANULE_MASK);
		if (part > size)
			part = size;
		/* Beyond the mapping: a mistake, which may name more than could be walked. */
		if (!dev->be->ops->lookup(dev->be, addr, &phys))
			return;
		if (dev->noncoherent && !memory_cpu_address(phys, part)) {
			not_synced(dev, addr, phys);
			return;
		}
		piece(dev, phys, part);
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
	if (likely(!may_need_sync(dev)))
		return;
	if (for_device) {
		/* Lines that the CPU has written must not go over the device's bytes later. */
		if (dir != DMA_FROM_DEVICE || dev->noncoherent)
			sync_pieces(dev, addr, size, piece_for_device);
	} else if (dir != DMA_TO_DEVICE) {
		sync_pieces(dev, addr, size, piece_for_cpu);
	}
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

	if (likely(!may_need_sync(dev)))
		return false;
	return dev->noncoherent ||
	       (dev->be->ops->lookup(dev->be, addr, &phys) && bounce_find(phys));
}
