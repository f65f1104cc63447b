/* SPDX-License-Identifier: MIT */
/*
 * Scatter-gather lists: mapping. CONTRACT 3.3.
 *
 * A list gets one range of IOVA, its block, in which the granules of its entries follow
 * each other. It is looked at once, which checks the entries, fills a vector of memory for
 * the page table, and notes in each entry's DMA address where in the block it is to be; only
 * then IOVA is taken, all is linked, and the segments are written over the notes. Until
 * then every entry looks like one whose mapping has failed, so that failing needs nothing
 * but to leave it so.
 *
 * Where something must be settled when the mapping ends, and where nothing is translated,
 * the entries are mapped one by one as streaming mappings are: what follows an entry in
 * memory then belongs to nobody's buffer and to nobody's cache line but its own. They are
 * known by SG_DMA_SWIOTLB. sg_end.c takes all of them away. So are the entries of a list
 * on a device that maps only what is mapped ahead: each is looked up, and nothing is taken.
 *
 * The padding before a segment boundary is a hole: nothing is linked there.
 */
#include "dma/lazy.h"

#include <twostep/p2pdma.h>

/* Longer lists ask for memory. */
#define FEW_ENTRIES 256

/* What the look at a list has found. */
struct layout {
	struct phys_vec *vec; /* whole granules, of the entries that are translated */
	size_t nr_vecs;
	uint64_t size; /* of the block */
	bool holes; /* somewhere in the block */
	bool bounced; /* some entry must be */
};

static void poison(struct scatterlist *sg)
{
	sg->dma_flags = 0;
	sg->dma_address = DMA_MAPPING_ERROR;
	sg->dma_length = 0;
}

static __cold void poison_all(struct scatterlist *sgl, unsigned int nents)
{
	for (unsigned int i = 0; i < nents; i++)
		poison(&sgl[i]);
}

/* What callers are told: the contract knows no other errors. */
static int sg_error(int err)
{
	switch (err) {
	case -ENOMEM:
	case -EIO:
	case -EREMOTEIO:
	case -EOPNOTSUPP:
		return err;
	default:
		return -EINVAL;
	}
}

/* Looking. */

static int check_list(const struct dma_dev *dev, unsigned int nents, enum dma_data_direction dir,
		      unsigned long attrs)
{
	if (!nents)
		return base_error(-EINVAL, "map of a list without entries");
	if ((unsigned int)dir >= DMA_NONE)
		return base_error(-EINVAL,
				  "map of a list of %u entries without a direction; say what the "
				  "device will do with it",
				  nents);
	if (attrs & DMA_ATTR_REQUIRE_COHERENT && dev->noncoherent)
		return base_error(
			-EOPNOTSUPP,
			"map of a list of %u entries: DMA_ATTR_REQUIRE_COHERENT, and %s is not "
			"coherent",
			nents, dev->name);
	return 0;
}

/* Memory of a peer: @sg is marked as what it is. */
static __cold int check_peer(struct dma_dev *dev, struct scatterlist *sg,
			     struct pci_p2pdma_map_state *peer)
{
	switch (pci_p2pdma_state(peer, dev, sg->paddr)) {
	case PCI_P2PDMA_MAP_NONE:
		return 0;
	case PCI_P2PDMA_MAP_THRU_HOST_BRIDGE:
		sg->dma_flags = SG_DMA_MMIO;
		return 0;
	case PCI_P2PDMA_MAP_BUS_ADDR:
		sg->dma_flags = SG_DMA_BUS_ADDRESS;
		sg->dma_address = pci_p2pdma_bus_addr_map(peer->mem, sg->paddr);
		return 0;
	case PCI_P2PDMA_MAP_NOT_SUPPORTED:
	case PCI_P2PDMA_MAP_UNKNOWN:
		break;
	}
	return pci_p2pdma_refused(dev, sg->paddr);
}

/* An entry by itself: memory that may be mapped, and of which kind. */
static __always_inline int check_entry(struct dma_dev *dev, struct scatterlist *sg, unsigned int i,
				       struct pci_p2pdma_map_state *peer)
{
	const struct memory_record *record;
	int err;

	if (unlikely(!sg->length))
		return base_error(-EINVAL, "entry %u of a list has 0 bytes; leave it out", i);
	err = memory_check(sg->paddr, sg->length, &record);
	if (unlikely(!err && record))
		err = check_peer(dev, sg, peer);
	return err;
}

/* Whether the device gets the entry itself; -EIO with the error text if neither that nor a copy. */
static int look_at_reach(const struct dma_dev *dev, const struct scatterlist *sg,
			 enum dma_data_direction dir, unsigned long attrs, struct layout *layout)
{
	if (sg->dma_flags & SG_DMA_MMIO)
		attrs |= DMA_ATTR_MMIO;
	if (attrs & DMA_ATTR_MMIO && !dma_must_bounce_whole(dev, sg->paddr))
		return 0;
	switch (dma_reach(dev, sg->paddr, sg->length, dir, attrs)) {
	case REACH_ITSELF:
		return 0;
	case REACH_BOUNCED:
		layout->bounced = true;
		return 0;
	case REACH_REFUSED:
		break;
	}
	return dma_reach_refused(dev, -EIO, "map", sg->paddr, sg->length);
}

/* The entry's place in the block, behind padding if it would cross a segment boundary. */
static __always_inline int place_entry(const struct dma_dev *dev, struct scatterlist *sg,
				       unsigned int i, struct layout *layout)
{
	uint64_t offset = sg->paddr & GRANULE_MASK;
	uint64_t bytes = align_up(offset + sg->length, GRANULE);
	uint64_t padding = -layout->size & dev->seg_boundary;

	if (unlikely(bytes > UINT32_MAX))
		return base_error(-EINVAL,
				  "entry %u of a list has %u bytes, and its granules more than "
				  "32 bits can count; cut it",
				  i, sg->length);
	if (unlikely(padding && padding < bytes)) {
		layout->size += padding;
		layout->holes = true;
	}
	sg->dma_address = layout->size + offset;
	layout->size += bytes;
	layout->vec[layout->nr_vecs++] = (struct phys_vec){sg->paddr - offset, bytes};
	return 0;
}

static __cold int look_at_list(struct dma_dev *dev, struct scatterlist *sgl, unsigned int nents,
			       enum dma_data_direction dir, unsigned long attrs,
			       struct layout *layout)
{
	bool block = dev->be->translates && !dev->ahead;
	struct pci_p2pdma_map_state peer = {0};
	int err = 0;

	poison_all(sgl, nents);
	for (unsigned int i = 0; i < nents && !err; i++) {
		err = check_entry(dev, &sgl[i], i, &peer);
		if (err || sgl[i].dma_flags & SG_DMA_BUS_ADDRESS || !block)
			continue;
		err = look_at_reach(dev, &sgl[i], dir, attrs, layout);
		if (!err)
			err = place_entry(dev, &sgl[i], i, layout);
	}
	return err;
}

/* One block. */

/* The runs between holes, of which each is a unit of the page table. */
static __cold int link_runs(struct dma_space *space, dma_addr_t iova, const struct scatterlist *sgl,
			    const struct layout *layout, enum dma_data_direction dir,
			    unsigned long attrs)
{
	const struct phys_vec *first = layout->vec, *end = layout->vec + layout->nr_vecs;
	const struct phys_vec *next = first;
	int err = 0;

	while (next < end && !err) {
		uint64_t start, size = 0;

		while (sgl->dma_flags & SG_DMA_BUS_ADDRESS)
			sgl++;
		start = align_down(sgl->dma_address, GRANULE);
		/* Whoever is not where the last one ended has padding before it. */
		for (first = next; next < end; next++) {
			while (sgl->dma_flags & SG_DMA_BUS_ADDRESS)
				sgl++;
			if (align_down(sgl->dma_address, GRANULE) != start + size)
				break;
			size += next->len;
			sgl++;
		}
		err = dma_link(space, iova + start, first, (size_t)(next - first), size, dir,
			       attrs);
	}
	return err;
}

static __cold void undo_block(struct dma_space *space, dma_addr_t iova, uint64_t size)
{
	iova_retire(&space->iova, slot_iova(dma_slot(space)), iova >> GRANULE_SHIFT,
		    size >> GRANULE_SHIFT, IOVA_SG);
	dma_take_away(space, &(struct dma_removal){
				     .iova = iova,
				     .size = size,
				     .linked = size,
				     .after = RELEASE_IOVA,
				     .what = "undoing a map",
				     .told = true,
			     });
}

/* Take IOVA for the block and link it. 0 and its first address; -errno with the error text. */
static __always_inline int map_block(struct dma_dev *dev, const struct scatterlist *sgl,
				     const struct layout *layout, enum dma_data_direction dir,
				     unsigned long attrs, dma_addr_t *block)
{
	struct dma_space *space = dev->space;
	struct dma_slot *slot = dma_slot(space);
	uint64_t pfn;
	int err;

	/* For the unmap, which allocates nothing. */
	if (unlikely(dev->lazy))
		dma_lazy_equip(space, slot);
	pfn = dma_iova_alloc(dev, slot, layout->size >> GRANULE_SHIFT, 0, IOVA_SG);
	if (unlikely(!pfn)) {
		dma_no_iova(dev, layout->size);
		return -ENOMEM;
	}
	*block = pfn << GRANULE_SHIFT;
	if (likely(!layout->holes))
		err = dma_link(space, *block, layout->vec, layout->nr_vecs, layout->size, dir,
			       attrs);
	else
		err = link_runs(space, *block, sgl, layout, dir, attrs);
	if (unlikely(!err && dev->be->needs_sync))
		err = dma_sync_links(space, *block, layout->size, false);
	if (unlikely(err)) {
		undo_block(space, *block, layout->size);
		return err;
	}
	slot_count(slot, &slot->allocs, 1);
	return 0;
}

/* The longest segment of whole granules. */
static __always_inline uint64_t longest_segment(const struct dma_dev *dev)
{
	return likely(dev->max_seg_size >= GRANULE) ? align_down(dev->max_seg_size, GRANULE)
						    : GRANULE;
}

/* At least so many segments will a list of pages have: these are not worth poisoning. */
static __always_inline unsigned int page_segments(const struct dma_dev *dev, unsigned int nents)
{
	unsigned int pages = (unsigned int)(longest_segment(dev) >> GRANULE_SHIFT);

	return nents / pages + (nents % pages != 0);
}

/* Segments of pages that follow each other in the block: how many. */
static __always_inline unsigned int write_page_segments(const struct dma_dev *dev,
							struct scatterlist *sgl, unsigned int nents,
							dma_addr_t addr)
{
	uint64_t most = longest_segment(dev);
	dma_addr_t end = addr + ((uint64_t)nents << GRANULE_SHIFT);
	bool crosses = (addr ^ (end - 1)) & ~dev->seg_boundary;
	unsigned int count = 0;

	for (; addr < end; count++) {
		uint64_t length = end - addr < most ? end - addr : most;

		if (unlikely(crosses) && length > (~addr & dev->seg_boundary))
			length = (~addr & dev->seg_boundary) + 1;
		sgl[count].dma_address = addr;
		sgl[count].dma_length = (unsigned int)length;
		addr += length;
	}
	return count;
}

/*
 * Segments out of the places that the entries have noted. A segment is written over an entry
 * whose note has been read: it stands in its own entry, or further to the front.
 */
static unsigned int write_segments(const struct dma_dev *dev, struct scatterlist *sgl,
				   unsigned int nents, dma_addr_t block)
{
	struct scatterlist *segment = NULL;
	dma_addr_t next = 0; /* where an entry must begin to be one more of the segment; 0: none */
	unsigned int count = 0;

	for (unsigned int i = 0; i < nents; i++) {
		unsigned int flags = sgl[i].dma_flags & SG_DMA_BUS_ADDRESS;
		dma_addr_t addr = sgl[i].dma_address + (flags ? 0 : block);
		unsigned int length = sgl[i].length;

		poison(&sgl[i]);
		if (!flags && addr == next && addr & dev->seg_boundary &&
		    (uint64_t)segment->dma_length + length <= dev->max_seg_size) {
			segment->dma_length += length;
		} else {
			segment = &sgl[count++];
			segment->dma_flags = flags;
			segment->dma_address = addr;
			segment->dma_length = length;
		}
		/* Behind a bus address, in the same granule, or behind what is too long already. */
		next = addr + length;
		if (flags || next & GRANULE_MASK || (addr ^ (next - 1)) & ~dev->seg_boundary)
			next = 0;
	}
	return count;
}

/* Entry by entry. */

/* Whether every list of the device is mapped so, where addresses are translated. */
static __always_inline bool is_separate(const struct dma_dev *dev)
{
	return dma_dev_settles(dev) || dev->ahead;
}

static int map_entries(struct dma_dev *dev, struct scatterlist *sgl, unsigned int nents,
		       enum dma_data_direction dir, unsigned long attrs)
{
	unsigned int all = nents <= UINT32_MAX >> SG_NENTS_SHIFT ? nents : 0;

	for (unsigned int i = 0; i < nents; i++) {
		struct scatterlist *sg = &sgl[i];
		unsigned long as = attrs | (sg->dma_flags & SG_DMA_MMIO ? DMA_ATTR_MMIO : 0);

		if (!(sg->dma_flags & SG_DMA_BUS_ADDRESS)) {
			sg->dma_flags |= SG_DMA_SWIOTLB | all << SG_NENTS_SHIFT;
			sg->dma_address = dma_map_entry(dev, sg->paddr, sg->length, dir, as);
			if (sg->dma_address == DMA_MAPPING_ERROR) {
				int err = base_error_code();

				dma_unmap_entries(dev, sgl, i, dir, attrs | DMA_ATTR_SKIP_CPU_SYNC,
						  NULL);
				return err;
			}
		}
		sg->dma_length = sg->length;
	}
	return (int)nents;
}

/* Observing. */

static __cold void tell_mapped(struct dma_dev *dev, struct base_observer *observer,
			       const struct scatterlist *sgl, unsigned int nents,
			       unsigned int count, const struct layout *layout,
			       enum dma_data_direction dir, unsigned long attrs)
{
	bool told = false;

	for (unsigned int i = 0; i < count; i++) {
		const struct scatterlist *segment = &sgl[i];
		dma_addr_t addr = segment->dma_address, last = addr + segment->dma_length - 1;
		bool alone = segment->dma_flags & SG_DMA_SWIOTLB;

		if (segment->dma_length > dev->max_seg_size || (addr ^ last) & ~dev->seg_boundary)
			observer->ops->sg_exceeds(observer, dma_caller, dev, segment,
						  dev->max_seg_size, dev->seg_boundary);
		if (segment->dma_flags & SG_DMA_BUS_ADDRESS || (told && !alone))
			continue;
		told = true;
		if (alone)
			observer->ops->mapped_sg(observer, dma_caller, dev, addr,
						 segment->dma_length, segment, 1, nents, dir,
						 attrs);
		else
			observer->ops->mapped_sg(observer, dma_caller, dev, addr,
						 layout->size - (addr & GRANULE_MASK), sgl, nents,
						 nents, dir, attrs);
	}
}

/* The call. */

static __cold int map_looked(struct dma_dev *dev, struct scatterlist *sgl, unsigned int nents,
			     enum dma_data_direction dir, unsigned long attrs,
			     struct layout *layout)
{
	dma_addr_t block = 0;
	int err = look_at_list(dev, sgl, nents, dir, attrs, layout);

	if (err)
		return sg_error(err);
	if (!dev->be->translates || layout->bounced || is_separate(dev)) {
		err = map_entries(dev, sgl, nents, dir, attrs);
		if (err >= 0)
			return err;
		if (dev->ahead)
			return sg_error(err);
		/* The kernel does not say more either. */
		return !dev->be->translates || layout->bounced ? -EIO : sg_error(err);
	}
	if (layout->nr_vecs) {
		err = map_block(dev, sgl, layout, dir, attrs & ~PGT_ATTR_PAGES, &block);
		if (err)
			return sg_error(err);
	}
	return (int)write_segments(dev, sgl, nents, block);
}

static __always_inline int map_with(struct dma_dev *dev, struct scatterlist *sgl,
				    unsigned int nents, enum dma_data_direction dir,
				    unsigned long attrs, struct phys_vec *vec)
{
	/* Of a region that is mapped ahead observers have been told. */
	struct base_observer *observer = dev->ahead ? NULL : dma_observer(dev->be);
	struct layout layout = {.vec = vec};
	dma_addr_t block;
	int count;

	if (likely(dev->be->translates && !is_separate(dev) && sgl->length == GRANULE &&
		   dma_sg_is_pages(sgl, page_segments(dev, nents), nents, vec))) {
		layout.nr_vecs = nents;
		layout.size = (uint64_t)nents << GRANULE_SHIFT;
		count = map_block(dev, sgl, &layout, dir, PGT_ATTR_PAGES, &block);
		count = likely(!count) ? (int)write_page_segments(dev, sgl, nents, block)
				       : sg_error(count);
	} else {
		count = map_looked(dev, sgl, nents, dir, attrs, &layout);
	}
	if (unlikely(count < 0))
		poison_all(sgl, nents);
	else if (unlikely(observer))
		tell_mapped(dev, observer, sgl, nents, (unsigned int)count, &layout, dir, attrs);
	return count;
}

static __attribute__((__noinline__)) int map_few(struct dma_dev *dev, struct scatterlist *sgl,
						 unsigned int nents, enum dma_data_direction dir,
						 unsigned long attrs)
{
	struct phys_vec vec[FEW_ENTRIES] __cacheline_aligned; /* 4 KiB, not cleared */

	return map_with(dev, sgl, nents, dir, attrs, vec);
}

static __attribute__((__noinline__)) int map_many(struct dma_dev *dev, struct scatterlist *sgl,
						  unsigned int nents, enum dma_data_direction dir,
						  unsigned long attrs)
{
	struct phys_vec *vec = base_alloc(nents * sizeof(*vec));
	int count;

	if (!vec) {
		poison_all(sgl, nents);
		return base_error(-ENOMEM,
				  "map of a list of %u entries: no memory for its vector; free "
				  "some, or map fewer at a time",
				  nents);
	}
	count = map_with(dev, sgl, nents, dir, attrs, vec);
	base_free(vec);
	return count;
}

/* How many segments, or -errno. */
static __always_inline int map_list(struct dma_dev *dev, struct scatterlist *sgl,
				    unsigned int nents, enum dma_data_direction dir,
				    unsigned long attrs)
{
	int err = dma_space_check(dev->space);

	if (likely(!err))
		err = check_list(dev, nents, dir, attrs);
	if (unlikely(err)) {
		poison_all(sgl, nents);
		return err;
	}
	return likely(nents <= FEW_ENTRIES) ? map_few(dev, sgl, nents, dir, attrs)
					    : map_many(dev, sgl, nents, dir, attrs);
}

unsigned int dma_map_sg_attrs(struct dma_dev *dev, struct scatterlist *sgl, int nents,
			      enum dma_data_direction dir, unsigned long attrs)
{
	int count;

	DMA_CALLED();
	count = map_list(dev, sgl, nents > 0 ? (unsigned int)nents : 0, dir, attrs);
	return count < 0 ? 0 : (unsigned int)count;
}

int dma_map_sgtable(struct dma_dev *dev, struct sg_table *sgt, enum dma_data_direction dir,
		    unsigned long attrs)
{
	int count;

	DMA_CALLED();
	/* More cannot be counted by what is returned. */
	if (unlikely(sgt->orig_nents > INT32_MAX))
		return base_error(-EINVAL, "map of a list of %u entries, which are too many",
				  sgt->orig_nents);
	count = map_list(dev, sgt->sgl, sgt->orig_nents, dir, attrs);
	if (count < 0)
		return count;
	sgt->nents = (unsigned int)count;
	return 0;
}
