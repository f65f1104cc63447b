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

#define sg_dma_address(sg) ((sg)->dma_address)
#define sg_dma_len(sg) ((sg)->dma_length)

/** sg_set_phys - say what an entry is */
static inline void sg_set_phys(struct scatterlist *sg, phys_addr_t paddr, unsigned int length)
{
	*sg = (struct scatterlist){paddr, length, 0, 0, 0};
}

#define for_each_sgtable_dma_sg(sgt, sg, i) \
	for ((i) = 0, (sg) = (sgt)->sgl; (i) < (sgt)->nents; (i)++, (sg)++)

#define for_each_sgtable_sg(sgt, sg, i) \
	for ((i) = 0, (sg) = (sgt)->sgl; (i) < (sgt)->orig_nents; (i)++, (sg)++)

#ifdef __cplusplus
}
#endif
#endif
