/* SPDX-License-Identifier: MIT */
/**
 * DOC: scatter-gather lists
 *
 * A list of pieces of memory, and what a device gets for it: as few DMA segments as the
 * device's limits allow. The two-step API needs neither the list nor the addresses; this
 * is for drivers that have them.
 *
 * Mapping writes the DMA members of the list and nothing else of it.
 */
#ifndef TWOSTEP_SCATTERLIST_H
#define TWOSTEP_SCATTERLIST_H

#include <twostep/iova.h>
#include <twostep/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * struct scatterlist - one entry: a piece of memory, and one DMA segment
 * @paddr: where the piece is; set by the caller
 * @length: its bytes; set by the caller
 * @dma_flags: private
 * @dma_address: where a segment begins for the device; set by mapping
 * @dma_length: its bytes; set by mapping
 *
 * The pieces and the segments of a mapped list are not the same: segment i of those
 * that a map call answered stands in entry i.
 */
struct scatterlist {
	phys_addr_t paddr;
	unsigned int length;
	unsigned int dma_flags;
	dma_addr_t dma_address;
	unsigned int dma_length;
};

/**
 * struct sg_table - a list and how long it is
 * @sgl: the entries
 * @nents: DMA segments, once it is mapped
 * @orig_nents: entries
 */
struct sg_table {
	struct scatterlist *sgl;
	unsigned int nents;
	unsigned int orig_nents;
};

/* In @dma_flags, which drivers only read, and through the functions below. */
#define SG_DMA_BUS_ADDRESS (1U << 0) /* a segment that a peer reaches by its bus address */
#define SG_DMA_SWIOTLB (1U << 1) /* the list was mapped entry by entry */
#define SG_DMA_MMIO (1U << 2) /* of these: memory of a peer, behind the host bridge */

#define sg_dma_address(sg) ((sg)->dma_address)
#define sg_dma_len(sg) ((sg)->dma_length)

/** sg_set_phys - say what an entry is; it is not mapped */
static inline void sg_set_phys(struct scatterlist *sg, phys_addr_t paddr, unsigned int length)
{
	*sg = (struct scatterlist){paddr, length, 0, DMA_MAPPING_ERROR, 0};
}

/** sg_phys - where the memory of an entry is */
static inline phys_addr_t sg_phys(const struct scatterlist *sg)
{
	return sg->paddr;
}

/** sg_next - the entry behind one; the caller knows whether there is one */
static inline struct scatterlist *sg_next(struct scatterlist *sg)
{
	return sg + 1;
}

/** sg_dma_is_bus_address - whether a segment is a bus address, which no IOMMU translates */
static inline bool sg_dma_is_bus_address(const struct scatterlist *sg)
{
	return sg->dma_flags & SG_DMA_BUS_ADDRESS;
}

/** sg_dma_is_swiotlb - whether the list of this entry was mapped entry by entry */
static inline bool sg_dma_is_swiotlb(const struct scatterlist *sg)
{
	return sg->dma_flags & SG_DMA_SWIOTLB;
}

#define for_each_sg(sgl, sg, nr, i) for ((i) = 0, (sg) = (sgl); (i) < (nr); (i)++, (sg)++)

#define for_each_sgtable_dma_sg(sgt, sg, i) \
	for ((i) = 0, (sg) = (sgt)->sgl; (i) < (sgt)->nents; (i)++, (sg)++)

#define for_each_sgtable_sg(sgt, sg, i) \
	for ((i) = 0, (sg) = (sgt)->sgl; (i) < (sgt)->orig_nents; (i)++, (sg)++)

/**
 * dma_map_sg_attrs - let a device reach the pieces of a list
 * @dev: the device that performs the DMA
 * @sgl: the entries; each has at least one byte
 * @nents: how many, at least one
 * @dir: what the device will do with them
 * @attrs: DMA_ATTR_*
 *
 * One range of I/O addresses for the list, in which the whole granules that each entry
 * touches follow each other. Entries that do so byte by byte become one segment, up to
 * dma_get_max_seg_size(). An entry that would cross the segment boundary of the device
 * begins at the boundary, and what is left free before it stays unmapped. An entry that is
 * by itself longer than the largest segment, or than what is between two boundaries, is
 * mapped all the same, as a segment of its own.
 *
 * Where something must be copied or synced for the device (bounce buffers, caches that it
 * does not see), and on ``direct:``, each entry is mapped by itself and is one segment. On a
 * device that maps only what is mapped ahead each entry is looked up and is one segment.
 * Memory of a peer that the device reaches by bus address is a segment of its own as well.
 *
 * Segment i is in the DMA members of entry i. What is behind the last one has
 * %DMA_MAPPING_ERROR and 0. Nothing else of the list is written. The memory stays the
 * caller's and must live until it is unmapped, and the list must not be changed until then.
 *
 * All or nothing: a call that fails has mapped nothing, and all entries have
 * %DMA_MAPPING_ERROR and 0. CONTRACT 3.3.
 *
 * Return: how many segments there are, at most @nents; 0 for every failure.
 */
unsigned int dma_map_sg_attrs(struct dma_dev *dev, struct scatterlist *sgl, int nents,
			      enum dma_data_direction dir, unsigned long attrs);

/**
 * dma_unmap_sg_attrs - take the pieces of a list back
 * @dev: the device
 * @sgl: the list, as it was mapped
 * @nents: entries, as given to dma_map_sg_attrs(); not what it returned
 * @dir: as given to it
 * @attrs: as given to it
 *
 * When it returns, the device cannot reach the memory any more, and what it wrote can be
 * read; in a lazy space as dma_unmap_phys() says. A list that is not mapped changes
 * nothing and counts as misuse; so does one of which only a part is passed, but then all
 * of it is unmapped.
 */
void dma_unmap_sg_attrs(struct dma_dev *dev, struct scatterlist *sgl, int nents,
			enum dma_data_direction dir, unsigned long attrs);

/**
 * dma_unmap_sg_gather - the same, made final by dma_gather_end()
 *
 * Until then the device may still reach the memory, what it wrote may not have been copied
 * back, and the I/O addresses stay taken. Strict in a lazy space too; without a gather
 * (%NULL) the call itself is.
 */
void dma_unmap_sg_gather(struct dma_dev *dev, struct scatterlist *sgl, int nents,
			 enum dma_data_direction dir, unsigned long attrs,
			 struct dma_gather *gather);

#define dma_map_sg(dev, sgl, nents, dir) dma_map_sg_attrs(dev, sgl, nents, dir, 0)
#define dma_unmap_sg(dev, sgl, nents, dir) dma_unmap_sg_attrs(dev, sgl, nents, dir, 0)

/**
 * dma_map_sgtable - dma_map_sg_attrs() of a table, which says why it failed
 * @dev: the device that performs the DMA
 * @sgt: the table; @nents is set on success only
 * @dir: what the device will do with it
 * @attrs: DMA_ATTR_*
 *
 * Return: 0; or
 * %-EINVAL: no entries, an entry of 0 bytes or of memory that is none, no direction; on a
 * device with ``map=ahead`` an entry that is not registered for that;
 * %-ENOMEM: no I/O addresses, no memory for page tables or for the list;
 * %-EIO: something must be bounced and cannot be, or the device does not reach it;
 * %-EREMOTEIO: memory of a peer that the device cannot reach;
 * %-EOPNOTSUPP: %DMA_ATTR_REQUIRE_COHERENT, and the device is not coherent;
 * %-EPERM: in a child after fork().
 */
int dma_map_sgtable(struct dma_dev *dev, struct sg_table *sgt, enum dma_data_direction dir,
		    unsigned long attrs);

/** dma_unmap_sgtable - dma_unmap_sg_attrs() of a table */
void dma_unmap_sgtable(struct dma_dev *dev, struct sg_table *sgt, enum dma_data_direction dir,
		       unsigned long attrs);

/**
 * dma_sync_sg_for_cpu - let the CPU see what the device wrote
 * @dev: the device
 * @sgl: a list that is mapped
 * @nents: entries, as given to dma_map_sg_attrs()
 * @dir: as given to it
 *
 * Needed before the CPU reads a list that stays mapped; does nothing on a coherent device
 * without bounce buffers.
 */
void dma_sync_sg_for_cpu(struct dma_dev *dev, struct scatterlist *sgl, int nents,
			 enum dma_data_direction dir);
/** dma_sync_sg_for_device - let the device see what the CPU wrote */
void dma_sync_sg_for_device(struct dma_dev *dev, struct scatterlist *sgl, int nents,
			    enum dma_data_direction dir);

/** dma_sync_sgtable_for_cpu - dma_sync_sg_for_cpu() of a table */
void dma_sync_sgtable_for_cpu(struct dma_dev *dev, struct sg_table *sgt,
			      enum dma_data_direction dir);
/** dma_sync_sgtable_for_device - dma_sync_sg_for_device() of a table */
void dma_sync_sgtable_for_device(struct dma_dev *dev, struct sg_table *sgt,
				 enum dma_data_direction dir);

#ifdef __cplusplus
}
#endif
#endif
