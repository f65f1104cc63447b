/* SPDX-License-Identifier: MIT */
/* What a device can address, and in what pieces. */
#include "dma/lazy.h"

static uint64_t lesser(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* The last granule all of whose bytes a mask, the bus and the table reach. */
static uint64_t limit_of(const struct dma_dev *dev, uint64_t mask)
{
	uint64_t last = lesser(lesser(mask, dev->bus_limit), dev->be->last);

	if (last < GRANULE_MASK)
		return 0;
	return (last >> GRANULE_SHIFT) - ((last & GRANULE_MASK) != GRANULE_MASK);
}

static void update_limit(struct dma_dev *dev)
{
	dev->limit_pfn = limit_of(dev, dev->mask);
	dev->coherent_limit_pfn = limit_of(dev, dev->coherent_mask);
	/* No address is below this limit: the short ways find none, and leave it to the long. */
	dev->short_limit_pfn = dev->untrusted || dev->ahead || dma_dev_settles(dev) ||
					       dev->min_align_mask > GRANULE_MASK
				       ? 0
				       : dev->limit_pfn;
	dev->map_limit_pfn = dev->be->needs_sync ? 0 : dev->short_limit_pfn;
	dev->strict_limit_pfn = dev->lazy ? 0 : dev->map_limit_pfn;
}

void dma_limits_init(struct dma_dev *dev)
{
	dev->mask = DMA_BIT_MASK(32);
	dev->coherent_mask = DMA_BIT_MASK(32);
	dev->max_seg_size = 65536;
	dev->seg_boundary = 0xffffffffUL;
	update_limit(dev);
}

uint64_t dma_iova_alloc_again(struct dma_dev *dev, struct dma_slot *slot, uint64_t pages,
			      unsigned int align_order, enum iova_kind kind)
{
	struct dma_space *space = dev->space;
	uint64_t pfn;

	if (base_error_code() != -ENOSPC || !dma_lazy_flush(space))
		return 0;
	pfn = iova_alloc(&space->iova, slot_iova(slot), pages, align_order, dev->limit_pfn, kind);
	if (pfn)
		dma_clear_error();
	return pfn;
}

static void no_iova(struct dma_dev *dev, size_t size, uint64_t limit_pfn, uint64_t mask)
{
	/* Without memory for its records the room below has said so. */
	if (base_error_code() == -ENOMEM)
		return;
	base_error(-ENOSPC,
		   "no %zu bytes of I/O address space are free below 0x%llx for %s; free or unmap "
		   "something%s",
		   size, (unsigned long long)((limit_pfn + 1) << GRANULE_SHIFT), dev->name,
		   mask < lesser(dev->bus_limit, dev->be->last)
			   ? ", or set a wider mask with dma_set_mask_and_coherent()"
			   : "");
}

void dma_no_iova(struct dma_dev *dev, size_t size)
{
	no_iova(dev, size, dev->limit_pfn, dev->mask);
}

void dma_no_coherent_iova(struct dma_dev *dev, size_t size)
{
	no_iova(dev, size, dev->coherent_limit_pfn, dev->coherent_mask);
}

/* Kernel: dma_supported(); behind an IOMMU any mask will do that reaches a granule. */
static int check_mask(struct dma_dev *dev, uint64_t mask)
{
	uint64_t least = dev->be->translates ? 2 * GRANULE - 1 : DMA_BIT_MASK(32);
	int err = dma_space_check(dev->space);

	if (err)
		return err;
	if (mask < least)
		return base_error(-EIO,
				  "mask 0x%llx of %s reaches nothing that could be mapped; it must "
				  "be at least 0x%llx",
				  (unsigned long long)mask, dev->name, (unsigned long long)least);
	return 0;
}

int dma_set_mask(struct dma_dev *dev, uint64_t mask)
{
	int err = check_mask(dev, mask);

	if (err)
		return err;
	dev->mask = mask;
	update_limit(dev);
	return 0;
}

int dma_set_coherent_mask(struct dma_dev *dev, uint64_t mask)
{
	int err = check_mask(dev, mask);

	if (err)
		return err;
	dev->coherent_mask = mask;
	update_limit(dev);
	return 0;
}

int dma_set_mask_and_coherent(struct dma_dev *dev, uint64_t mask)
{
	int err = dma_set_mask(dev, mask);

	return err ? err : dma_set_coherent_mask(dev, mask);
}

uint64_t dma_get_mask(struct dma_dev *dev)
{
	return dev->mask;
}

/* All ones up to the highest address that memory of this process can have. */
static uint64_t memory_mask(void)
{
	uint64_t top = (uintptr_t)__builtin_frame_address(0);

	return DMA_BIT_MASK(64 - __builtin_clzll(top | 1));
}

uint64_t dma_get_required_mask(struct dma_dev *dev)
{
	if (dma_is_taken(dev->be))
		return dev->be->required_mask;
	return dev->be->translates ? DMA_BIT_MASK(32) : memory_mask();
}

bool dma_addressing_limited(struct dma_dev *dev)
{
	return lesser(dev->mask, dev->bus_limit) < dma_get_required_mask(dev);
}

unsigned int dma_get_max_seg_size(struct dma_dev *dev)
{
	return dev->max_seg_size;
}

int dma_set_max_seg_size(struct dma_dev *dev, unsigned int size)
{
	if (!size)
		return base_error(-EINVAL, "a segment of %s cannot be 0 bytes long at most",
				  dev->name);
	dev->max_seg_size = size;
	return 0;
}

unsigned long dma_get_seg_boundary(struct dma_dev *dev)
{
	return dev->seg_boundary;
}

int dma_set_seg_boundary(struct dma_dev *dev, unsigned long mask)
{
	if (mask & (mask + 1) || mask < GRANULE_MASK)
		return base_error(
			-EINVAL,
			"segment boundary mask 0x%lx of %s must be a power of two minus one, "
			"at least 0xfff",
			mask, dev->name);
	dev->seg_boundary = mask;
	return 0;
}

unsigned int dma_get_min_align_mask(struct dma_dev *dev)
{
	return dev->min_align_mask;
}

int dma_set_min_align_mask(struct dma_dev *dev, unsigned int mask)
{
	if (mask & (mask + 1))
		return base_error(
			-EINVAL,
			"minimum alignment mask 0x%x of %s must be a power of two minus one", mask,
			dev->name);
	dev->min_align_mask = mask;
	update_limit(dev);
	return 0;
}

unsigned long dma_get_merge_boundary(struct dma_dev *dev)
{
	return dev->be->translates && !dev->ahead ? GRANULE_MASK : 0;
}

bool dma_need_unmap(struct dma_dev *dev)
{
	/* Unmapping hands back what the device wrote, if it does not see the CPU's caches. */
	if (dev->ahead)
		return dev->noncoherent;
	return dev->be->translates || dma_is_taken(dev->be) ||
	       __atomic_load_n(&dev->bounced, __ATOMIC_RELAXED) ||
	       dma_observer(dev->be);
}

/* Whether a single mapping of any memory may have to be bounced as a whole. */
static bool may_bounce(struct dma_dev *dev)
{
	if (dev->bouncing == BOUNCE_NEVER || dev->ahead)
		return false;
	if (dma_is_taken(dev->be) || (!dev->be->translates && dma_addressing_limited(dev)))
		return true;
	return dev->untrusted || dma_dev_settles(dev);
}

size_t dma_max_mapping_size(struct dma_dev *dev)
{
	return may_bounce(dev) ? bounce_max_size(dev->min_align_mask) : SIZE_MAX;
}

size_t dma_opt_mapping_size(struct dma_dev *dev)
{
	size_t best = dev->be->translates && !dev->ahead ? GRANULE << (IOVA_CACHE_ORDERS - 1) : SIZE_MAX;
	size_t most = dma_max_mapping_size(dev);

	return best < most ? best : most;
}
