/* SPDX-License-Identifier: MIT */
/*
 * Memory that only the device needs in one piece. Memory of the library's own is one
 * piece for the CPU too, so the list has one entry, and mapping it for the CPU is
 * telling where it is.
 */
#include "dma/dma.h"

/* An entry counts its bytes in 32 bits. */
#define MOST_BYTES align_down(UINT32_MAX, GRANULE)

static int check(const struct dma_dev *dev, size_t size, unsigned long attrs)
{
	if (size > MOST_BYTES)
		return base_error(
			-EINVAL,
			"noncontiguous allocation of %zu bytes for %s: an entry of a list "
			"has at most %llu; allocate less at a time",
			size, dev->name, (unsigned long long)MOST_BYTES);
	if (attrs & ~DMA_ATTR_ALLOC_SINGLE_PAGES)
		return base_error(-EINVAL,
				  "noncontiguous allocation for %s with attributes 0x%lx; only "
				  "DMA_ATTR_ALLOC_SINGLE_PAGES is possible",
				  dev->name, attrs);
	return 0;
}

struct sg_table *dma_alloc_noncontiguous(struct dma_dev *dev, size_t size,
					 enum dma_data_direction dir, unsigned long attrs)
{
	const struct dma_block_request request = {
		.size = size,
		.kind = BASE_BLOCK_NONCONTIGUOUS,
		.dir = dir,
		.attrs = attrs,
	};
	struct dma_block *block;

	DMA_CALLED();
	if (dma_space_check(dev->space) || check(dev, size, attrs))
		return NULL;
	block = dma_block_create(dev, &request);
	if (!block)
		return NULL;
	sg_set_phys(&block->entry, block->memory, (unsigned int)block->bytes);
	sg_dma_address(&block->entry) = block->addr;
	sg_dma_len(&block->entry) = (unsigned int)block->bytes;
	block->table = (struct sg_table){.sgl = &block->entry, .nents = 1, .orig_nents = 1};
	return &block->table;
}

void dma_free_noncontiguous(struct dma_dev *dev, size_t size, struct sg_table *sgt,
			    enum dma_data_direction dir)
{
	if (!sgt)
		return;
	DMA_CALLED();
	dma_block_destroy(
		dev, &(struct dma_block_end){
			     .what = "free of the table",
			     .key = sgt,
			     .as = {.size = size, .kind = BASE_BLOCK_NONCONTIGUOUS, .dir = dir},
		     });
}

void *dma_vmap_noncontiguous(struct dma_dev *dev, size_t size, struct sg_table *sgt)
{
	void *memory;

	if (dma_space_check(dev->space))
		return NULL;
	memory = dma_blocks_memory(&dev->space->blocks, sgt, size);
	if (!memory)
		base_error(-EINVAL,
			   "no table of %zu bytes is at 0x%llx in the address space of %s; pass "
			   "what dma_alloc_noncontiguous() returned, with its size",
			   size, (unsigned long long)(uintptr_t)sgt, dev->name);
	return memory;
}

void dma_vunmap_noncontiguous(struct dma_dev *dev, void *vaddr)
{
	(void)dev;
	(void)vaddr;
}
