/* SPDX-License-Identifier: MIT */
/* Whether a device can and may reach memory itself, and what is lent to it otherwise. */
#include "dma/dma.h"

/* The record of registered memory; NULL for ordinary memory, and where nothing is registered. */
static const struct memory_record *record_of(phys_addr_t phys)
{
	return likely(!memory_in_arena(phys)) ? NULL : memory_lookup(phys);
}

/* Behind an IOMMU: why the device must not have the memory itself. */
static bool must_not_share(const struct dma_dev *dev, uint64_t bits, enum dma_data_direction dir)
{
	return (dev->untrusted && bits & GRANULE_MASK) ||
	       /* What the CPU writes to the rest of a line would be lost with the line. */
	       (dev->noncoherent && dir != DMA_TO_DEVICE && bits & (BACKEND_CACHE_LINE - 1));
}

bool dma_must_bounce_whole(const struct dma_dev *dev, phys_addr_t phys)
{
	const struct memory_record *record = record_of(phys);

	return dev->bouncing == BOUNCE_ALWAYS || (record && record->unpinnable);
}

static bool must_bounce(const struct dma_dev *dev, phys_addr_t phys, uint64_t size,
			enum dma_data_direction dir)
{
	if (dma_must_bounce_whole(dev, phys))
		return true;
	if (dev->be->translates)
		return must_not_share(dev, phys | size, dir);
	/* Whether it can be had shows when it is taken. */
	if (dma_is_taken(dev->be))
		return false;
	return phys + size - 1 > dma_dev_reach(dev);
}

enum dma_reach dma_reach(const struct dma_dev *dev, phys_addr_t phys, uint64_t size,
			 enum dma_data_direction dir, unsigned long attrs)
{
	bool cpu = !size || memory_cpu_address(phys, size);

	if (must_bounce(dev, phys, size, dir))
		return attrs & (DMA_ATTR_MMIO | DMA_ATTR_REQUIRE_COHERENT) || !cpu ? REACH_REFUSED
										   : REACH_BOUNCED;
	if (dev->noncoherent && !cpu && !(attrs & (DMA_ATTR_MMIO | DMA_ATTR_SKIP_CPU_SYNC)))
		return REACH_REFUSED;
	return REACH_ITSELF;
}

/* What keeps the device from the memory, for a sentence. */
static const char *obstacle(const struct dma_dev *dev, phys_addr_t phys, uint64_t size)
{
	const struct memory_record *record = record_of(phys);

	if (dev->bouncing == BOUNCE_ALWAYS)
		return "bounces everything (bounce=force)";
	if (record && record->unpinnable)
		return "cannot have memory that is not pinned";
	if (dma_is_taken(dev->be))
		return "is behind no IOMMU, and this is not one piece of huge pages that its mask "
		       "reaches";
	if (!dev->be->translates)
		return "does not reach that far";
	if (dev->untrusted && (phys | size) & GRANULE_MASK)
		return "is untrusted, and this is not whole granules of 4096 bytes";
	if ((phys | size) & (BACKEND_CACHE_LINE - 1))
		return "is not coherent, and this is not whole cache lines of 64 bytes";
	return "is not coherent, and this would have to be synced";
}

int dma_reach_refused(const struct dma_dev *dev, int err, const char *what, phys_addr_t phys,
		      uint64_t size)
{
	bool cpu = !size || memory_cpu_address(phys, size);

	return base_error(err,
			  "%s of %llu bytes at 0x%llx: %s %s; so it must be bounced or synced, "
			  "which %s",
			  what, (unsigned long long)size, (unsigned long long)phys, dev->name,
			  obstacle(dev, phys, size),
			  cpu ? "its attributes (MMIO, REQUIRE_COHERENT) forbid"
			      : "memory without CPU mapping cannot be");
}

int dma_reach_ahead(const struct dma_dev *dev, const char *what, phys_addr_t phys, uint64_t size,
		    enum dma_data_direction dir, unsigned long attrs, bool part)
{
	bool lines = dev->noncoherent && dir != DMA_TO_DEVICE && !(attrs & DMA_ATTR_MMIO) &&
		     (phys | size) & (BACKEND_CACHE_LINE - 1);
	bool refused;

	if (part && lines)
		return base_error(
			-EPERM,
			"%s of %llu bytes at 0x%llx: %s is not coherent and may write, so "
			"whole cache lines of 64 bytes must be mapped",
			what, (unsigned long long)size, (unsigned long long)phys, dev->name);
	refused = dma_must_bounce_whole(dev, phys) || lines;
	if (!dev->be->translates)
		refused |= phys + size - 1 > dma_dev_reach(dev);
	else if (!part && !(attrs & DMA_ATTR_MMIO))
		refused |= dev->untrusted && (phys | size) & GRANULE_MASK;
	if (dev->noncoherent && !(attrs & (DMA_ATTR_MMIO | DMA_ATTR_SKIP_CPU_SYNC)))
		refused |= !memory_cpu_address(phys, size);
	if (!refused)
		return 0;
	return base_error(-EPERM,
			  "%s of %llu bytes at 0x%llx: %s %s; so it must be bounced or synced, and "
			  "memory mapped ahead cannot be",
			  what, (unsigned long long)size, (unsigned long long)phys, dev->name,
			  obstacle(dev, phys, size));
}

/* The pool for a device whose buffers may lie up to @last; NULL with the error text. */
static struct dma_bounce *pool_for(const struct dma_dev *dev, uint64_t last)
{
	struct dma_bounce *bounce = __atomic_load_n(&dev->bounce, __ATOMIC_ACQUIRE);

	if (dma_is_taken(dev->be))
		return bounce ? bounce : bounce_default_huge();
	if (!bounce)
		return bounce_default(last);
	if (bounce_last(bounce) <= last)
		return bounce;
	base_error(
		-ENOMEM,
		"the bounce pool of %s has addresses up to 0x%llx, and the device reaches 0x%llx "
		"only; make a pool with a lower .last",
		dev->name, (unsigned long long)bounce_last(bounce), (unsigned long long)last);
	return NULL;
}

static void tell_failure(struct dma_dev *dev, phys_addr_t phys, uint64_t size, unsigned long attrs)
{
	struct base_observer *observer = dma_observer(dev->be);

	if (observer && !(attrs & DMA_ATTR_NO_WARN))
		observer->ops->bounce_failed(observer, dma_caller, dev, phys, size);
}

/* The room below says no less, but does not know what keeps the device from the memory. */
static __cold void too_long(const struct dma_dev *dev, phys_addr_t phys, uint64_t size,
			    uint64_t min_align_mask)
{
	bool mask_helps = !dev->be->translates && !dma_is_taken(dev->be) && dev->mask < dev->bus_limit &&
			  phys + size - 1 <= dev->bus_limit;

	base_error(
		-ENOMEM,
		"%llu bytes at 0x%llx must be bounced, because %s %s, and a bounce buffer has at "
		"most %zu bytes; map less at a time%s",
		(unsigned long long)size, (unsigned long long)phys, dev->name,
		obstacle(dev, phys, size), bounce_max_size(min_align_mask),
		mask_helps ? ", or set a wider mask with dma_set_mask_and_coherent()" : "");
}

int dma_lend(struct dma_dev *dev, phys_addr_t phys, uint64_t size, uint64_t alloc_align_mask,
	     uint64_t min_align_mask, enum dma_data_direction dir, unsigned long attrs,
	     phys_addr_t *lent)
{
	const struct bounce_request request = {
		.phys = phys,
		.cpu = memory_cpu_address(phys, size),
		.size = size,
		.min_align_mask = min_align_mask,
		.alloc_align_mask = alloc_align_mask,
		.boundary = dev->seg_boundary,
		.dir = dir,
		/* What is left goes with the space; where nothing is translated, with the device. */
		.owner = dev->be->translates ? (const void *)dev->space : dev,
	};
	struct dma_bounce *bounce;

	if (dev->bouncing == BOUNCE_NEVER)
		return base_error(-ENOMEM,
				  "%llu bytes at 0x%llx must be bounced, because %s %s, and it was "
				  "opened with bounce=off",
				  (unsigned long long)size, (unsigned long long)phys, dev->name,
				  obstacle(dev, phys, size));
	bounce = pool_for(dev, dev->be->translates ? dev->be->phys_end - 1 : dma_dev_reach(dev));
	*lent = bounce ? bounce_map(bounce, &request) : BOUNCE_NONE;
	if (*lent == BOUNCE_NONE) {
		if (bounce && size > bounce_max_size(min_align_mask))
			too_long(dev, phys, size, min_align_mask);
		tell_failure(dev, phys, size, attrs);
		return -ENOMEM;
	}
	__atomic_store_n(&dev->bounced, true, __ATOMIC_RELAXED);
	__atomic_store_n(&dev->space->bounced, true, __ATOMIC_RELAXED);
	return 0;
}

void dma_take_back(phys_addr_t lent)
{
	struct bounce_list list = {NULL};

	bounce_list_add(&list, bounce_find(lent), false);
	bounce_list_finish(&list);
}
