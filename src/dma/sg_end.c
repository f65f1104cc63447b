/* SPDX-License-Identifier: MIT */
/* Scatter-gather lists: unmapping and syncing. sg.c tells what they are made of. */
#include "dma/dma.h"

/* Each entry of the list is a mapping of its own. */
static bool is_alone(const struct dma_dev *dev, const struct scatterlist *sg)
{
	return sg->dma_flags & SG_DMA_SWIOTLB || !dev->be->translates;
}

/*
 * Go to the next segment from *@i on that is not a bus address; false: there is none. What
 * has no length is behind the last one.
 */
static bool next_segment(const struct scatterlist *sgl, unsigned int nents, unsigned int *i)
{
	while (*i < nents && sgl[*i].dma_length && sgl[*i].dma_flags & SG_DMA_BUS_ADDRESS)
		++*i;
	return *i < nents && sgl[*i].dma_length;
}

static void unmap_one(struct dma_dev *dev, const struct scatterlist *sg,
		      enum dma_data_direction dir, unsigned long attrs, struct dma_gather *gather)
{
	if (sg->dma_flags & SG_DMA_MMIO)
		attrs |= DMA_ATTR_MMIO;
	dma_unmap_entry(dev, sg->dma_address, sg->dma_length, dir, attrs, gather);
}

void dma_unmap_entries(struct dma_dev *dev, struct scatterlist *sgl, unsigned int nents,
		       enum dma_data_direction dir, unsigned long attrs, struct dma_gather *gather)
{
	struct dma_gather own = {.space = NULL};
	unsigned int i;

	/* One invalidation for them all, and the buffers are copied back behind it. */
	if (!gather && nents > 1 && dev->be->translates) {
		own.space = dev->space;
		gather = &own;
	}
	for (i = 0; next_segment(sgl, nents, &i); i++)
		unmap_one(dev, &sgl[i], dir, attrs, gather);
	if (own.count)
		dma_gather_flush(&own);
}

/* The block of a list, of which @first is the first segment in it. */
static void unmap_block(struct dma_dev *dev, const struct scatterlist *sgl, unsigned int nents,
			unsigned int first, enum dma_data_direction dir, unsigned long attrs,
			struct dma_gather *gather, bool lazy)
{
	struct iova_cache *cache = slot_iova(dma_slot(dev->space));
	dma_addr_t iova = sgl[first].dma_address & ~GRANULE_MASK, end = 0;
	enum iova_kind kind = IOVA_SG;
	uint64_t pages = 0;

	for (unsigned int i = first; next_segment(sgl, nents, &i); i++)
		end = sgl[i].dma_address + sgl[i].dma_length;
	if (likely(end > iova))
		pages = (end - iova + GRANULE_MASK) >> GRANULE_SHIFT;
	if (unlikely(!pages || iova_retire(&dev->space->iova, cache, iova >> GRANULE_SHIFT, pages,
					   IOVA_SG))) {
		pages = dma_unmap_mismatch(dev, sgl[first].dma_address,
					   end - sgl[first].dma_address, &kind);
		if (!pages)
			return;
	}
	dma_take_mapping(dev, sgl[first].dma_address, end - sgl[first].dma_address, pages, kind,
			 dir, attrs, gather, lazy);
}

static __cold void tell_unmapping(struct dma_dev *dev, struct base_observer *observer,
				  const struct scatterlist *sgl, unsigned int nents,
				  enum dma_data_direction dir, unsigned long attrs)
{
	dma_addr_t first = DMA_MAPPING_ERROR, end = 0;
	unsigned int told = nents;

	for (unsigned int i = 0; next_segment(sgl, nents, &i); i++) {
		dma_addr_t addr = sgl[i].dma_address;
		uint64_t length = sgl[i].dma_length;

		if (is_alone(dev, &sgl[i])) {
			observer->ops->unmapping_sg(observer, dma_caller, dev, addr, length, told,
						    dir, attrs);
			told = 0;
			continue;
		}
		if (first == DMA_MAPPING_ERROR)
			first = addr;
		end = addr + length;
	}
	/* What the last granule has behind the last segment belongs to the block. */
	if (first != DMA_MAPPING_ERROR)
		observer->ops->unmapping_sg(observer, dma_caller, dev, first,
					    align_up(end, GRANULE) - first, nents, dir, attrs);
}

static __cold void not_mapped(struct dma_dev *dev, const struct scatterlist *sgl,
			      unsigned int nents)
{
	if (!nents)
		dma_misuse(dev->space, "unmap of a list without entries");
	else if (!(sgl->dma_flags & SG_DMA_BUS_ADDRESS))
		dma_misuse(dev->space,
			   "unmap of a list of %u entries that is not mapped; look at what "
			   "dma_map_sg_attrs() has returned",
			   nents);
}

/* Of a list of which only a part was passed all goes, as far as is known how long it is. */
static void unmap_alone(struct dma_dev *dev, struct scatterlist *sgl, unsigned int *nents,
			unsigned int first, enum dma_data_direction dir, unsigned long attrs,
			struct dma_gather *gather)
{
	unsigned int all = sgl[first].dma_flags >> SG_NENTS_SHIFT;

	if (unlikely(all && all != *nents)) {
		dma_misuse(dev->space,
			   "unmap of %u entries of a list that was mapped with %u; all of them "
			   "were unmapped",
			   *nents, all);
		*nents = all;
	}
	dma_unmap_entries(dev, sgl, *nents, dir, attrs, gather);
}

/* @lazy: the end may be queued; what was given a gather, fitting or not, never is. */
static void unmap_list(struct dma_dev *dev, struct scatterlist *sgl, unsigned int nents,
		       enum dma_data_direction dir, unsigned long attrs, struct dma_gather *gather,
		       bool lazy)
{
	struct base_observer *observer = dev->ahead ? NULL : dma_observer(dev->be);
	unsigned int first = 0;

	if (unlikely(dma_space_check(dev->space)))
		return;
	if (unlikely(observer))
		tell_unmapping(dev, observer, sgl, nents, dir, attrs);
	if (unlikely(!next_segment(sgl, nents, &first)))
		not_mapped(dev, sgl, nents);
	else if (unlikely(is_alone(dev, &sgl[first])))
		unmap_alone(dev, sgl, &nents, first, dir, attrs, gather);
	else
		unmap_block(dev, sgl, nents, first, dir, attrs, gather, lazy);
	for (unsigned int i = 0; i < nents && sgl[i].dma_length; i++)
		if (unlikely(sgl[i].dma_flags))
			sgl[i].dma_flags = 0;
}

void dma_unmap_sg_attrs(struct dma_dev *dev, struct scatterlist *sgl, int nents,
			enum dma_data_direction dir, unsigned long attrs)
{
	DMA_CALLED();
	unmap_list(dev, sgl, nents > 0 ? (unsigned int)nents : 0, dir, attrs, NULL, true);
}

void dma_unmap_sg_gather(struct dma_dev *dev, struct scatterlist *sgl, int nents,
			 enum dma_data_direction dir, unsigned long attrs,
			 struct dma_gather *gather)
{
	DMA_CALLED();
	unmap_list(dev, sgl, nents > 0 ? (unsigned int)nents : 0, dir, attrs,
		   dma_gather_for(gather, dev->space), false);
}

void dma_unmap_sgtable(struct dma_dev *dev, struct sg_table *sgt, enum dma_data_direction dir,
		       unsigned long attrs)
{
	DMA_CALLED();
	unmap_list(dev, sgt->sgl, sgt->orig_nents, dir, attrs, NULL, true);
}

/* Syncing. */

static __cold void tell_syncing(struct dma_dev *dev, struct base_observer *observer,
				const struct scatterlist *sgl, unsigned int nents,
				enum dma_data_direction dir, bool for_device)
{
	unsigned int told = nents;

	for (unsigned int i = 0; next_segment(sgl, nents, &i); i++, told = 0)
		observer->ops->syncing_sg(observer, dma_caller, dev, sgl[i].dma_address,
					  sgl[i].dma_length, told, dir, for_device);
}

static void sync_list(struct dma_dev *dev, const struct scatterlist *sgl, unsigned int nents,
		      enum dma_data_direction dir, bool for_device)
{
	struct base_observer *observer = dma_observer(dev->be);

	if (dma_space_check(dev->space))
		return;
	if (unlikely(observer))
		tell_syncing(dev, observer, sgl, nents, dir, for_device);
	if (unlikely((unsigned int)dir >= DMA_NONE || !nents)) {
		dma_misuse(dev->space, "sync of a list of %u entries with direction %d", nents,
			   (int)dir);
		return;
	}
	if (likely(!dma_may_need_sync(dev)))
		return;
	for (unsigned int i = 0; next_segment(sgl, nents, &i) && is_alone(dev, &sgl[i]); i++)
		if (!(sgl[i].dma_flags & SG_DMA_MMIO))
			dma_sync_range(dev, sgl[i].dma_address, sgl[i].dma_length, dir, for_device);
}

void dma_sync_sg_for_cpu(struct dma_dev *dev, struct scatterlist *sgl, int nents,
			 enum dma_data_direction dir)
{
	DMA_CALLED();
	sync_list(dev, sgl, nents > 0 ? (unsigned int)nents : 0, dir, false);
}

void dma_sync_sg_for_device(struct dma_dev *dev, struct scatterlist *sgl, int nents,
			    enum dma_data_direction dir)
{
	DMA_CALLED();
	sync_list(dev, sgl, nents > 0 ? (unsigned int)nents : 0, dir, true);
}

void dma_sync_sgtable_for_cpu(struct dma_dev *dev, struct sg_table *sgt,
			      enum dma_data_direction dir)
{
	DMA_CALLED();
	sync_list(dev, sgt->sgl, sgt->orig_nents, dir, false);
}

void dma_sync_sgtable_for_device(struct dma_dev *dev, struct sg_table *sgt,
				 enum dma_data_direction dir)
{
	DMA_CALLED();
	sync_list(dev, sgt->sgl, sgt->orig_nents, dir, true);
}
