/* SPDX-License-Identifier: MIT */
/* Mappings of which the CPU and the device have a copy each: the end of them. */
#include "dma/dma.h"

/* Whether the CPU's caches may hold the memory: not what belongs to a device. */
static bool is_cached(phys_addr_t phys, uint64_t size)
{
	const struct memory_record *record = memory_in_arena(phys) ? memory_lookup(phys) : NULL;

	return memory_cpu_address(phys, size) &&
	       (!record || record->type == DMA_MEMORY_RAM || record->type == DMA_MEMORY_DMABUF);
}

int dma_cache_prepare(struct dma_dev *dev, phys_addr_t phys, uint64_t size, unsigned long attrs)
{
	/* What is not synced now may be synced later, so it has two copies all the same. */
	if (!dev->noncoherent || attrs & DMA_ATTR_MMIO || !is_cached(phys, size))
		return 0;
	return dev->be->ops->cache_prepare(dev->be, phys, size);
}

void dma_cache_clean(struct dma_dev *dev, phys_addr_t phys, uint64_t size, unsigned long attrs)
{
	if (!dev->noncoherent)
		return;
	if (attrs & DMA_ATTR_MMIO || !is_cached(phys, size)) {
		/* Other memory may have been there, or this one for another use. */
		dev->be->ops->cache_bypass(dev->be, phys, size);
		return;
	}
	if (attrs & DMA_ATTR_SKIP_CPU_SYNC)
		return;
	/* A buffer has its granules for itself: the zeroes around it are for the device too. */
	if (bounce_find(phys)) {
		size = align_up(phys + size, GRANULE) - align_down(phys, GRANULE);
		phys = align_down(phys, GRANULE);
	}
	dev->be->ops->cache_clean(dev->be, phys, size);
}

/* Remember memory whose cache lines must be dropped; false: there is no room. */
static bool add_run(struct dma_settling *settling, phys_addr_t phys, uint64_t len)
{
	struct phys_vec *next = &settling->run[settling->nr_runs];

	if (settling->nr_runs && next[-1].paddr + next[-1].len == phys) {
		next[-1].len += len;
		return true;
	}
	if (settling->nr_runs == SETTLE_RUNS)
		return false;
	*next = (struct phys_vec){phys, len};
	settling->nr_runs++;
	return true;
}

/* The bytes of the granule at @iova that the call was about; 0: none. */
static uint64_t bytes_in(const struct dma_removal *removal, dma_addr_t iova, uint64_t *skip)
{
	dma_addr_t first = removal->addr > iova ? removal->addr : iova;
	dma_addr_t last = iova + GRANULE_MASK;

	if (!removal->bytes || removal->addr > last || removal->addr + removal->bytes - 1 < iova)
		return 0;
	if (removal->addr + removal->bytes - 1 < last)
		last = removal->addr + removal->bytes - 1;
	*skip = first - iova;
	return last - first + 1;
}

uint64_t dma_settle_collect(const struct dma_removal *removal, dma_addr_t iova, uint64_t size,
			    struct dma_settling *settling)
{
	struct dma_dev *dev = removal->settle;
	bool copy_back = dma_copies_back(removal->dir, removal->attrs);
	bool caches = dev->noncoherent && copy_back && !(removal->attrs & DMA_ATTR_MMIO);
	struct bounce_mapping *bounced;
	uint64_t at, len, skip = 0;
	phys_addr_t phys;

	settling->nr_runs = 0;
	for (at = 0; at < size; at += GRANULE) {
		if (!dev->be->ops->lookup(dev->be, iova + at, &phys))
			continue;
		bounced = bounce_find(phys);
		len = caches ? bytes_in(removal, iova + at, &skip) : 0;
		/* All of a buffer is copied back, and nothing else is in its granules. */
		if (caches && bounced) {
			len = GRANULE;
			skip = 0;
		}
		if (len && !add_run(settling, phys + skip, len))
			break;
		if (bounced)
			bounce_list_add(&settling->bounced, bounced, copy_back);
	}
#ifdef SABOTAGE_COPY_BACK_EARLY
	bounce_list_finish(&settling->bounced);
#endif
	return at;
}

void dma_settle_caches(struct dma_dev *dev, const struct dma_settling *settling)
{
	for (size_t i = 0; i < settling->nr_runs; i++)
		dev->be->ops->cache_invalidate(dev->be, settling->run[i].paddr,
					       settling->run[i].len);
}

/* Where the buffer that is linked at @iova begins and ends in DMA addresses. */
static bool buffer_at(struct dma_dev *dev, dma_addr_t iova, dma_addr_t *first, dma_addr_t *end)
{
	const struct bounce_mapping *bounced;
	phys_addr_t phys, start;

	if (!dev->be->ops->lookup(dev->be, iova, &phys))
		return false;
	bounced = bounce_find(phys);
	if (!bounced)
		return false;
	start = bounce_start(bounced);
	*first = iova - (phys - align_down(start, GRANULE));
	*end = *first + align_up(start + bounce_size(bounced), GRANULE) -
	       align_down(start, GRANULE);
	return true;
}

bool dma_settle_widen(struct dma_dev *dev, dma_addr_t *first, uint64_t *length)
{
	dma_addr_t end = *first + *length, buffer_first, buffer_end;
	bool cut = false;

	if (buffer_at(dev, *first, &buffer_first, &buffer_end) && buffer_first < *first) {
		*first = buffer_first;
		cut = true;
	}
	if (buffer_at(dev, end - GRANULE, &buffer_first, &buffer_end) && buffer_end > end) {
		end = buffer_end;
		cut = true;
	}
	*length = end - *first;
	return cut;
}
