/* SPDX-License-Identifier: MIT */
/**
 * DOC: pools of small DMA objects
 *
 * Objects of one size in coherent memory: descriptors, lists, queue entries. A pool gets
 * memory in slabs with dma_alloc_coherent() and hands out pieces of it; threads keep free
 * objects of their own, so that taking one and giving it back costs tens of nanoseconds and
 * takes no lock. Memory goes back when the pool is destroyed.
 *
 * What the library knows of an object stands beside the memory and not in it: a device
 * that writes to a free object spoils nothing but the object.
 */
#ifndef TWOSTEP_DMAPOOL_H
#define TWOSTEP_DMAPOOL_H

#include <twostep/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct dma_pool; /* objects of one size for one device */

/**
 * dma_pool_create - make a pool
 * @name: for error sentences; copied
 * @dev: the device; must stay open until the pool is destroyed
 * @size: bytes of an object, 1 to 2 GiB less one; at least 16 are given, in multiples of
 *	@align
 * @align: power of two that objects are aligned to, for the CPU and the device; 0: 1
 * @boundary: power of two, not less than the bytes given, that no object crosses a
 *	multiple of; 0: none
 *
 * Takes no memory for objects yet.
 *
 * Return: the pool, or NULL with the error text. Any thread may use it.
 */
struct dma_pool *dma_pool_create(const char *name, struct dma_dev *dev, size_t size, size_t align,
				 size_t boundary);

/**
 * dma_pool_destroy - give the memory of a pool back
 * @pool: the pool; NULL does nothing. Nobody else may be using it
 *
 * When it returns, the device cannot reach the memory. Objects that are still out are
 * misuse: memory of which one is in use stays with its user, and is counted as leaked when
 * the space closes.
 */
void dma_pool_destroy(struct dma_pool *pool);

/**
 * dma_pool_alloc - take an object
 * @pool: the pool
 * @handle: where to store its DMA address; untouched on failure
 *
 * What is in it is what its last user, or the device, left there; zeroes the first time.
 *
 * Return: where the CPU finds it, or NULL with the error text: as dma_alloc_attrs(), and
 * only after the free objects that other threads keep have been called back.
 */
void *dma_pool_alloc(struct dma_pool *pool, dma_addr_t *handle);

/** dma_pool_zalloc - the same, zeroed */
void *dma_pool_zalloc(struct dma_pool *pool, dma_addr_t *handle);

/**
 * dma_pool_free - give an object back
 * @pool: the pool that it is from
 * @vaddr: where the CPU finds it
 * @addr: its DMA address
 *
 * The device can still reach the memory: it must have done with the object. An object that
 * is free already, that is none of the pool's, or whose DMA address is another, changes
 * nothing and counts as misuse. Never fails.
 */
void dma_pool_free(struct dma_pool *pool, void *vaddr, dma_addr_t addr);

#ifdef __cplusplus
}
#endif
#endif
