/* SPDX-License-Identifier: MIT */
/* A whole transaction of a driver, checked through the device. */
#ifndef TESTS_THREADS_TRANSACTION_H
#define TESTS_THREADS_TRANSACTION_H

#include "threads.h"

#define TRANSACTION_PAGES ((size_t)32)

static inline void stream_pages(struct dma_dev *dev, uint8_t *memory, size_t pages, uint64_t who,
				struct dma_gather *gather)
{
	dma_addr_t addr = dma_map_single(dev, memory, pages * PAGE, DMA_TO_DEVICE);

	require(addr != DMA_MAPPING_ERROR);
	require_signed(dma_dev_port(dev), addr, 0, pages, who);
	dma_unmap_phys_gather(dev, addr, pages * PAGE, DMA_TO_DEVICE, 0, gather);
}

static inline void link_pages(struct dma_dev *dev, uint8_t *memory, size_t pages, uint64_t who,
			      bool by_vec, struct dma_gather *gather)
{
	struct phys_vec vec[TRANSACTION_PAGES];
	struct dma_iova_state state;

	require(dma_iova_try_alloc(dev, &state, 0, pages * PAGE));
	for (size_t i = 0; i < pages; i++)
		vec[i] = (struct phys_vec){virt_to_phys(memory + i * PAGE), PAGE};
	if (by_vec)
		require(!dma_iova_link_vec(dev, &state, vec, pages, 0, DMA_TO_DEVICE, 0));
	for (size_t i = 0; !by_vec && i < pages; i++)
		require(!dma_iova_link(dev, &state, vec[i].paddr, i * PAGE, PAGE, DMA_TO_DEVICE,
				       0));
	require(!dma_iova_sync(dev, &state, 0, pages * PAGE));
	require_signed(dma_dev_port(dev), state.addr, 0, pages, who);
	dma_iova_destroy_gather(dev, &state, pages * PAGE, DMA_TO_DEVICE, 0, gather);
}

/*
 * Map, let the device look, take away: in one of several ways, by @random. @memory has
 * TRANSACTION_PAGES pages, and is the caller's alone until the gather ends.
 */
static inline void transaction(struct dma_dev *dev, uint8_t *memory, uint64_t who, uint64_t random,
			       struct dma_gather *gather)
{
	size_t pages = random & 1 ? 1 : 1 + (random >> 8) % TRANSACTION_PAGES;

	if (random & 2)
		stream_pages(dev, memory, pages, who, gather);
	else
		link_pages(dev, memory, pages, who, random & 4, gather);
}

#endif
