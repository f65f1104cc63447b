/* SPDX-License-Identifier: MIT */
/**
 * DOC: memory mapped ahead
 *
 * Memory that a device uses again and again is registered once: it gets DMA
 * addresses of its own, which stay. From then on mapping any part of it is a
 * translation, which changes nothing, takes no lock and costs about as much as one
 * load; unmapping it does nothing. The price: until it is unregistered the device
 * may reach all of it at any time, in the direction that it was registered for.
 *
 * A device opened with ``map=ahead`` maps only such memory: dma_map_phys() and the
 * calls like it translate, and fail for everything else; dma_iova_try_alloc() says
 * false; dma_need_unmap() says false, unless the device is not coherent. On other
 * devices dma_premap_translate() translates, and dma_map_phys() maps as always.
 *
 * Regions belong to the address space: every device of it may translate what any
 * of them has registered, as far as its own masks reach. The promises of a region
 * (whole granules for a device that is not trusted) are asked of the device that
 * registers it.
 *
 * All calls may be made from any thread. Translations may run while other regions
 * come and go.
 */
#ifndef TWOSTEP_PREMAP_H
#define TWOSTEP_PREMAP_H

#include <twostep/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * dma_premap - map memory ahead
 * @dev: the device that performs the DMA
 * @phys: where the memory is; need not be aligned
 * @size: bytes, not 0
 * @dir: what the device will do with it, at most: mapping a part with more rights
 *	fails; %DMA_BIDIRECTIONAL has them all
 * @attrs: DMA_ATTR_*, as for dma_map_phys()
 * @addr: where the DMA address of the first byte is stored; may be NULL; untouched
 *	on failure
 *
 * The whole granules that the range touches become reachable, and can be translated.
 * The addresses are below the mask of @dev and contiguous, and stay until
 * dma_unpremap() or the space closes; then they are counted as a leak. On ``direct:``
 * the address is the memory's own.
 *
 * Memory mapped ahead is never bounced: what @dev cannot have itself is refused. A
 * device that is not coherent sees what the CPU has written so far.
 *
 * Return: 0; -EINVAL for a size, direction or memory that cannot be mapped; -EEXIST
 * if a granule of it is in a region of the space already; -EPERM if it would have to be
 * bounced, and in a forked child; -EOPNOTSUPP for %DMA_ATTR_REQUIRE_COHERENT on a device
 * that is not; -ERANGE if the memory lies beyond what page table or look-up hold;
 * -ENOSPC without free addresses below the mask; -ENOMEM. Nothing has changed then.
 */
int dma_premap(struct dma_dev *dev, phys_addr_t phys, size_t size, enum dma_data_direction dir,
	       unsigned long attrs, dma_addr_t *addr);

/**
 * dma_unpremap - end what dma_premap() began
 * @dev: the device that it was registered for
 * @phys: as given to dma_premap()
 * @size: as given to it
 *
 * When it returns, no device of the space can reach the memory. That no mapping inside
 * the region is in use any more is the caller's promise. What a device that is not
 * coherent has written is handed back by unmapping, or syncing, the part; not here.
 *
 * Return: 0; -ENOENT unless exactly this range was registered; -EPERM in a forked
 * child. Never fails for want of memory.
 */
int dma_unpremap(struct dma_dev *dev, phys_addr_t phys, size_t size);

/**
 * dma_premap_translate - the DMA address of memory mapped ahead
 * @dev: a device of the space, opened with ``map=ahead`` or not
 * @phys: the first byte; any byte of a region's granules
 * @size: bytes, not 0
 * @dir: what the device will do with it
 *
 * Does no cache maintenance: a device that is not coherent needs the sync calls.
 *
 * Return: the DMA address; %DMA_MAPPING_ERROR if not all of the range is in one region,
 * if @dir asks for more than the region was registered for, or if the address lies
 * beyond the mask of @dev.
 */
dma_addr_t dma_premap_translate(struct dma_dev *dev, phys_addr_t phys, size_t size,
				enum dma_data_direction dir);

#ifdef __cplusplus
}
#endif
#endif
