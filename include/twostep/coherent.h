/* SPDX-License-Identifier: MIT */
/**
 * DOC: memory allocated for a device
 *
 * The library gets the memory and maps it for a device in one call, and takes both back in
 * one call: descriptor rings, mailboxes, and whatever lives as long as a driver. There are
 * three kinds:
 *
 * * *coherent*: CPU and device see each other's bytes at once, on every device and without
 *   any sync: also on one that does not see the CPU's caches, and never through a bounce
 *   buffer. Ordering is the program's: store what a device may look at with release.
 * * *pages*: memory that is mapped like any other, for one direction, and handed back and
 *   forth with dma_sync_single_for_cpu() and dma_sync_single_for_device().
 * * *noncontiguous*: the same, described by a &struct sg_table; one DMA segment.
 *
 * Memory is zeroed, in whole granules of 4096 bytes that nothing else shares. Its DMA
 * address, and its address for the CPU, are aligned to the size rounded up to a power of
 * two; so sizes of 2 MiB and more get large page-table entries. The kernel's calls of the
 * same names take &gfp_t flags, which mean nothing in a process and are left out.
 *
 * All calls may be made from any thread. They are no fast path: they change the process's
 * address space. Use a pool (``<twostep/dmapool.h>``) for small objects.
 */
#ifndef TWOSTEP_COHERENT_H
#define TWOSTEP_COHERENT_H

#include <twostep/scatterlist.h>
#include <twostep/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * dma_alloc_attrs - allocate coherent memory
 * @dev: the device
 * @size: bytes, not 0
 * @dma_handle: where to store the DMA address; untouched on failure
 * @attrs: DMA_ATTR_*
 *
 * Both ways are allowed to the device. The DMA address lies below the coherent mask
 * (dma_set_coherent_mask()) and what the bus carries; on ``direct:`` the memory itself does.
 *
 * %DMA_ATTR_NO_KERNEL_MAPPING: what is returned is no address but a token for
 * dma_free_attrs() alone; the CPU has no use of the memory. %DMA_ATTR_FORCE_CONTIGUOUS,
 * %DMA_ATTR_REQUIRE_COHERENT and %DMA_ATTR_NO_WARN are allowed and always fulfilled; so are
 * those that are hints. %DMA_ATTR_MMIO, %DMA_ATTR_CC_SHARED and bits that are no attribute
 * are refused.
 *
 * The memory is the caller's until dma_free_attrs(); what is left when the space closes is
 * counted as a leak and freed.
 *
 * Return: where the CPU finds it, or NULL with the error text: no memory, no addresses
 * below the mask, no page tables, attributes that are refused, or a forked child.
 */
void *dma_alloc_attrs(struct dma_dev *dev, size_t size, dma_addr_t *dma_handle,
		      unsigned long attrs);

/**
 * dma_free_attrs - give coherent memory back
 * @dev: the device
 * @size: as given to dma_alloc_attrs()
 * @cpu_addr: what it returned; NULL does nothing
 * @dma_handle: what it stored
 * @attrs: as given to it
 *
 * When it returns, the device cannot reach the memory, and the memory is gone. @cpu_addr
 * decides: with another @size or @dma_handle, or for memory of another kind, all of what
 * is allocated there is freed and misuse is counted; an address where nothing is allocated
 * changes nothing and counts as misuse. Never allocates, never fails. In a forked child
 * only the child's copy of the memory is freed.
 */
void dma_free_attrs(struct dma_dev *dev, size_t size, void *cpu_addr, dma_addr_t dma_handle,
		    unsigned long attrs);

/** dma_alloc_coherent - dma_alloc_attrs() without attributes */
static inline void *dma_alloc_coherent(struct dma_dev *dev, size_t size, dma_addr_t *dma_handle)
{
	return dma_alloc_attrs(dev, size, dma_handle, 0);
}

/** dma_free_coherent - ends dma_alloc_coherent() */
static inline void dma_free_coherent(struct dma_dev *dev, size_t size, void *cpu_addr,
				     dma_addr_t dma_handle)
{
	dma_free_attrs(dev, size, cpu_addr, dma_handle, 0);
}

/**
 * dma_alloc_pages - allocate memory and map it for one direction
 * @dev: the device
 * @size: bytes, not 0
 * @dma_handle: where to store the DMA address; untouched on failure
 * @dir: what the device will do with it
 *
 * As if dma_map_phys() had mapped zeroed pages, which are then synced for the device; but
 * they are never bounced, and their address lies below the coherent mask. Where the kernel
 * answers a page, this answers its address.
 *
 * Return: where the CPU finds it, or NULL with the error text.
 */
void *dma_alloc_pages(struct dma_dev *dev, size_t size, dma_addr_t *dma_handle,
		      enum dma_data_direction dir);

/**
 * dma_free_pages - unmap the memory of dma_alloc_pages() and give it back
 * @dev: the device
 * @size: as given to it
 * @pages: what it returned; NULL does nothing
 * @dma_handle: what it stored
 * @dir: as given to it
 *
 * As dma_free_attrs(). Nothing is synced: the memory is gone.
 */
void dma_free_pages(struct dma_dev *dev, size_t size, void *pages, dma_addr_t dma_handle,
		    enum dma_data_direction dir);

/** dma_alloc_noncoherent - dma_alloc_pages() */
static inline void *dma_alloc_noncoherent(struct dma_dev *dev, size_t size, dma_addr_t *dma_handle,
					  enum dma_data_direction dir)
{
	return dma_alloc_pages(dev, size, dma_handle, dir);
}

/** dma_free_noncoherent - dma_free_pages() */
static inline void dma_free_noncoherent(struct dma_dev *dev, size_t size, void *pages,
					dma_addr_t dma_handle, enum dma_data_direction dir)
{
	dma_free_pages(dev, size, pages, dma_handle, dir);
}

/**
 * dma_alloc_noncontiguous - allocate memory that is one piece for the device only
 * @dev: the device
 * @size: bytes, 1 to 4 GiB less a granule
 * @dir: what the device will do with it
 * @attrs: 0 or %DMA_ATTR_ALLOC_SINGLE_PAGES
 *
 * In a process memory of the library's own is one piece for the CPU as well, so the list
 * has one entry. With %DMA_ATTR_ALLOC_SINGLE_PAGES the memory is not aligned beyond a
 * granule for the sake of large entries. Syncs as for dma_alloc_pages():
 * dma_sync_single_for_cpu() with sg_dma_address() of the entry.
 *
 * Return: the table, @nents 1, which stays the library's; or NULL with the error text.
 */
struct sg_table *dma_alloc_noncontiguous(struct dma_dev *dev, size_t size,
					 enum dma_data_direction dir, unsigned long attrs);

/**
 * dma_free_noncontiguous - unmap the memory and give it and the table back
 * @dev: the device
 * @size: as given to dma_alloc_noncontiguous()
 * @sgt: what it returned; NULL does nothing
 * @dir: as given to it
 */
void dma_free_noncontiguous(struct dma_dev *dev, size_t size, struct sg_table *sgt,
			    enum dma_data_direction dir);

/**
 * dma_vmap_noncontiguous - where the CPU finds the memory
 * @dev: the device
 * @size: as given to dma_alloc_noncontiguous()
 * @sgt: what it returned
 *
 * Return: an address that is good until the memory is freed; or NULL with the error text if
 * the table is none of this device's space, or @size is more than it has.
 */
void *dma_vmap_noncontiguous(struct dma_dev *dev, size_t size, struct sg_table *sgt);

/**
 * dma_vunmap_noncontiguous - the CPU has done with the address
 *
 * Does nothing: the memory is mapped as long as it lives.
 */
void dma_vunmap_noncontiguous(struct dma_dev *dev, void *vaddr);

#ifdef __cplusplus
}
#endif
#endif
