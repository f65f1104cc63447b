/* SPDX-License-Identifier: MIT */
/**
 * DOC: streaming mappings
 *
 * One call maps one piece of memory and gives its DMA address; one call ends it.
 * The semantics are those of the kernel's calls of the same names. All calls may
 * be made from any thread.
 */
#ifndef TWOSTEP_MAPPING_H
#define TWOSTEP_MAPPING_H

#include <twostep/iova.h>
#include <twostep/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * dma_map_phys - let a device reach memory
 * @dev: the device that performs the DMA
 * @phys: where the memory is; need not be aligned
 * @size: bytes, not 0
 * @dir: what the device will do with it
 * @attrs: DMA_ATTR_*
 *
 * The whole granules that the range touches become reachable. The memory stays
 * the caller's and must live until it is unmapped.
 *
 * Return: the DMA address, or %DMA_MAPPING_ERROR.
 */
dma_addr_t dma_map_phys(struct dma_dev *dev, phys_addr_t phys, size_t size,
			enum dma_data_direction dir, unsigned long attrs);

/**
 * dma_unmap_phys - take the memory back
 * @dev: the device
 * @addr: what dma_map_phys() gave
 * @size: as given to it
 * @dir: as given to it
 * @attrs: as given to it
 *
 * When it returns, the device cannot reach the memory: the entry is gone, the
 * IOTLB has forgotten it, and transfers in flight have ended. Except in a space opened
 * with ``lazy=on``: there the entry is gone, but what a device has cached it may go on
 * using until the thread has unmapped 256 times more, or about 10 ms have passed, or
 * dma_space_flush() is called; memory that was bounced or is used by a device that is
 * not coherent is taken back at once all the same. An address that is
 * not mapped changes nothing and counts as misuse; a wrong @size unmaps the
 * whole mapping and counts as misuse. On ``direct:`` there is nothing to take
 * back, and nothing is checked.
 */
void dma_unmap_phys(struct dma_dev *dev, dma_addr_t addr, size_t size,
		    enum dma_data_direction dir, unsigned long attrs);

/**
 * dma_unmap_phys_gather - the same, made final by dma_gather_end()
 *
 * Until then the device may still reach the memory, and the IOVA stays taken. The end is
 * strict in a lazy space too; without a gather (%NULL) the call itself is.
 */
void dma_unmap_phys_gather(struct dma_dev *dev, dma_addr_t addr, size_t size,
			   enum dma_data_direction dir, unsigned long attrs,
			   struct dma_gather *gather);

/** dma_map_single_attrs - dma_map_phys() of virt_to_phys(@ptr) */
dma_addr_t dma_map_single_attrs(struct dma_dev *dev, void *ptr, size_t size,
				enum dma_data_direction dir, unsigned long attrs);
/** dma_unmap_single_attrs - ends dma_map_single_attrs() */
void dma_unmap_single_attrs(struct dma_dev *dev, dma_addr_t addr, size_t size,
			    enum dma_data_direction dir, unsigned long attrs);

#define dma_map_single(dev, ptr, size, dir) dma_map_single_attrs(dev, ptr, size, dir, 0)
#define dma_unmap_single(dev, addr, size, dir) dma_unmap_single_attrs(dev, addr, size, dir, 0)

/** dma_map_resource - dma_map_phys() with DMA_ATTR_MMIO */
dma_addr_t dma_map_resource(struct dma_dev *dev, phys_addr_t phys, size_t size,
			    enum dma_data_direction dir, unsigned long attrs);
/** dma_unmap_resource - ends dma_map_resource() */
void dma_unmap_resource(struct dma_dev *dev, dma_addr_t addr, size_t size,
			enum dma_data_direction dir, unsigned long attrs);

/**
 * dma_mapping_error - whether a mapping call failed
 *
 * Return: 0, or -ENOMEM for %DMA_MAPPING_ERROR.
 */
int dma_mapping_error(struct dma_dev *dev, dma_addr_t addr);

/**
 * dma_sync_single_for_cpu - let the CPU see what the device wrote
 * @dev: the device
 * @addr: a mapping's address, or any address inside the mapping
 * @size: bytes
 * @dir: the direction of the mapping
 *
 * Needed before the CPU reads a buffer that stays mapped; does nothing on a
 * coherent device without bounce buffers.
 */
void dma_sync_single_for_cpu(struct dma_dev *dev, dma_addr_t addr, size_t size,
			     enum dma_data_direction dir);
/** dma_sync_single_for_device - let the device see what the CPU wrote */
void dma_sync_single_for_device(struct dma_dev *dev, dma_addr_t addr, size_t size,
				enum dma_data_direction dir);
/** dma_sync_single_range_for_cpu - the same for part of a mapping */
void dma_sync_single_range_for_cpu(struct dma_dev *dev, dma_addr_t addr, unsigned long offset,
				   size_t size, enum dma_data_direction dir);
/** dma_sync_single_range_for_device - the same for part of a mapping */
void dma_sync_single_range_for_device(struct dma_dev *dev, dma_addr_t addr, unsigned long offset,
				      size_t size, enum dma_data_direction dir);

/** dma_need_sync - whether the sync calls do anything for this mapping */
bool dma_need_sync(struct dma_dev *dev, dma_addr_t addr);

#ifdef __cplusplus
}
#endif
#endif
