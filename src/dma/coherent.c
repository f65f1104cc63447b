/* SPDX-License-Identifier: MIT */
/*
 * Memory that is allocated for a device: found where the device can reach it, mapped as
 * one piece, and taken back as one. A block has whole granules of its own, so no device
 * needs a bounce buffer for it; and coherent memory has no shadow, so a device that does not
 * see the CPU's caches sees the memory itself.
 */
#include "dma/dma.h"

/* More than any address space has. */
#define MOST_BYTES (1ULL << 56)

/* Bits that mean something to memory that is allocated; hints among them. */
#define ALLOC_ATTRS                                                                         \
	(DMA_ATTR_WEAK_ORDERING | DMA_ATTR_WRITE_COMBINE | DMA_ATTR_NO_KERNEL_MAPPING |     \
	 DMA_ATTR_SKIP_CPU_SYNC | DMA_ATTR_FORCE_CONTIGUOUS | DMA_ATTR_ALLOC_SINGLE_PAGES | \
	 DMA_ATTR_NO_WARN | DMA_ATTR_PRIVILEGED | DMA_ATTR_DEBUGGING_IGNORE_CACHELINES |    \
	 DMA_ATTR_REQUIRE_COHERENT)

static int check_request(const struct dma_dev *dev, const struct dma_block_request *request)
{
	int err = dma_space_check(dev->space);

	if (err)
		return err;
	if (!request->size || request->size > MOST_BYTES)
		return base_error(-EINVAL,
				  "allocation of 0x%zx bytes for %s; ask for at least 1, and less "
				  "than an address space has",
				  request->size, dev->name);
	if ((unsigned int)request->dir >= DMA_NONE)
		return base_error(-EINVAL,
				  "allocation for %s without a direction; say what the device will "
				  "do with it",
				  dev->name);
	if (request->attrs & ~ALLOC_ATTRS)
		return base_error(-EINVAL,
				  "allocation for %s with attributes 0x%lx: 0x%lx are not possible "
				  "for memory that is allocated; leave them out",
				  dev->name, request->attrs, request->attrs & ~ALLOC_ATTRS);
	return 0;
}

/* The last address that the memory itself may have. */
static uint64_t last_place(const struct dma_dev *dev)
{
	if (dev->be->translates)
		return dev->be->phys_end - 1;
	return dev->coherent_mask < dev->bus_limit ? dev->coherent_mask : dev->bus_limit;
}

/* In huge pages, where it stays. 0; -ENOMEM with the error text. */
static int find_huge_memory(struct dma_dev *dev, struct dma_block *block, uint64_t alignment)
{
	block->huge = true;
	block->memory = base_alloc_denied() ? 0 : base_huge_alloc(block->bytes, alignment);
	if (block->memory)
		return 0;
	return base_error(
		-ENOMEM,
		"no %llu bytes in huge pages are to be had for %s, which is behind no "
		"IOMMU; reserve more of them (echo N > /proc/sys/vm/nr_hugepages, of 2 MiB "
		"each)",
		(unsigned long long)block->bytes, dev->name);
}

/* 0; -ENOMEM with the error text. */
static int find_memory(struct dma_dev *dev, struct dma_block *block, unsigned long attrs)
{
	uint64_t *near = &dev->space->blocks.near;
	uint64_t alignment = attrs & DMA_ATTR_ALLOC_SINGLE_PAGES ? GRANULE
								 : 1ULL << order_of(block->bytes);
	uint64_t last = last_place(dev);

	if (dma_is_taken(dev->be))
		return find_huge_memory(dev, block, alignment < BASE_HUGE ? alignment : BASE_HUGE);
	if (base_alloc_denied())
		return base_error(-ENOMEM, "no memory for %llu bytes for %s; free some",
				  (unsigned long long)block->bytes, dev->name);
	block->memory =
		base_place(block->bytes, alignment, last, __atomic_load_n(near, __ATOMIC_RELAXED));
	if (!block->memory)
		return base_error(-ENOMEM,
				  "no %llu bytes of memory for %s are to be had at addresses up to "
				  "0x%llx; free some, or set a wider mask with "
				  "dma_set_mask_and_coherent()",
				  (unsigned long long)block->bytes, dev->name,
				  (unsigned long long)last);
	if (!base_place_open(block->memory, block->bytes)) {
		base_place_free(block->memory, block->bytes);
		block->memory = 0;
		return base_error(-ENOMEM, "no memory for %llu bytes for %s; free some",
				  (unsigned long long)block->bytes, dev->name);
	}
	__atomic_store_n(near, block->memory, __ATOMIC_RELAXED);
	return 0;
}

/* Coherent memory is mapped as registers are, past the cache; other memory through it. */
static unsigned long cache_attrs(const struct dma_block *block)
{
	return block->kind == BASE_BLOCK_COHERENT ? DMA_ATTR_MMIO : 0;
}

/* Where the device finds the block. 0; -errno with the error text. */
static int take_block(struct dma_dev *dev, struct dma_block *block)
{
	uint64_t last = last_place(dev);
	int err = dev->be->ops->take(dev->be, block->memory, block->bytes, &block->addr);

	if (err == -ENXIO)
		return base_error(
			-ENOMEM,
			"no %llu bytes of huge pages that follow each other in memory are "
			"to be had for %s, which is behind no IOMMU; ask for at most 2 MiB "
			"at a time, or reserve huge pages when the system starts",
			(unsigned long long)block->bytes, dev->name);
	if (err || block->addr + (block->bytes - 1) <= last)
		return err;
	dev->be->ops->release(dev->be, block->memory, block->bytes);
	return base_error(-ENOMEM,
			  "%s reaches addresses up to 0x%llx, and the huge pages for it lie above; "
			  "set a wider mask with dma_set_mask_and_coherent()",
			  dev->name, (unsigned long long)last);
}

/* Let the device at the block. 0; or -errno with the error text, and nothing has changed. */
static int map_block(struct dma_dev *dev, struct dma_block *block,
		     const struct dma_block_request *request)
{
	struct dma_space *space = dev->space;
	struct dma_slot *slot;
	uint64_t pfn;
	int err;

	block->addr = block->memory;
	if (dma_is_taken(dev->be))
		return take_block(dev, block);
	if (!dev->be->translates)
		return 0;
	err = dma_cache_prepare(dev, block->memory, block->bytes, cache_attrs(block));
	if (err)
		return err;
	slot = dma_slot(space);
	pfn = iova_alloc(&space->iova, slot_iova(slot), block->bytes >> GRANULE_SHIFT, 0,
			 dev->coherent_limit_pfn, IOVA_ALLOCATED);
	if (!pfn) {
		dma_no_coherent_iova(dev, block->size);
		return -ENOMEM;
	}
	block->addr = pfn << GRANULE_SHIFT;
	/* Before the device has it, so that it never sees what was there before. */
	dma_cache_clean(dev, block->memory, block->bytes, cache_attrs(block));
	err = dma_map_granules(dev, slot, block->addr, block->memory, block->bytes, IOVA_ALLOCATED,
			       request->dir, request->attrs & DMA_ATTR_PRIVILEGED);
	if (!err)
		slot_count(slot, &slot->allocs, 1);
	return err;
}

static void *key_of(struct dma_block *block, unsigned long attrs)
{
	if (block->kind == BASE_BLOCK_NONCONTIGUOUS)
		return &block->table;
	return attrs & DMA_ATTR_NO_KERNEL_MAPPING ? (void *)block
						  : (void *)(uintptr_t)block->memory;
}

/* Everything that can fail but the mapping. NULL with the error text. */
static struct dma_block *prepare_block(struct dma_dev *dev, const struct dma_block_request *request)
{
	struct dma_blocks *blocks = &dev->space->blocks;
	struct dma_block *block = base_zalloc(sizeof(*block));

	if (!block) {
		base_error(-ENOMEM, "no memory for the record of %zu bytes for %s; free some",
			   request->size, dev->name);
		return NULL;
	}
	counter_add_shared(&blocks->metadata_bytes, sizeof(*block));
	block->size = request->size;
	block->bytes = align_up(request->size, GRANULE);
	block->kind = request->kind;
	if (!find_memory(dev, block, request->attrs)) {
		block->key = key_of(block, request->attrs);
		if (!dma_blocks_add(blocks, block))
			return block;
	}
	dma_blocks_free(blocks, block);
	return NULL;
}

struct dma_block *dma_block_create(struct dma_dev *dev, const struct dma_block_request *request)
{
	struct base_observer *observer = dma_observer(dev->be);
	struct dma_block *block;

	if (check_request(dev, request))
		return NULL;
	block = prepare_block(dev, request);
	if (!block)
		return NULL;
	if (map_block(dev, block, request)) {
		dma_blocks_take(&dev->space->blocks, block->key);
		dma_blocks_free(&dev->space->blocks, block);
		return NULL;
	}
	if (observer)
		observer->ops->allocated(observer, dma_caller, dev, block->addr, block->memory,
					 block->size, block->kind, request->dir, request->attrs);
	return block;
}

/* The end of a block. */

static const char *const kind_names[] = {
	[BASE_BLOCK_COHERENT] = "dma_alloc_coherent()",
	[BASE_BLOCK_PAGES] = "dma_alloc_pages()",
	[BASE_BLOCK_NONCONTIGUOUS] = "dma_alloc_noncontiguous()",
};

/* What was said of the block, compared with what it is: one misuse at most. */
static void compare(struct dma_dev *dev, const struct dma_block_end *end,
		    const struct dma_block *block)
{
	unsigned long long at = (uintptr_t)end->key, addr = block->addr;

	if (end->as.kind != block->kind)
		dma_misuse(dev->space, "%s of 0x%llx, which is of %s; all of it was freed",
			   end->what, at, kind_names[block->kind]);
	else if (end->as.size != block->size)
		dma_misuse(dev->space,
			   "%s of %zu bytes at 0x%llx, where %zu bytes are allocated; all of it "
			   "was freed",
			   end->what, end->as.size, at, block->size);
	else if (end->addr && *end->addr != block->addr)
		dma_misuse(dev->space,
			   "%s of 0x%llx with DMA address 0x%llx, but it is 0x%llx; what is at "
			   "0x%llx was freed",
			   end->what, at, (unsigned long long)*end->addr, addr, addr);
}

static void unmap_block(struct dma_dev *dev, const struct dma_block *block, const char *what)
{
	struct dma_space *space = dev->space;
	struct dma_slot *slot;

	if (!dev->be->translates) {
		/* As strict as it can be: what the device has begun is over. */
		dev->be->ops->drain(dev->be);
		if (dma_is_taken(dev->be))
			dev->be->ops->release(dev->be, block->memory, block->bytes);
		return;
	}
	slot = dma_slot(space);
	iova_retire(&space->iova, slot_iova(slot), block->addr >> GRANULE_SHIFT,
		    block->bytes >> GRANULE_SHIFT, IOVA_ALLOCATED);
	slot_count(slot, &slot->frees, 1);
	dma_take_away(space, &(struct dma_removal){
				     .iova = block->addr,
				     .size = block->bytes,
				     .linked = block->bytes,
				     .after = RELEASE_IOVA,
				     .what = what,
			     });
}

static void tell_end(struct dma_dev *dev, const struct dma_block_end *end,
		     const struct dma_block *block)
{
	struct base_observer *observer = dma_observer(dev->be);
	dma_addr_t freed = block ? block->addr : DMA_MAPPING_ERROR;

	if (observer)
		observer->ops->deallocating(observer, dma_caller, dev,
					    end->addr ? *end->addr : freed, freed, end->as.size,
					    end->as.kind, end->as.dir, end->as.attrs);
}

void dma_block_destroy(struct dma_dev *dev, const struct dma_block_end *end)
{
	struct dma_space *space = dev->space;
	struct dma_block *block = dma_blocks_take(&space->blocks, end->key);

	if (dma_space_check(space)) {
		if (block)
			dma_blocks_free(&space->blocks, block);
		return;
	}
	tell_end(dev, end, block);
	if (!block) {
		dma_misuse(space,
			   "%s of 0x%llx: nothing is allocated there for this address space; was "
			   "it freed before?",
			   end->what, (unsigned long long)(uintptr_t)end->key);
		return;
	}
	compare(dev, end, block);
	unmap_block(dev, block, end->what);
	if (!block->huge)
		__atomic_store_n(&space->blocks.near, block->memory + block->bytes,
				 __ATOMIC_RELAXED);
	dma_blocks_free(&space->blocks, block);
}

/* The calls. */

static void *allocate(struct dma_dev *dev, const struct dma_block_request *request,
		      dma_addr_t *dma_handle)
{
	struct dma_block *block = dma_block_create(dev, request);

	if (!block)
		return NULL;
	*dma_handle = block->addr;
	return block->key;
}

void *dma_alloc_attrs(struct dma_dev *dev, size_t size, dma_addr_t *dma_handle, unsigned long attrs)
{
	const struct dma_block_request request = {
		.size = size,
		.kind = BASE_BLOCK_COHERENT,
		.dir = DMA_BIDIRECTIONAL,
		.attrs = attrs,
	};

	DMA_CALLED();
	return allocate(dev, &request, dma_handle);
}

void dma_free_attrs(struct dma_dev *dev, size_t size, void *cpu_addr, dma_addr_t dma_handle,
		    unsigned long attrs)
{
	if (!cpu_addr)
		return;
	DMA_CALLED();
	dma_block_destroy(dev, &(struct dma_block_end){
				       .what = "free",
				       .key = cpu_addr,
				       .addr = &dma_handle,
				       .as = {.size = size,
					      .kind = BASE_BLOCK_COHERENT,
					      .dir = DMA_BIDIRECTIONAL,
					      .attrs = attrs},
			       });
}

void *dma_alloc_pages(struct dma_dev *dev, size_t size, dma_addr_t *dma_handle,
		      enum dma_data_direction dir)
{
	const struct dma_block_request request = {
		.size = size,
		.kind = BASE_BLOCK_PAGES,
		.dir = dir,
	};

	DMA_CALLED();
	return allocate(dev, &request, dma_handle);
}

void dma_free_pages(struct dma_dev *dev, size_t size, void *pages, dma_addr_t dma_handle,
		    enum dma_data_direction dir)
{
	if (!pages)
		return;
	DMA_CALLED();
	dma_block_destroy(dev, &(struct dma_block_end){
				       .what = "free",
				       .key = pages,
				       .addr = &dma_handle,
				       .as = {.size = size, .kind = BASE_BLOCK_PAGES, .dir = dir},
			       });
}
