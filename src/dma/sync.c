/* SPDX-License-Identifier: MIT */
/*
 * Handing a mapped buffer back and forth between CPU and device. Devices are
 * coherent and nothing is bounced, so only the arguments are checked.
 */
#include "dma/dma.h"

static void check_sync(struct dma_dev *dev, dma_addr_t addr, size_t size,
		       enum dma_data_direction dir)
{
	if (dma_space_check(dev->space))
		return;
	if (unlikely((unsigned int)dir >= DMA_NONE || !size || addr + size - 1 < addr))
		dma_misuse(dev->space, "sync of %zu bytes at 0x%llx with direction %d", size,
			   (unsigned long long)addr, (int)dir);
}

void dma_sync_single_for_cpu(struct dma_dev *dev, dma_addr_t addr, size_t size,
			     enum dma_data_direction dir)
{
	check_sync(dev, addr, size, dir);
}

void dma_sync_single_for_device(struct dma_dev *dev, dma_addr_t addr, size_t size,
				enum dma_data_direction dir)
{
	check_sync(dev, addr, size, dir);
}

void dma_sync_single_range_for_cpu(struct dma_dev *dev, dma_addr_t addr, unsigned long offset,
				   size_t size, enum dma_data_direction dir)
{
	check_sync(dev, addr + offset, size, dir);
}

void dma_sync_single_range_for_device(struct dma_dev *dev, dma_addr_t addr, unsigned long offset,
				      size_t size, enum dma_data_direction dir)
{
	check_sync(dev, addr + offset, size, dir);
}

bool dma_need_sync(struct dma_dev *dev, dma_addr_t addr)
{
	(void)dev;
	(void)addr;
	return false;
}
